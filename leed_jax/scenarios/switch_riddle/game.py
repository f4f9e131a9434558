"""JaxMARL's riddle with an end that is told apart from the time limit, and what it measures."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool

from leed_jax.environments import jaxmarl
from leed_jax.types import ArrayEnv, Measure, TimeStep

NOTHING, SWITCH, TELL = range(3)
"""Commands, and JaxMARL's actions (jaxmarl/environments/switch_riddle/switch_riddle.py)."""


class Prison(NamedTuple):
    """The riddle, and how it ended: JaxMARL's state does not say."""

    game: Any
    told: Bool[Array, ""]
    """Someone said that all have been in the room."""
    right: Bool[Array, ""]
    """And so it was."""


def days(num_agents: int) -> int:
    """The time limit, JaxMARL's."""
    return 4 * num_agents - 6


def array_env(name: str, num_agents: int) -> ArrayEnv:
    """The riddle for a number of prisoners; telling ends it."""
    game = jaxmarl.load("switch_riddle", num_agents=num_agents)
    agents = game.agents

    def mask(state: Any) -> dict[str, Any]:
        """Outside the room there is nothing to do."""
        doing = jnp.arange(3) == NOTHING
        return {agent: doing | (state.agent_in_room == n) for n, agent in enumerate(agents)}

    env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=days(num_agents),
        action_mask=mask,
        decision=lambda state: jnp.arange(num_agents) == state.agent_in_room,
    )

    def reset(key: Any) -> tuple[Prison, TimeStep]:
        state, step = env.reset(key)
        return Prison(state, jnp.array(False), jnp.array(False)), step

    def step(key: Any, state: Prison, action: Any) -> tuple[Prison, TimeStep]:
        told = action[state.game.agent_in_room] == TELL
        after, step = env.step(key, state.game, action)
        right = told & (after.has_been > 0).all()
        # Telling ends the riddle; only without it the time limit does.
        ended = jnp.broadcast_to(told, step.terminated.shape)
        step = step._replace(terminated=ended, truncated=step.truncated & ~told)
        return Prison(after, told, right), step

    measures = (
        Measure(
            "freed",
            lambda state: state.right.astype(jnp.float32),
            "last",
            "share of episodes in which it is told rightly; higher is better",
        ),
        Measure(
            "executed",
            lambda state: (state.told & ~state.right).astype(jnp.float32),
            "last",
            "share of episodes in which it is told too early; lower is better",
        ),
        Measure(
            "all_were_there",
            lambda state: (state.game.has_been > 0).all().astype(jnp.float32),
            "last",
            "share of episodes in which all were in the room by the end: none can be won without",
        ),
    )
    return ArrayEnv(reset=reset, step=step, spec=env.spec, measures=measures)
