"""Experience: all environments stepped side by side, all agents at once.

Next-step reset: when an episode ends, its true last observation stays in the rollout as a row of
its own, marked invalid, and the environment is reset in the step that follows. The value of the
next row is therefore always the right one to bootstrap from, time limits included, and recurrent
networks know exactly where an episode starts. It costs one row per episode.

Resets come from a pool, computed once per rollout outside the loop; under ``vmap`` a conditional
reset would be computed in every step anyway.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from leed_jax.optimization import devices, networks
from leed_jax.optimization.situations import (
    NOTHING_MORE,
    Extras,
    Finished,
    Situation,
    Transitions,
)
from leed_jax.types import Action, ArrayEnv, Expert

MIXTURE_STREAM = 1
"""``fold_in`` constant: who acts is drawn apart from the learners' actions."""


def begin(
    env: ArrayEnv, network: networks.Network, key: Key[Array, ""], num_envs: int, expert: Any
) -> Situation:
    """All environments at the start of an episode."""
    # Weakly typed leaves would come back strong from the first update, and compile it twice.
    state, time_step = jax.tree.map(
        lambda leaf: leaf.astype(leaf.dtype), jax.vmap(env.reset)(jax.random.split(key, num_envs))
    )
    return Situation(
        state=state,
        time_step=time_step,
        over=jnp.zeros(num_envs, bool),
        start=jnp.ones(num_envs, bool),
        actor_carry=network.carry(num_envs),
        critic_carry=network.carry(num_envs),
        memory=() if expert is None else jax.vmap(expert.init)(state),
        team_return=jnp.zeros(num_envs),
    )


def pool_size(env: ArrayEnv, num_envs: int, steps: int) -> int:
    """Resets that a rollout needs when every episode lasts to the horizon, and one to spare each.

    If episodes are shorter, the pool is gone through again within that rollout.
    """
    return num_envs * (math.ceil(steps / (env.spec.horizon + 1)) + 1)


def _choose(condition: Bool[Array, "E"], if_true: Any, if_false: Any) -> Any:
    def pick(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(condition.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, if_true, if_false)


def _row(tree: Any, index: Int[Array, ""]) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


class Progress(NamedTuple):
    """What the loop over steps carries."""

    situation: Situation
    resets: Int[Array, "E"]
    """Starts taken from the pool so far."""


class Stepper(NamedTuple):
    """The loop over the steps of a rollout, in parts, for those who keep rows in their own way."""

    start: Progress
    keys: Key[Array, "T"]
    step: Callable[[Progress, Key[Array, ""]], tuple[Progress, tuple[Transitions, Finished]]]
    """The rows of one step, without the axis T."""


def collect(
    env: ArrayEnv,
    actor: networks.Network,
    params: networks.Params,
    situation: Situation,
    key: Key[Array, ""],
    *,
    steps: int,
    expert: Expert | None = None,
    extras: Extras = NOTHING_MORE,
) -> tuple[Situation, Transitions, Finished]:
    """``steps`` steps of every environment with the sampled policy."""
    loop = stepper(env, actor, params, situation, key, steps=steps, expert=expert, extras=extras)
    last, (rows, finished) = jax.lax.scan(loop.step, loop.start, loop.keys)
    return last.situation, rows, finished.total(extras.sets)


def stepper(
    env: ArrayEnv,
    actor: networks.Network,
    params: networks.Params,
    situation: Situation,
    key: Key[Array, ""],
    *,
    steps: int,
    expert: Expert | None = None,
    extras: Extras = NOTHING_MORE,
) -> Stepper:
    """The loop that `collect` runs; draws its pool of resets."""
    num_envs = situation.over.shape[0]
    key, pool_key = jax.random.split(key)
    each = pool_size(env, num_envs, steps) // num_envs
    pool_keys = jax.random.split(pool_key, (each, num_envs))
    pool = jax.vmap(jax.vmap(env.reset))(devices.divide(pool_keys, 1))

    def step(progress: Progress, key: Key[Array, ""]) -> Any:
        now, resets = progress
        act_key, env_key = jax.random.split(key)
        observed = now.time_step
        outputs, actor_carry = actor.apply(
            params, now.actor_carry, observed.observation[None], now.start[None]
        )
        policy = actor.distribution(outputs[0], observed.action_mask)
        action = policy.sample(act_key)
        decision = observed.decision & ~now.over[:, None]
        label, labelled, memory = _label(expert, now, decision, action)
        if extras.mixture is not None:
            mixed_key = jax.random.fold_in(act_key, MIXTURE_STREAM)
            guided = jax.random.bernoulli(mixed_key, extras.mixture, (num_envs, 1)) & labelled
            action = jnp.where(_like(guided, action), label, action)
        stepped = jax.vmap(env.step)(jax.random.split(env_key, num_envs), now.state, action)

        # An environment has its own column of the pool, so that a device needs no other's resets.
        fresh = jax.vmap(_row, (1, 0))(pool, resets % each)
        state, time_step = _choose(now.over, fresh, stepped)
        if expert is not None:
            memory = _choose(now.over, jax.vmap(expert.init)(state), memory)
        reward = jnp.where(now.over[:, None], 0.0, stepped[1].reward)
        row = Transitions(
            observation=observed.observation,
            action_mask=observed.action_mask,
            action=action,
            log_prob=policy.log_prob(action),
            reward=reward,
            terminated=stepped[1].terminated,
            valid=~now.over,
            decision=decision,
            start=now.start,
            label=label,
            labelled=labelled,
            value=None if actor.value is None else actor.value(outputs[0]),
            global_state=observed.global_state if extras.central else None,
        )
        over = jax.vmap(lambda time_step: time_step.over)(time_step) & ~now.over
        total = now.team_return + reward.sum(-1)
        finished = Finished(over.astype(jnp.int32), jnp.where(over, total, 0.0))
        now, finished = _note(extras, now, finished, over, reward)
        after = now._replace(
            state=state,
            time_step=time_step,
            over=over,
            start=now.over,
            actor_carry=actor_carry,
            memory=memory,
            team_return=jnp.where(over, 0.0, total),
        )
        return Progress(after, resets + now.over.astype(jnp.int32)), (row, finished)

    start = Progress(situation, jnp.zeros(num_envs, jnp.int32))
    return Stepper(start, jax.random.split(key, steps), step)


def _note(
    extras: Extras, now: Situation, finished: Finished, over: Bool[Array, "E"], reward: Array
) -> tuple[Situation, Finished]:
    """A step's rewards taken into the sums that few ask for."""
    over = over[:, None]
    if extras.returns:
        total = now.agent_return + reward
        finished = finished._replace(agent_return=jnp.where(over, total, 0.0))
        now = now._replace(agent_return=jnp.where(over, 0.0, total))
    if extras.rewards is not None:
        total = extras.discount * now.discounted + reward
        acting = ~now.over[:, None] & ~now.time_step.terminated
        finished = finished._replace(discounted=total, acting=acting)
        now = now._replace(discounted=jnp.where(over, 0.0, total))
    return now, finished


def _label(
    expert: Expert | None, now: Situation, decision: Bool[Array, "E N"], action: Action
) -> Any:
    """The expert's actions for the states that the learner is in."""
    if expert is None:
        return jnp.zeros_like(action), jnp.zeros_like(decision), ()
    label, memory = jax.vmap(expert.label)(now.state, now.memory)
    labelled = decision & now.time_step.allows(label)
    # A number that is no action would make the loss of its row NaN, whatever the row's weight.
    kept = jnp.where(_like(labelled, label), label, jnp.zeros_like(label))
    return kept, labelled, memory


def _like(flags: Bool[Array, "E N"], action: Action) -> Bool[Array, "..."]:
    """Flags of agents with as many axes as their actions have."""
    return flags.reshape(flags.shape + (1,) * (action.ndim - flags.ndim))
