"""What turns Storm's words into actions: claims of coins, partners, and shortest ways.

A way is a shortest one over cells and facings (turning is a step), with a price on cells that are
to be avoided; it is found anew in every step by relaxing the distances of the whole board.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.storm import games
from leed_jax.scenarios.storm.games import STEP, Variant, View
from leed_jax.types import State

GATHER, INTERACT, GO_TO, FACE, EXPLORE, WAIT = range(6)
NEAREST_COIN = 2
NEAREST, PAIRED, FIRST_NAMED = range(3)

FAR = 1e4
COIN_PRICE, AGENT_PRICE = 20.0, 6.0  # steps that a detour around a cell may cost


class Target(NamedTuple):
    """Where an agent is sent."""

    cell: Int[Array, "N 2"]
    """Row and column; its own cell where it is to stay."""
    partner: Int[Array, "N"]
    """Index of the agent that it deals with, -1: none."""
    way: Int[Array, "N"]
    """The action that leads on: turning, going forward, or staying when there."""


def controls(variant: Variant, view: Any, size: int) -> Controls:
    """The controls of a variant.

    Args:
      variant: which.
      view: what `games.viewer` gave.
      size: G, cells of a side of the board.
    """

    def resolve(state: State, program: Program, claims: Int[Array, "N"]) -> tuple[Target, Any]:
        now = view(state)
        codes = program.arguments
        gathering, going = program.op == GATHER, program.op == GO_TO
        interacting, facing = program.op == INTERACT, program.op == FACE
        claims = claim(now, program, claims)
        # Face has no "paired": its second option is the first agent.
        named = jnp.where(codes[:, 0] > 0, codes[:, 0] + 1, NEAREST)
        choice = jnp.select([interacting, facing], [codes[:, 0], named], -1)
        partner = partners(now, choice)
        coin = jnp.stack([claims // size, claims % size], -1)
        cell = jnp.where((partner >= 0)[:, None], now.place[partner], now.place)
        cell = jnp.where(going[:, None], codes[:, :2], cell)
        cell = jnp.where((gathering & (claims >= 0))[:, None], coin, cell)
        goal = _goal(variant, cell, interacting & (partner >= 0), size)
        around = jnp.select(
            [gathering, interacting, going], [codes[:, 2], codes[:, 1], codes[:, 2]], 0
        )
        way = _way(now, goal, _price(now, program, around > 0), variant.stay)
        way = jnp.where(program.op == EXPLORE, _onward(now, codes[:, 0]), way)
        return Target(cell, partner, way), claims

    def gather(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        # The program is not known here: an agent that has nothing left to gather stays (resolve
        # claims no coin for it), and `passed` and this say that it has finished.
        done = (target.cell == view(state).place[agent]).all()
        return target.way, done & (view(state).frozen[agent] == 0)

    def interact(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        now = view(state)
        ahead, right = games.relative(now.place[agent], now.facing[agent], target.cell)
        zap = jnp.where(target.partner >= 0, games.aim(variant, ahead, right), -1)
        return jnp.where(zap >= 0, zap, target.way), now.frozen[agent] > 0

    def go_to(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        there = (target.cell == view(state).place[agent]).all()
        return target.way, there

    def face(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        now = view(state)
        offset = target.cell - now.place[agent]
        along = abs(offset[1]) >= abs(offset[0])
        wanted = jnp.where(
            along,
            jnp.where(offset[1] >= 0, games.EAST, games.WEST),
            jnp.where(offset[0] >= 0, games.SOUTH, games.NORTH),
        )
        turn = (wanted - now.facing[agent]) % 4
        action = jnp.where(turn == 3, games.ANTICLOCKWISE, games.CLOCKWISE)
        there = (turn == 0) | (target.partner < 0)
        return jnp.where(there, variant.stay, action), jnp.array(False)

    def explore(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        return target.way, jnp.array(False)

    def wait(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
        return jnp.array(variant.stay), jnp.array(False)

    return Controls(
        init=lambda state: jnp.full(view(state).facing.shape, -1),
        resolve=resolve,
        controllers=(gather, interact, go_to, face, explore, wait),
        conditions=conditions(variant, view),
        passed=lambda state, program: (
            (program.op == GATHER) & ~_wanting(view(state), program) & (view(state).frozen == 0)
        ),
    )


def _wanted(now: View, program: Program) -> Bool[Array, "N 2"]:
    """Which kinds of coins every agent is to gather, if it is."""
    kind = program.arguments[:, 0]
    return (kind[:, None] == jnp.arange(2)) | (kind == NEAREST_COIN)[:, None]


def _wanting(now: View, program: Program) -> Bool[Array, "N"]:
    """Agents that are to gather, do not hold enough yet, and find a coin on the board."""
    wanted = _wanted(now, program)
    held = jnp.where(wanted, now.held, 0.0).sum(-1)
    enough = held >= program.arguments[:, 1].astype(jnp.float32) + 1
    left = (wanted & now.coins.any((1, 2))).any(-1)
    return (program.op == GATHER) & ~enough & left


def claim(now: View, program: Program, claims: Int[Array, "N"]) -> Int[Array, "N"]:
    """Cells of the coins that agents go to: closest pair first, none twice, kept while they lie."""
    n, size = claims.shape[0], now.zapped.shape[0]
    lies = (now.coins[None] & _wanted(now, program)[:, :, None, None]).any(1).reshape(n, -1)
    wanting = _wanting(now, program)
    keep = wanting & ~program.started & (claims >= 0)
    keep = keep & jnp.take_along_axis(lies, jnp.maximum(claims, 0)[:, None], 1)[:, 0]
    claims = jnp.where(keep, claims, -1)
    cells = jnp.stack(jnp.divmod(jnp.arange(size * size), size), -1)
    apart = abs(now.place[:, None] - cells).sum(-1).astype(jnp.float32)

    def assign(_: Any, claims: Int[Array, "N"]) -> Int[Array, "N"]:
        taken = (claims[:, None] == jnp.arange(size * size)).any(0)
        free = lies & ~taken & (wanting & (claims < 0))[:, None]
        agent, cell = jnp.divmod(jnp.where(free, apart, FAR).argmin(), size * size)
        return claims.at[agent].set(jnp.where(free.any(), cell, claims[agent]))

    return jax.lax.fori_loop(0, n, assign, claims)


def partners(now: View, choice: Int[Array, "N"]) -> Int[Array, "N"]:
    """Whom every agent deals with: its choice's code, -1 for agents that deal with nobody."""
    n = choice.shape[0]
    agents = jnp.arange(n)
    apart = abs(now.place[:, None] - now.place).sum(-1).astype(jnp.float32)
    awake = now.frozen == 0
    possible = awake[:, None] & awake & (agents[:, None] != agents)
    nearest = jnp.where(possible, apart, FAR).argmin(1)
    named = jnp.maximum(choice - FIRST_NAMED, 0)
    willing = choice == PAIRED
    free = possible & willing[:, None] & willing

    def pair(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        partner, free = carry
        one, other = jnp.divmod(jnp.where(free, apart, FAR).argmin(), n)
        some = free.any()
        partner = partner.at[one].set(jnp.where(some, other, partner[one]))
        partner = partner.at[other].set(jnp.where(some, one, partner[other]))
        used = (agents == one) | (agents == other)
        return partner, free & ~(used[:, None] | used)

    paired, _ = jax.lax.fori_loop(0, n // 2, pair, (jnp.full(n, -1), free))
    chosen = jnp.where(choice == NEAREST, nearest, named)
    chosen = jnp.where(possible[agents, chosen] & (choice >= 0), chosen, -1)
    return jnp.where(willing, paired, chosen)


def _goal(
    variant: Variant, cell: Int[Array, "N 2"], zapping: Bool[Array, "N"], size: int
) -> Bool[Array, "N 4 G G"]:
    """Facings and cells from which the target is reached: stood on, or in reach of a zap."""
    facing, row, column = jnp.meshgrid(
        jnp.arange(4), jnp.arange(size), jnp.arange(size), indexing="ij"
    )
    place = jnp.stack([row, column], -1)
    ahead, right = games.relative(place, facing, cell[:, None, None, None])
    reach = games.aim(variant, ahead, right) >= 0
    return jnp.where(zapping[:, None, None, None], reach, (ahead == 0) & (right == 0))


def _price(now: View, program: Program, around: Bool[Array, "N"]) -> Float[Array, "N G G"]:
    """Steps of detour that not stepping on a cell is worth."""
    n, size = around.shape[0], now.zapped.shape[0]
    shunned = around[:, None] & ~((program.op == GATHER)[:, None] & _wanted(now, program))
    # A coin that an agent needs for nothing is any coin, for one that gathers none.
    coins = (now.coins[None] & shunned[:, :, None, None]).any(1)
    others = jnp.zeros((n, size, size), bool)
    for index in range(n):
        row, column = now.place[index]
        here = jnp.zeros((size, size), bool).at[row, column].set(True)
        others = others | (here[None] & (jnp.arange(n) != index)[:, None, None])
    return jnp.where(coins, COIN_PRICE, 0.0) + jnp.where(others, AGENT_PRICE, 0.0)


def _way(
    now: View, goal: Bool[Array, "N 4 G G"], price: Float[Array, "N G G"], stay: int
) -> Int[Array, "N"]:
    """The first action of a shortest way to the nearest goal, forward first; there: stay."""
    size, agents = price.shape[-1], jnp.arange(price.shape[0])

    def onward(field: Float[Array, "N 4 G G"]) -> Float[Array, "N 4 G G"]:
        """Price of going forward from every facing and cell; walls are far."""
        entered = jnp.pad(
            field + price[:, None], ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=FAR
        )
        return 1.0 + jnp.stack(
            [
                entered[:, d, 1 + row : 1 + row + size, 1 + column : 1 + column + size]
                for d, (row, column) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0)))
            ],
            axis=1,
        )

    def relax(_: Any, field: Float[Array, "N 4 G G"]) -> Float[Array, "N 4 G G"]:
        turned = 1.0 + jnp.minimum(jnp.roll(field, 1, 1), jnp.roll(field, -1, 1))
        return jnp.where(goal, 0.0, jnp.minimum(field, jnp.minimum(turned, onward(field))))

    field = jax.lax.fori_loop(0, 3 * size, relax, jnp.where(goal, 0.0, FAR))
    row, column = now.place.T
    options = jnp.stack(
        [
            onward(field)[agents, now.facing, row, column],
            field[agents, (now.facing + 1) % 4, row, column] + 1,
            field[agents, (now.facing - 1) % 4, row, column] + 1,
        ]
    )
    actions = jnp.array([games.FORWARD, games.CLOCKWISE, games.ANTICLOCKWISE])
    there = goal[agents, now.facing, row, column]
    return jnp.where(there, stay, actions[options.argmin(0)])


def _onward(now: View, margin: Int[Array, "N"]) -> Int[Array, "N"]:
    """Forward, or a clockwise turn at ``margin`` cells from the wall or before another agent."""
    step = STEP[now.facing]
    limit = now.place + step * (margin[:, None] + 1)
    free = ((limit >= 0) & (limit < now.zapped.shape[0])).all(-1)
    taken = (now.place[None] == (now.place + step)[:, None]).all(-1).any(-1)
    return jnp.where(free & ~taken, games.FORWARD, games.CLOCKWISE)


def conditions(variant: Variant, view: Any) -> tuple[Any, ...]:
    """In the order of `words.CONDITIONS`."""

    def others(now: View) -> Bool[Array, "N N"]:
        return ~jnp.eye(now.facing.shape[0], dtype=bool)

    def seen(now: View, cells: Int[Array, "C 2"]) -> Bool[Array, "N C"]:
        ahead, right = games.relative(now.place[:, None], now.facing[:, None], cells[None])
        return (ahead >= 0) & (ahead < games.VIEW) & (abs(right) <= games.VIEW // 2)

    def sees_coin(kind: int) -> Any:
        def holds(state: State, target: Target) -> Bool[Array, "N"]:
            now = view(state)
            size = now.zapped.shape[0]
            cells = jnp.stack(jnp.divmod(jnp.arange(size * size), size), -1)
            return (seen(now, cells) & now.coins[kind].reshape(-1)).any(-1)

        return holds

    def holds_coin(state: State, target: Target) -> Bool[Array, "N"]:
        return view(state).held.sum(-1) > 0

    def other_ready(state: State, target: Target) -> Bool[Array, "N"]:
        now = view(state)
        ready = (now.held.sum(-1) > 0) & (now.frozen == 0)
        return (others(now) & ready).any(-1)

    def sees_agent(state: State, target: Target) -> Bool[Array, "N"]:
        now = view(state)
        return (seen(now, now.place) & others(now)).any(-1)

    def in_reach(state: State, target: Target) -> Bool[Array, "N"]:
        now = view(state)
        ahead, right = games.relative(now.place[:, None], now.facing[:, None], now.place[None])
        awake = now.frozen == 0
        return ((games.aim(variant, ahead, right) >= 0) & others(now) & awake).any(-1)

    def frozen(state: State, target: Target) -> Bool[Array, "N"]:
        return view(state).frozen > 0

    return (
        holds_coin,
        other_ready,
        sees_coin(games.COOPERATE),
        sees_coin(games.DEFECT),
        sees_agent,
        in_reach,
        frozen,
    )
