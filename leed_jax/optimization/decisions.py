"""Experience of agents that decide once in a while: rows of decisions only.

On a road network an agent decides where the road forks, once in several steps. A row for every
step would mostly hold observations that nothing is decided on: memory, and forward and backward
passes, for nothing. Here every agent of every environment writes its rows side by side with its
own running count, into room for C of them, and one row more from which is bootstrapped:

    slot    0          1          2 ... C-1     C
    row     decision   decision   ...           last observation

A row is kept of every decision and, where an episode ends by its time limit, of its last
observation (no decision, as in `rollout`). Behind the last of them comes the observation with which
the rollout ends. An agent that needs more than C rows is bootstrapped from the first that does not
fit, and what it does after that is not learnt from.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import networks, returns, rollout
from leed_jax.optimization.rollout import Progress
from leed_jax.optimization.situations import NOTHING_MORE, Extras, Finished, Situation
from leed_jax.types import Action, ArrayEnv, EnvSpec, Expert


class Rows(NamedTuple):
    """Room for C rows and the last observation; what is not used is zero, and no decision."""

    observation: Float[Array, "C1 E N D"]
    action_mask: Bool[Array, "C1 E N A"]
    action: Action
    log_prob: Float[Array, "C1 E N"]
    decision: Bool[Array, "C1 E N"]
    label: Action
    """As in `situations.Transitions`."""
    labelled: Bool[Array, "C1 E N"]
    global_state: Float[Array, "C1 E N G"] | None = None
    """When the agent decided; for a central critic, where there is one."""


class Decisions(NamedTuple):
    """A rollout, the rows of decisions only."""

    rows: Rows
    reward: Float[Array, "C E N"]
    """Discounted sum of the agent's rewards until its next row."""
    discount: Float[Array, "C E N"]
    """gamma to the number of steps until the next row; 0 where the agent terminated before it."""
    dropped: Float[Array, ""]
    """Share of all decisions of the rollout that found no room."""


def used(config: TrainConfig, spec: EnvSpec) -> bool:
    """Whether rows are kept of decisions only; recurrent networks see every step."""
    return not config.network.recurrent and spec.decision_share < 1


def capacity(config: TrainConfig, spec: EnvSpec) -> int:
    """C, the rows of an agent and environment that a rollout has room for."""
    return max(1, math.ceil(spec.decision_share * config.rollout_steps))


def collect(
    env: ArrayEnv,
    actor: networks.Network,
    params: networks.Params,
    situation: Situation,
    key: Key[Array, ""],
    *,
    config: TrainConfig,
    expert: Expert | None = None,
    extras: Extras = NOTHING_MORE,
) -> tuple[Situation, Decisions, Finished]:
    """The steps that `rollout.collect` would take for the same key, and the rows of decisions."""
    steps = config.rollout_steps
    loop = rollout.stepper(
        env, actor, params, situation, key, steps=steps, expert=expert, extras=extras
    )
    room = capacity(config, env.spec)
    num_envs, num_agents = situation.time_step.decision.shape
    place = (jnp.arange(num_envs)[:, None], jnp.arange(num_agents))

    def write(rows: Any, slot: Int[Array, "*t E N"], values: Any) -> Any:
        """Puts values where their slots are; slots beyond the room are left out."""

        def put(leaf: Array, value: Array) -> Array:
            return leaf.at[slot, *place].set(value, mode="drop")

        return jax.tree.map(put, rows, values)

    def for_each(state: Float[Array, "E G"]) -> Float[Array, "E N G"]:
        return jnp.broadcast_to(state[:, None], (num_envs, num_agents, state.shape[-1]))

    def step(carry: tuple[Progress, Rows, Array], key: Key[Array, ""]) -> tuple[Any, Any]:
        progress, rows, count = carry
        now = progress.situation
        after, (row, finished) = loop.step(progress, key)
        last_observation = now.over[:, None] & ~now.time_step.terminated
        kept = row.decision | last_observation
        values = Rows(*(getattr(row, name) for name in Rows._fields))
        if row.global_state is not None:
            values = values._replace(global_state=for_each(row.global_state))
        slot = jnp.where(kept, count, room + 1)
        steps = (row.reward, row.terminated, slot, row.decision.sum(-1), finished)
        return (after, write(rows, slot, values), count + kept.astype(jnp.int32)), steps

    count = jnp.zeros((num_envs, num_agents), jnp.int32)
    action = jax.eval_shape(loop.step, loop.start, loop.keys[0])[1][0].action
    empty = _empty(situation, action, room + 1)
    if extras.central:
        size = situation.time_step.global_state.shape[-1]
        empty = empty._replace(global_state=jnp.zeros((*empty.decision.shape, size)))
    start = (loop.start, empty, count)
    (last, rows, count), steps = jax.lax.scan(step, start, loop.keys)
    seen = last.situation.time_step
    rows = rows._replace(observation=write(rows.observation, count, seen.observation))
    if extras.central:
        rows = rows._replace(
            global_state=write(rows.global_state, count, for_each(seen.global_state))
        )
    reward, terminated, slot, decided, finished = steps
    discount = config.gamma * (1.0 - terminated.astype(reward.dtype))
    # Behind the room nothing is kept, so there nothing needs to be right.
    between = returns.until_next_row(reward, discount, slot <= room)
    blank = jnp.zeros((room, num_envs, num_agents))
    reward, discount = write((blank, blank), slot, between)
    decided = decided.sum()
    dropped = (decided - rows.decision[:-1].sum()) / jnp.maximum(decided, 1)
    found = Decisions(rows, reward, discount, dropped)
    return last.situation, found, finished.total(extras.sets)


def _empty(situation: Situation, action: Any, size: int) -> Rows:
    """``size`` rows of every agent and environment, all zero, with actions like ``action``."""
    observed = situation.time_step
    flags = jnp.zeros((size, *observed.decision.shape), bool)
    action = jnp.zeros((size, *action.shape), action.dtype)
    return Rows(
        observation=jnp.zeros((size, *observed.observation.shape), observed.observation.dtype),
        action_mask=jnp.zeros((size, *observed.action_mask.shape), bool),
        action=action,
        log_prob=flags.astype(jnp.float32),
        decision=flags,
        label=action,
        labelled=flags,
    )
