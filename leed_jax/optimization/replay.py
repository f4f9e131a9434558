"""Replay of what teams went through, for value-based methods; rows are kept by flashbax.

An environment's rows lie behind each other in the order of its steps. By the next-step reset (see
`rollout`) the row behind a valid one therefore holds what was observed next, ends of episodes
included, and two neighbouring rows are a transition.

Feed-forward networks learn from pairs of neighbours, recurrent ones from the rows of one
environment in one rollout, with the recurrent state at their start ("stored state", Kapturowski et
al. 2019, R2D2, section 3).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.config import TrainConfig

SEQUENCES, TRANSITIONS = 32, 512
"""Per gradient step, if settings do not say. JaxMARL's feed-forward script takes 32 transitions."""


class Rows(NamedTuple):
    """Steps of the team, time first."""

    observation: Float[Array, "T E N D"]
    action_mask: Bool[Array, "T E N A"]
    action: Int[Array, "T E N"]
    reward: Float[Array, "T E"]
    """The team's, scaled."""
    terminated: Bool[Array, "T E"]
    """Of the whole team: nothing is bootstrapped."""
    valid: Bool[Array, "T E"]
    """False for rows that hold an episode's last observation."""
    start: Bool[Array, "T E"]
    """First row of an episode."""
    state: Float[Array, "T E G"] | None
    """Global state, for mixers that see it."""


class Sequences(NamedTuple):
    """Rows and the agents' recurrent states before the first of them."""

    rows: Rows
    carry: Float[Array, "E N H"]


class Cursor(NamedTuple):
    """How far the buffer is filled."""

    index: Int[Array, ""]
    full: Bool[Array, ""]


class Buffer(NamedTuple):
    """A ring of rows per environment; pure functions."""

    init: Callable[[Sequences], tuple[Any, Cursor]]
    """An example of what is added -> (storage, leading axes E and room; cursor)."""
    add: Callable[[Any, Cursor, Sequences], tuple[Any, Cursor]]
    """A rollout's rows, the oldest ones dropped for them."""
    sample: Callable[[Any, Cursor, Key[Array, ""]], Sequences]
    """B pairs of rows [2 B ...], or B sequences [T B ...], uniformly."""
    ready: Callable[[Any, Cursor], Bool[Array, ""]]
    """Whether there is anything to sample."""


def make(config: TrainConfig) -> Buffer:
    """The buffer for ``config.value_based``.

    Raises:
      ImportError: flashbax is not installed.
      ValueError: there is no room for a single rollout.
    """
    flashbax = _flashbax()
    settings, recurrent = config.value_based, config.network.recurrent
    rollouts = settings.replay_steps // config.steps_per_update
    if not rollouts:
        raise ValueError(
            "value_based.replay_steps must be at least one rollout, num_envs * rollout_steps = "
            f"{config.steps_per_update}, got {settings.replay_steps}"
        )
    room = rollouts if recurrent else rollouts * config.rollout_steps
    if room < 2 and not recurrent:
        raise ValueError(
            "value_based.replay_steps must be two steps of every environment at least, 2 * "
            f"num_envs = {2 * config.num_envs}, got {settings.replay_steps}"
        )
    length = 1 if recurrent else 2
    batch_size = settings.batch_size or (SEQUENCES if recurrent else TRANSITIONS)
    rings = flashbax.make_trajectory_buffer(
        add_batch_size=config.num_envs,
        sample_batch_size=batch_size,
        sample_sequence_length=length,
        period=1,
        min_length_time_axis=length,
        max_length_time_axis=room,
    )

    def items(played: Sequences) -> Any:
        """[E, number of items, ...]: rollouts as single items for a recurrent network."""
        if not recurrent:
            return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), played.rows)
        rows = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1)[:, None], played.rows)
        return Sequences(rows, played.carry[:, None])

    def init(played: Sequences) -> tuple[Any, Cursor]:
        state = rings.init(jax.tree.map(lambda leaf: leaf[0, 0], items(played)))
        return state.experience, Cursor(state.current_index, state.is_full)

    def ring(storage: Any, cursor: Cursor) -> Any:
        return flashbax.buffers.trajectory_buffer.TrajectoryBufferState(
            experience=storage, current_index=cursor.index, is_full=cursor.full
        )

    def add(storage: Any, cursor: Cursor, played: Sequences) -> tuple[Any, Cursor]:
        state = rings.add(ring(storage, cursor), items(played))
        return state.experience, Cursor(state.current_index, state.is_full)

    def sample(storage: Any, cursor: Cursor, key: Key[Array, ""]) -> Sequences:
        drawn = rings.sample(ring(storage, cursor), key).experience
        if recurrent:
            rows = jax.tree.map(lambda leaf: jnp.swapaxes(leaf[:, 0], 0, 1), drawn.rows)
            return Sequences(rows, drawn.carry[:, 0])
        rows = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), drawn)
        num_agents = rows.action.shape[-1]
        return Sequences(rows, jnp.zeros((batch_size, num_agents, 0)))

    def ready(storage: Any, cursor: Cursor) -> Bool[Array, ""]:
        return rings.can_sample(ring(storage, cursor))

    return Buffer(init, add, sample, ready)


def _flashbax() -> Any:
    """The package, imported only here."""
    try:
        import flashbax
    except ImportError as error:
        raise ImportError(
            "methods vdn and qmix keep their replay buffer with flashbax, which is not installed: "
            'pip install "leed_jax[baselines]"'
        ) from error
    return flashbax
