"""Instructions on a battlefield become actions: whom to shoot, where to walk, when to step back."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.instructions import Number, Vocabulary
from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.smax.maps import Rules
from leed_jax.types import State

FIGHT, MOVE_TO, RETREAT, REGROUP, HOLD = range(5)
"""Commands, in the vocabulary's order."""
RULES = ("nearest", "weakest", "lowest_number", "team_focus")
"""Ways to choose an enemy; names of types and of enemies follow them."""
APPROACHES = ("nearest", "target", "team", "wait")
AWAY_FROM = ("nearest", "all")

STAY, SHOOT, WALK, STEP_BACK = range(4)
"""What an agent does in a step."""
STOP = 4
"""JaxMARL's action that does nothing; those below it walk, those above it shoot."""
DIRECTIONS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 0]], np.float32)
"""Where JaxMARL's first five actions lead (smax_env.py:_decode_discrete_actions)."""
ARRIVED = 1.5
"""A walk is over within this distance of its goal; the fastest unit's steps are 2.07 long, so that
it can stop at 1.46 from any point."""
FAR = 1e3
"""More than any distance and any health."""


class Target(NamedTuple):
    """What the agents are to do now."""

    act: Int[Array, "N"]
    """`STAY`, `SHOOT`, `WALK` or `STEP_BACK`."""
    enemy: Int[Array, "N"]
    """Number of the enemy that the agent has chosen, -1 for none."""
    point: Float[Array, "N 2"]
    """Where it is walking; its own place where it is not."""
    wall_margin: Float[Array, "N"]
    from_all: Bool[Array, "N"]
    """It steps back from all enemies in sight, not from the nearest alone."""
    finished: Bool[Array, "N"]


class Battle(NamedTuple):
    """A state in the agents' terms; M enemies."""

    place: Float[Array, "N 2"]
    alive: Bool[Array, "N"]
    health: Float[Array, "N"]
    """Share of the full health."""
    cooldown: Float[Array, "N"]
    """Seconds until the weapon is ready; it is at 0 and below."""
    stride: Float[Array, "N"]
    """Length of a step."""
    attack_range: Float[Array, "N"]
    enemy_place: Float[Array, "M 2"]
    enemy_alive: Bool[Array, "M"]
    enemy_health: Float[Array, "M"]
    """Points."""
    enemy_kind: Int[Array, "M"]
    apart: Float[Array, "N M"]
    in_range: Bool[Array, "N M"]
    """The agent may shoot the enemy; none for the dead, and none of the dead."""
    in_sight: Bool[Array, "N M"]
    mate_in_sight: Bool[Array, "N N"]
    """Itself included."""
    attackers: Int[Array, "N"]
    """Living enemies that shot at the agent in the last step, or were about to."""


def battle(rules: Rules, state: State) -> Battle:
    """``state`` of JaxMARL's ``HeuristicEnemySMAX`` in the agents' terms."""
    game, count = state.state, rules.num_allies
    place, alive = game.unit_positions, game.unit_alive
    kind = game.unit_types.astype(jnp.int32)

    def per_agent(values: Float[np.ndarray, "U"]) -> Float[Array, "N"]:
        return jnp.asarray(values)[kind[:count]]

    apart = jnp.linalg.norm(place[:count, None] - place, axis=-1)
    both = alive[:count, None] & alive
    seen = both & (apart < per_agent(rules.sight_range)[:, None])
    attack_range = per_agent(rules.attack_range)
    # Enemies count the agents backwards (smax_env.py:update_agent_health).
    aimed_at = count - 1 - (game.prev_attack_actions[count:] - STOP - 1)
    shot_at = (aimed_at == jnp.arange(count)[:, None]) & alive[count:]
    return Battle(
        place=place[:count],
        alive=alive[:count],
        health=game.unit_health[:count] / per_agent(rules.health),
        cooldown=game.unit_weapon_cooldowns[:count],
        stride=per_agent(rules.speed) * rules.step_seconds,
        attack_range=attack_range,
        enemy_place=place[count:],
        enemy_alive=alive[count:],
        enemy_health=game.unit_health[count:],
        enemy_kind=kind[count:],
        apart=apart[:, count:],
        in_range=(both & (apart < attack_range[:, None]))[:, count:],
        in_sight=seen[:, count:],
        mate_in_sight=seen[:, :count],
        attackers=shot_at.sum(1),
    )


def make(rules: Rules, vocabulary: Vocabulary) -> Controls:
    """The controls of ``vocabulary``, see `words.vocabulary`."""

    def resolve(state: State, program: Program, focus: Int[Array, ""]) -> tuple[Target, Any]:
        now = battle(rules, state)
        focus = team_focus(now, focus)
        return _resolve(rules, vocabulary, now, program, focus), focus

    def act(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        return _action(rules, battle(rules, state), target, agent), target.finished

    def on_battle(holds: Callable[[Battle, Target], Any], state: State, targets: Target) -> Any:
        return holds(battle(rules, state), targets)

    return Controls(
        init=lambda state: jnp.array(-1, jnp.int32),
        resolve=resolve,
        controllers=(act,) * len(vocabulary.commands),
        conditions=tuple(partial(on_battle, holds) for holds in CONDITIONS.values()),
    )


CONDITIONS: dict[str, Callable[[Battle, Target], Any]] = {
    "enemy_in_sight": lambda now, targets: now.in_sight.any(1),
    "enemy_in_range": lambda now, targets: now.in_range.any(1),
    "under_fire": lambda now, targets: now.attackers > 0,
    "below_half_health": lambda now, targets: now.health < 0.5,
    "everyone_arrived": lambda now, targets: jnp.broadcast_to(
        (targets.finished | ~now.alive).all(), now.alive.shape
    ),
}
"""By name in the vocabulary; (battle, targets) -> true for the agents that it holds for."""


def team_focus(now: Battle, focus: Int[Array, ""]) -> Int[Array, ""]:
    """The team's common enemy: kept while it lives and an agent can shoot it.

    Else the one that most agents can shoot; of several the weakest, then the lowest number.
    """
    reached = now.in_range.sum(0)
    price = jnp.where(now.enemy_alive, now.enemy_health - FAR * reached.astype(jnp.float32), FAR)
    keep = (focus >= 0) & (reached[focus] > 0)
    return jnp.where(keep, focus, price.argmin()).astype(jnp.int32)


def prices(
    now: Battle, targets: tuple[str, ...], types: tuple[str, ...], focus: Int[Array, ""]
) -> Float[Array, "R N M"]:
    """What every enemy costs an agent by every way to choose; the cheapest is chosen."""
    number = jnp.arange(now.enemy_alive.shape[0])

    def price(name: str) -> Any:
        if name == "nearest":
            return now.apart
        if name == "weakest":  # a point of health weighs more than the whole field
            return now.enemy_health + now.apart / FAR
        if name == "lowest_number":
            return number.astype(jnp.float32)
        if name == "team_focus":
            wanted = number == focus
        elif name in types:
            wanted = now.enemy_kind == types.index(name)
        else:
            wanted = number == int(name.removeprefix("enemy_"))
        return now.apart + jnp.where(wanted, 0.0, FAR)

    return jnp.stack([jnp.broadcast_to(price(name), now.apart.shape) for name in targets])


def _resolve(
    rules: Rules, vocabulary: Vocabulary, now: Battle, program: Program, focus: Int[Array, ""]
) -> Target:
    """What every agent is to do, from its own instruction and what it sees."""

    def argument(op: int, name: str) -> Any:
        parameters = vocabulary.commands[op].parameters
        column = [parameter.name for parameter in parameters].index(name)
        parameter = parameters[column]
        code = program.arguments[:, column]
        if isinstance(parameter, Number):
            return parameter.low + parameter.resolution * code.astype(jnp.float32)
        # Also the codes of other commands pass here: what they lead to is not used.
        return jnp.clip(code, 0, len(parameter.options) - 1)

    def enemy_within(distance: Float[Array, "N"]) -> Bool[Array, "N"]:
        return (now.in_sight & (now.apart < distance[:, None])).any(1)

    agents, op = jnp.arange(rules.num_allies), program.op
    fighting, moving, retreating = (op == command for command in (FIGHT, MOVE_TO, RETREAT))
    count = jnp.maximum(now.alive.sum(), 1).astype(jnp.float32)
    centre = jnp.where(now.alive[:, None], now.place, 0.0).sum(0) / count

    # Fight: whom to shoot
    ways = vocabulary.commands[FIGHT].parameters[0].options  # pyright: ignore[reportAttributeAccessIssue]
    price = prices(now, ways, rules.types, focus)[argument(FIGHT, "target"), agents]
    limit = now.attack_range + argument(FIGHT, "reach")
    among = now.enemy_alive & (now.apart < limit[:, None])
    among = jnp.where(among.any(1)[:, None], among, now.enemy_alive)
    enemy = jnp.where(among, price, jnp.inf).argmin(1)

    # Fight: where to walk if it cannot be shot, unless the agent is too far ahead of the others
    distance = jnp.where(now.enemy_alive, now.apart, jnp.inf)
    lacking = distance.min(1) - now.attack_range
    hindmost = jnp.where(now.in_sight[:, None], now.apart, jnp.inf).min(-1) - now.attack_range
    hindmost = jnp.where(now.mate_in_sight & now.in_sight.any(1)[:, None], hindmost, -FAR).max(1)
    ahead = hindmost - lacking > argument(FIGHT, "max_lead")
    approach = jnp.where(ahead, APPROACHES.index("wait"), argument(FIGHT, "approach"))
    goals = [now.enemy_place[distance.argmin(1)], now.enemy_place[enemy]]
    goals += [jnp.broadcast_to(centre, now.place.shape), now.place]
    goal = jnp.stack(goals)[approach, agents]

    # Fight: when to step back instead
    kite = now.cooldown > argument(FIGHT, "kite_cooldown")
    kite &= enemy_within(argument(FIGHT, "kite_distance"))
    flee = now.health < argument(FIGHT, "retreat_health")
    flee &= enemy_within(argument(FIGHT, "retreat_distance"))
    fight = jnp.where(now.in_range[agents, enemy], SHOOT, WALK)
    fight = jnp.where(kite | flee, STEP_BACK, fight)

    point = jnp.stack([argument(MOVE_TO, "x"), argument(MOVE_TO, "y")], -1)
    close = enemy_within(argument(RETREAT, "distance"))
    act = jnp.select(
        [fighting, retreating, op == HOLD],
        [fight, jnp.where(close, STEP_BACK, STAY), STAY],
        WALK,
    )
    act = jnp.where(now.alive & now.enemy_alive.any(), act, STAY)
    goal = jnp.select([fighting[:, None], moving[:, None]], [goal, point], centre)
    finished = jnp.select(
        [moving, retreating, op == REGROUP],
        [
            jnp.linalg.norm(point - now.place, axis=-1) < ARRIVED,
            ~close,
            jnp.linalg.norm(centre - now.place, axis=-1) < argument(REGROUP, "distance"),
        ],
        False,
    )

    def of_step_back(name: str) -> Any:
        return jnp.where(retreating, argument(RETREAT, name), argument(FIGHT, name))

    return Target(
        act=act.astype(jnp.int32),
        enemy=jnp.where(fighting & now.alive, enemy, -1).astype(jnp.int32),
        point=jnp.where((act == WALK)[:, None], goal, now.place),
        wall_margin=of_step_back("wall_margin"),
        from_all=of_step_back("away_from") == AWAY_FROM.index("all"),
        finished=finished,
    )


def _action(rules: Rules, now: Battle, target: Target, agent: Int[Array, ""]) -> Any:
    """JaxMARL's action for one agent's target."""
    place, stride = now.place[agent], now.stride[agent]
    options = place + stride * DIRECTIONS
    back = step_back(
        jnp.minimum(jnp.maximum(options, 0.0), rules.map_size),
        now.enemy_place,
        jnp.where(now.in_sight[agent], now.apart[agent], jnp.inf),
        target,
        rules.map_size,
    )
    return jnp.select(
        [target.act == WALK, target.act == STEP_BACK, target.act == SHOOT],
        [towards(target.point - place, stride), back, STOP + 1 + target.enemy],
        STOP,
    )


def towards(way: Float[Array, "2"], stride: Float[Array, ""]) -> Int[Array, ""]:
    """The direction along which ``way`` is longest; none if less than half a step is left."""
    near = jnp.abs(way).max() <= stride / 2
    return jnp.where(near, STOP, (DIRECTIONS[:STOP] @ way).argmax())


def step_back(
    options: Float[Array, "5 2"],
    enemies: Float[Array, "M 2"],
    apart: Float[Array, "M"],
    target: Target,
    map_size: float,
) -> Int[Array, ""]:
    """Which of five places to go to: outside of the margin, and there far from enemies.

    Args:
      options: where the first five actions lead.
      enemies: where they are.
      apart: how far they are now, infinite for those out of sight.
      target: one agent's; its margin, and whether all enemies count (as the sum of inverse squares
        of their distances) or only the nearest.
      map_size: width and height.
    """
    away = jnp.linalg.norm(options[:, None] - enemies, axis=-1)
    threat = jnp.where(jnp.isfinite(apart), 1.0 / jnp.maximum(away, 0.1) ** 2, 0.0).sum(1)
    safety = jnp.where(target.from_all, -threat, away[:, apart.argmin()])
    edge = jnp.minimum(options, map_size - options).min(1)
    return (safety - FAR * jnp.maximum(target.wall_margin - edge, 0.0)).argmax()
