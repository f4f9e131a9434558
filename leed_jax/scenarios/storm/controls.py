"""What turns Storm's words into actions: claims of coins, partners, and where to go."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.storm import games, ways
from leed_jax.scenarios.storm.games import Variant, View
from leed_jax.scenarios.storm.ways import FAR
from leed_jax.types import State

GATHER, INTERACT, GO_TO, FACE, EXPLORE, WAIT = range(6)
NEAREST_COIN = 2
NEAREST, PAIRED, FIRST_NAMED = range(3)


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
        goal = ways.goals(variant, cell, interacting & (partner >= 0), size)
        around = jnp.select(
            [gathering, interacting, going], [codes[:, 2], codes[:, 1], codes[:, 2]], 0
        )
        # A coin that an agent needs for nothing is any coin, for one that gathers none.
        shunned = (around > 0)[:, None] & ~(gathering[:, None] & _wanted(now, program))
        way = ways.way(now, goal, ways.prices(now, shunned), variant.stay)
        way = jnp.where(program.op == EXPLORE, ways.explore(now, codes[:, 0]), way)
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
