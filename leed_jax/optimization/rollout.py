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
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.optimization import devices, networks
from leed_jax.types import Action, ArrayEnv, Expert, State, TimeStep


class Transitions(NamedTuple):
    """A rollout with a row for every step, time first."""

    observation: Float[Array, "T E N D"]
    action_mask: Bool[Array, "T E N A"]
    action: Action
    log_prob: Float[Array, "T E N"]
    reward: Float[Array, "T E N"]
    terminated: Bool[Array, "T E N"]
    valid: Bool[Array, "T E"]
    """False for rows that hold an episode's last observation."""
    decision: Bool[Array, "T E N"]
    """Valid, and the agent's action matters."""
    start: Bool[Array, "T E"]
    """First row of an episode."""
    label: Action
    """The expert's action, where visited states are labelled, else 0."""
    labelled: Bool[Array, "T E N"]
    """The label is a legal action of a decision."""
    value: Float[Array, "T E N"] | None = None
    """Of the observation, where the actor gives it; a critic's come behind the rollout."""


class Situation(NamedTuple):
    """Where the environments stand between two rollouts."""

    state: State
    time_step: TimeStep
    over: Bool[Array, "E"]
    """The episode has ended; the next step resets."""
    start: Bool[Array, "E"]
    """The next row is the first of an episode."""
    actor_carry: Float[Array, "E N H"]
    critic_carry: Float[Array, "E N H"]
    memory: Any
    """The expert's, where visited states are labelled."""
    team_return: Float[Array, "E"]
    """Sum over agents of the rewards of the episode under way."""


class Finished(NamedTuple):
    """Episodes that ended during a rollout; of a single step, per environment."""

    count: Int[Array, "*b"]
    team_return: Float[Array, "*b"]
    """Their sum."""

    def total(self) -> "Finished":
        """Over steps and environments.

        Behind the loop over steps: inside of it devices would wait for each other in every step.
        """
        return Finished(self.count.sum(), self.team_return.sum())


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
) -> tuple[Situation, Transitions, Finished]:
    """``steps`` steps of every environment with the sampled policy."""
    loop = stepper(env, actor, params, situation, key, steps=steps, expert=expert)
    last, (rows, finished) = jax.lax.scan(loop.step, loop.start, loop.keys)
    return last.situation, rows, finished.total()


def stepper(
    env: ArrayEnv,
    actor: networks.Network,
    params: networks.Params,
    situation: Situation,
    key: Key[Array, ""],
    *,
    steps: int,
    expert: Expert | None = None,
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
        stepped = jax.vmap(env.step)(jax.random.split(env_key, num_envs), now.state, action)
        decision = observed.decision & ~now.over[:, None]
        label, labelled, memory = _label(expert, now, decision, action)

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
        )
        over = jax.vmap(lambda time_step: time_step.over)(time_step) & ~now.over
        total = now.team_return + reward.sum(-1)
        finished = Finished(over.astype(jnp.int32), jnp.where(over, total, 0.0))
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


def _label(
    expert: Expert | None, now: Situation, decision: Bool[Array, "E N"], action: Action
) -> Any:
    """The expert's actions for the states that the learner is in."""
    if expert is None:
        return jnp.zeros_like(action), jnp.zeros_like(decision), ()
    label, memory = jax.vmap(expert.label)(now.state, now.memory)
    labelled = decision & now.time_step.allows(label)
    # A number that is no action would make the loss of its row NaN, whatever the row's weight.
    kept = labelled.reshape(labelled.shape + (1,) * (label.ndim - labelled.ndim))
    return jnp.where(kept, label, jnp.zeros_like(label)), labelled, memory


def values(
    actor: networks.Network,
    critic: networks.Network | None,
    params: dict[str, networks.Params],
    situation: Situation,
    rows: Transitions,
    carry: Float[Array, "E N H"],
) -> tuple[Float[Array, "T1 E N"], Float[Array, "E N H"]]:
    """The values of all rows and of the observation that follows the last one.

    A critic's are one batch after the rollout instead of a small one in each of its steps. Also
    returns its recurrent state after the rows, with which the next rollout begins.
    """
    last = situation.time_step.observation[None], situation.start[None]
    if critic is None:
        assert actor.value is not None and rows.value is not None  # one of the two gives values
        final, _ = actor.apply(params["actor"], situation.actor_carry, *last)
        return jnp.concatenate([rows.value, actor.value(final)]), carry
    before, after = critic.apply(params["critic"], carry, rows.observation, rows.start)
    final, _ = critic.apply(params["critic"], after, *last)
    return jnp.concatenate([before, final])[..., 0], after
