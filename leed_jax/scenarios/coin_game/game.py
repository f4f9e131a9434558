"""JaxMARL's coin game as one inner episode, and what its states say.

There the next inner episode starts inside ``step_env`` and the step that starts it pays nothing,
so here the game's own clock is set one step later and never strikes. An episode of n steps is what
JaxMARL pays for with ``num_inner_steps=n + 1``. The game has no end of its own, every end is the
time limit.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.types import State

AGENTS = ("red", "blue")
SIZE = 3
# jaxmarl/environments/coin_game/coin_game.py: (row, column) steps of actions 0 to 4.
MOVES = jnp.array([[0, 1], [0, -1], [1, 0], [-1, 0], [0, 0]])
STAY = 4


class InnerEpisode:
    """JaxMARL's coin game, over after ``steps`` steps, with agents named by their colour."""

    def __init__(self, steps: int, **options: Any) -> None:
        self.agents = list(AGENTS)
        self._steps = steps
        self._game = jaxmarl.load(
            "coin_game", num_inner_steps=steps + 1, num_outer_steps=1, **options
        )

    def reset(self, key: Any) -> tuple[dict[str, Any], State]:
        """Observations and state of a new start."""
        observation, state = self._game.reset(key)
        return self._by_colour(observation), state

    def step_env(self, key: Any, state: State, actions: dict[str, Any]) -> Any:
        """As JaxMARL's, but over with the last paid step, and without a reset in it."""
        chosen = {name: actions[agent] for name, agent in zip("01", AGENTS, strict=True)}
        observation, state, reward, _, info = self._game.step_env(key, state, chosen)
        done = {"__all__": state.step >= self._steps}
        return self._by_colour(observation), state, self._by_colour(reward), done, info

    def action_space(self, agent: str) -> Any:
        """Five actions: column + 1, column - 1, row + 1, row - 1, stay."""
        return self._game.action_space("01"[AGENTS.index(agent)])

    def _by_colour(self, values: dict[str, Any]) -> dict[str, Any]:
        return {agent: values[name] for name, agent in zip("01", AGENTS, strict=True)}


def split(state: State) -> tuple[Int[Array, "*b N 2"], Int[Array, "*b N 2"], Int[Array, "*b N 2"]]:
    """Cells of the agents, of their own coins, and of the other's coins, as each sees it."""
    coins = jnp.stack([state.red_coin_pos, state.blue_coin_pos], -2)
    return jnp.stack([state.red_pos, state.blue_pos], -2), coins, coins[..., ::-1, :]


def taken(state: State) -> tuple[Float[Array, "*b N"], Float[Array, "*b N"]]:
    """Coins of its own colour and of the other's that each agent has taken so far."""
    own, other = (state.red_coop, state.blue_coop), (state.red_defect, state.blue_defect)
    count = [jnp.stack(kind, -2).astype(jnp.float32).sum(-1) for kind in (own, other)]
    return count[0], count[1]


def steps_between(one: Int[Array, "... 2"], other: Int[Array, "... 2"]) -> Int[Array, "..."]:
    """Steps from cell to cell: on three joined cells a coordinate is equal or one step away."""
    return (one != other).sum(-1)
