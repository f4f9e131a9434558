"""Whole episodes of any policy: the one loop behind demonstrations, evaluation and rendering."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.types import Action, ArrayEnv, Policy, State, TimeStep

Record = Callable[[State, TimeStep, Any, Action], Any]
"""(state, time step, policy's memory, action) before a step -> what to keep of it, a pytree."""


class Episodes(NamedTuple):
    """Episodes from K reset keys, padded to the horizon S."""

    returns: Float[Array, "K N"]
    """Undiscounted sum of each agent's own rewards; the team sum is their sum over N."""
    measures: dict[str, Float[Array, "K"]]
    """The environment's success metrics."""
    length: Int[Array, "K"]
    """Steps until the episode was over."""
    valid: Bool[Array, "K S"]
    """Steps that belong to the episode; the rest is padding."""
    rewards: Float[Array, "K S N"]
    """Zero in the padding."""
    record: Any
    """What ``record`` returned, with leading axes K, S."""


def nothing(*_: Any) -> tuple[()]:
    """Keep nothing but rewards and measures."""
    return ()


def run(
    env: ArrayEnv, policy: Policy, keys: Key[Array, "K"], *, record: Record = nothing
) -> Episodes:
    """One episode per key, all side by side; pure, to be jitted by the caller."""
    return jax.vmap(lambda key: run_one(env, policy, key, record=record))(keys)


def run_one(
    env: ArrayEnv, policy: Policy, key: Key[Array, ""], *, record: Record = nothing
) -> Episodes:
    """The episode of ``key``, without the axis K.

    Its reset depends on ``key`` alone, so the same keys give the same starts to every policy
    (common random numbers).
    """
    reset_key, step_key, act_key = jax.random.split(key, 3)
    state, time_step = env.reset(reset_key)
    readings = {measure.name: jnp.zeros(()) for measure in env.measures}
    start = _Running(
        state, time_step, policy.init(state, time_step), jnp.array(False), readings, jnp.array(0)
    )

    def body(now: _Running, index: Int[Array, ""]) -> tuple[_Running, Any]:
        key = jax.random.fold_in(act_key, index)
        memory, action = policy.act(now.memory, now.state, now.time_step, key)
        kept = record(now.state, now.time_step, memory, action)
        key = jax.random.fold_in(step_key, index)
        state, time_step = env.step(key, now.state, action)
        readings = {}
        for measure in env.measures:
            before = now.readings[measure.name]
            reading = measure.read(state) + (0.0 if measure.over == "last" else before)
            readings[measure.name] = jnp.where(now.over, before, reading)
        reward = jnp.where(now.over, 0.0, time_step.reward)
        over = now.over | time_step.over
        length = now.length + (~now.over).astype(jnp.int32)
        after = _Running(state, time_step, memory, over, readings, length)
        return after, (~now.over, reward, kept)

    final, (valid, rewards, kept) = jax.lax.scan(body, start, jnp.arange(env.spec.horizon))
    steps = final.length.astype(jnp.float32)
    measures = {
        measure.name: final.readings[measure.name] / (steps if measure.over == "mean" else 1)
        for measure in env.measures
    }
    return Episodes(rewards.sum(0), measures, final.length, valid, rewards, kept)


def reset_state(env: ArrayEnv, key: Key[Array, ""]) -> State:
    """The state in which the episode of ``key`` starts, see `run_one`."""
    return env.reset(jax.random.split(key, 3)[0])[0]


class _Running(NamedTuple):
    """An episode under way; once over, it stands still in everything that is counted."""

    state: State
    time_step: TimeStep
    memory: Any
    over: Bool[Array, ""]
    readings: dict[str, Float[Array, ""]]
    length: Int[Array, ""]


def random_policy(*, continuous: bool = False) -> Policy:
    """Uniform over each agent's legal actions, or over [-1, 1] in every component."""

    def act(memory: Any, state: State, step: TimeStep, key: Key[Array, ""]) -> tuple[Any, Any]:
        del state
        if continuous:
            return memory, jax.random.uniform(key, step.action_mask.shape, minval=-1.0)
        return memory, jax.random.categorical(key, jnp.where(step.action_mask, 0.0, -jnp.inf))

    return Policy(init=lambda state, step: (), act=act)
