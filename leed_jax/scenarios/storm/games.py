"""JaxMARL's three Storms behind one face: named agents, one view of their states, payoffs.

An episode is one inner episode of JaxMARL's. There the next one starts inside ``step_env`` and the
step that starts it pays nothing, so here the game's own clock is set one step later and never
strikes. The games have no end of their own, every end is the time limit.
"""

import contextlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.types import State

EAST, SOUTH, WEST, NORTH = range(4)
# Rows and columns are the first and second axis of JaxMARL's grids (STEP and ROTATIONS of
# storm_env.py): facing 0 is along the columns, and its action "left" turns to the next facing,
# clockwise where rows go down.
STEP = jnp.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
CLOCKWISE, ANTICLOCKWISE, FORWARD = range(3)
COOPERATE, DEFECT = range(2)
VIEW = 5  # cells that an agent sees across, and ahead with its own row


class Variant(NamedTuple):
    """What differs between the three."""

    registered: str
    stay: int
    zaps: tuple[tuple[int, int, int], ...]
    """Cells that a zap reaches, as (ahead, to the right, action)."""
    mutual: bool
    """Both have to zap each other in the same step."""
    items: tuple[int, int, int]
    """In its grid: a cooperate coin, a defect coin, a trace of a zap."""


_BEAM = ((1, 0, 3), (2, 0, 3), (1, 1, 3), (1, -1, 3))
VARIANTS = {
    "storm/storm": Variant("storm", 4, _BEAM, True, (9, 10, 12)),
    "storm/storm_2p": Variant("storm_2p", 4, _BEAM, False, (3, 4, 6)),
    # Its fourth zap, ahead to the left, is tested at the cell ahead to the right (storm.py:1075)
    # and so hits nobody on its own.
    "storm/storm_np": Variant("storm_np", 3, ((1, 0, 4), (2, 0, 5), (1, 1, 6)), False, (3, 4, 2)),
}


class View(NamedTuple):
    """What the words are about, the same for all three. G: cells of a side."""

    place: Int[Array, "N 2"]
    """Row and column."""
    facing: Int[Array, "N"]
    held: Float[Array, "N 2"]
    """Coins held, cooperate and defect."""
    frozen: Int[Array, "N"]
    """Steps until the agent is let go; 0: it is free."""
    coins: Bool[Array, "2 G G"]
    """Where cooperate and defect coins lie."""
    zapped: Bool[Array, "G G"]
    """Where zaps of the last step are seen."""
    met: Bool[Array, "N N"]
    """Which agents interacted in the step that led here."""


def relative(
    place: Int[Array, "*#b 2"], facing: Int[Array, "*#b"], cell: Int[Array, "*#b 2"]
) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """How far ahead of, and to the right of, an agent a cell is; negative: behind, to the left."""
    offset = cell - place
    return (offset * STEP[facing]).sum(-1), (offset * STEP[(facing + 1) % 4]).sum(-1)


def aim(variant: Variant, ahead: Int[Array, "*b"], right: Int[Array, "*b"]) -> Int[Array, "*b"]:
    """The action that zaps this cell; -1 where none does."""
    action = jnp.full(ahead.shape, -1)
    for to_ahead, to_right, zap in variant.zaps:
        action = jnp.where((ahead == to_ahead) & (right == to_right), zap, action)
    return action


def viewer(variant: Variant, freeze_penalty: int) -> Callable[[State], View]:
    """State of this variant -> `View`."""

    def view(state: State) -> View:
        if variant.registered == "storm_2p":
            place = jnp.stack([state.red_pos, state.blue_pos])
            held = jnp.stack([state.red_inventory, state.blue_inventory])
            freeze = jnp.broadcast_to(state.freeze, (2,))
            met = (state.freeze == freeze_penalty) & ~jnp.eye(2, dtype=bool)
        elif variant.registered == "storm":
            place, held, freeze = (
                state.agent_positions,
                state.agent_inventories,
                state.agent_freezes,
            )
            # The state does not tell who met whom: new ones that reach each other did.
            now, cells = freeze == freeze_penalty, place[:, :2].astype(jnp.int32)
            facing = place[:, 2].astype(jnp.int32)
            ahead, right = relative(cells[:, None], facing[:, None], cells[None])
            reach = aim(variant, ahead, right) >= 0
            met = reach & reach.T & now[:, None] & now
        else:
            place, held = state.agent_locs, state.agent_invs
            freeze, met = state.freeze.max(-1), state.freeze == freeze_penalty
        coop, defect, trace = (state.grid == item for item in variant.items)
        place = place.astype(jnp.int32)
        return View(
            place=place[:, :2],
            facing=place[:, 2],
            held=held.astype(jnp.float32),
            frozen=jnp.maximum(freeze, 0).astype(jnp.int32),
            coins=jnp.stack([coop, defect]),
            zapped=trace,
            met=met,
        )

    return view


def payoffs(view: View, matrix: Float[Array, "2 2 2"]) -> Float[Array, "N"]:
    """What every agent gets for the interactions of the step that led to ``view``.

    Of two agents the one with the lower number chooses the row, by its shares of the two kinds of
    coins; an agent is paid for every one it interacted with.
    """
    share = view.held / jnp.maximum(view.held.sum(-1, keepdims=True), 1.0)
    row = jnp.einsum("ia,ab,jb->ij", share, matrix[0], share)
    column = jnp.einsum("ia,ab,jb->ji", share, matrix[1], share)
    n = share.shape[0]
    lower = jnp.arange(n)[:, None] < jnp.arange(n)
    return jnp.where(view.met, jnp.where(lower, row, column), 0.0).sum(-1)


def _choice(key: Any, a: Any, shape: tuple[int, ...] = (), replace: bool = True) -> Any:
    """``jax.random.choice``; of a single draw it makes no difference whether it is put back."""
    return jax.random.choice(key, a, shape, replace or shape == ())


class _Jax(types.ModuleType):
    """jax with `_choice`."""

    random = types.SimpleNamespace(**vars(jax.random) | {"choice": _choice})

    def __getattr__(self, name: str) -> Any:
        return getattr(jax, name)


@contextlib.contextmanager
def _traced(game: Any) -> Iterator[None]:
    """While JaxMARL's code is traced.

    It draws the agents' cells of a start without putting back (storm_env.py:909), for which JAX
    shuffles all 43758 of them, in every step; and it writes numbers into booleans
    (storm_env.py:663), of which JAX warns.
    """
    module = sys.modules[type(game).__module__]
    with warnings.catch_warnings(), mock.patch.object(module, "jax", _Jax("jax")):
        warnings.filterwarnings("ignore", "scatter inputs have incompatible types", FutureWarning)
        yield


class InnerEpisode:
    """One of JaxMARL's Storms, over after ``steps`` steps, with agents named by strings."""

    def __init__(
        self,
        variant: Variant,
        *,
        num_agents: int,
        steps: int,
        payoff: Callable[[State], Float[Array, "N"]] | None,
        **options: Any,
    ) -> None:
        self.agents = [f"agent_{n}" for n in range(num_agents)]
        self._variant, self._steps, self._payoff = variant, steps, payoff
        self._game = jaxmarl.load(
            variant.registered,
            num_agents=num_agents,
            num_inner_steps=steps + 1,
            num_outer_steps=1,
            **options,
        )

    def reset(self, key: Any) -> tuple[dict[str, Any], State]:
        """Observations and state of a new start."""
        with _traced(self._game):
            observation, state = self._game.reset(key)
        return self._by_agent(observation), state

    def step_env(self, key: Any, state: State, actions: dict[str, Any]) -> Any:
        """As JaxMARL's, but over with the last paid step, and without a reset in it."""
        chosen = {n: actions[agent] for n, agent in enumerate(self.agents)}
        if self._variant.registered == "storm_2p":  # it unpacks two actions
            chosen = (chosen[0], chosen[1])
        with _traced(self._game):
            observation, state, paid, _, info = self._game.step_env(key, state, chosen)
        if self._payoff is not None:
            paid = self._payoff(state)
        reward = {agent: paid[n] for n, agent in enumerate(self.agents)}
        done = {"__all__": state.step >= self._steps}
        return self._by_agent(observation), state, reward, done, info

    def action_space(self, agent: str) -> Any:
        """Turn clockwise, turn anticlockwise, forward, then zaps and stay, see `Variant`."""
        return self._game.action_spaces[self.agents.index(agent)]

    def _by_agent(self, observation: Any) -> dict[str, Any]:
        """Every agent's own arrays, those of dictionaries one behind the other."""
        if self._variant.registered == "storm_np":
            return {agent: observation[n] for n, agent in enumerate(self.agents)}
        if self._variant.registered == "storm_2p":
            seen = [(each["observation"], each["inventory"]) for each in observation]
        else:
            # JaxMARL hands everyone what all hold. As in its game for two, an agent gets what it
            # holds itself, who holds anything, and what is shown of those who are frozen; itself
            # first, then the others in their order.
            cooperate, defect, ready, *shown = observation["inventory"]
            n = len(self.agents)
            seen = []
            for i in range(n):
                order = jnp.array([i, *(j for j in range(n) if j != i)])
                own = jnp.stack([cooperate[i], defect[i]])
                parts = [own, ready[order], *(rows[order[1:]] for rows in shown)]
                seen.append((observation["observations"][i], jnp.concatenate(parts)))
        return {
            agent: jnp.concatenate([jnp.ravel(part).astype(jnp.float32) for part in parts])
            for agent, parts in zip(self.agents, seen, strict=True)
        }
