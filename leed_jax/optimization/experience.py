"""A rollout as the losses need it: values, advantages, and rows to draw minibatches from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import (
    balance,
    critics,
    decisions,
    devices,
    distances,
    distributions,
    losses,
    networks,
    normalisation,
    returns,
    rollout,
    values,
)
from leed_jax.optimization.learners import Learner
from leed_jax.optimization.situations import (
    NOTHING_MORE,
    Extras,
    Finished,
    Situation,
    Transitions,
)


class Noted(NamedTuple):
    """What a rollout shows beside its rows; None where nobody asks."""

    observed: balance.Observed | None = None
    rewards: normalisation.Moments | None = None
    """Of discounted returns, this rollout's with all before."""


class Material(NamedTuple):
    """A rollout, ready for minibatches: axes [T E N] (recurrent), [1 T*E N], or [1 C*E N]."""

    observation: Array
    start: Array
    action_mask: Array
    batch: losses.Batch
    carries: dict[str, Array] | None
    """Recurrent states at the start of the rollout, [E N H]."""
    global_state: Array | None = None
    """For a central critic: without the axis N, or with it where rows are of decisions."""
    noted: Noted = Noted()
    policy: distributions.Distribution | None = None
    """That of the rollout, where a term compares with it."""


Collected = tuple[Situation, Material, Finished, dict[str, Array]]
"""What a rollout leaves: where it ended, its rows, its episodes, further metrics."""


def gather(
    learner: Learner,
    params: dict[str, networks.Params],
    before: Situation,
    key: Key[Array, ""],
    extras: Extras = NOTHING_MORE,
) -> tuple[Situation, Material, dict[str, Array]]:
    """Collects a rollout and everything the losses need that does not change with parameters.

    Also returns metrics: ``finished`` episodes, their mean ``train_return``, and, where rows are
    kept of decisions only, the share of ``dropped_decisions``.
    """
    config = learner.config
    collect = _decisions if decisions.used(config, learner.env.spec) else _steps
    situation, material, finished, metrics = collect(learner, params, before, key, extras)
    if learner.method.compares:
        material = material._replace(policy=_policy(learner, params, material))
    noted = material.noted
    if not config.network.recurrent:
        # Group by group: what a device has of the environments stays with it.
        material = jax.tree.map(
            lambda leaf: devices.merge(leaf, config.shuffle_groups)[None],
            material._replace(carries=None, noted=Noted()),
        )
    count = finished.count.astype(jnp.float32)
    metrics["finished"] = count
    metrics["train_return"] = finished.team_return / jnp.maximum(count, 1)
    return situation, material._replace(noted=noted), metrics


def _policy(
    learner: Learner, params: dict[str, networks.Params], material: Material
) -> distributions.Distribution:
    """In all rows, once for all gradient steps."""
    actor = learner.actor
    carry = actor.carry(material.start.shape[1])
    if material.carries is not None:
        carry = material.carries["actor"]
    output, _ = actor.apply(params["actor"], carry, material.observation, material.start)
    return actor.distribution(output, material.action_mask)


def _steps(
    learner: Learner,
    params: dict[str, networks.Params],
    before: Situation,
    key: Key[Array, ""],
    extras: Extras,
) -> Collected:
    """A row for every step.

    The value loss takes all of them, also those without a decision: every value is bootstrapped.
    """
    env, config, actor = learner.env, learner.config, learner.actor
    situation, rows, finished = rollout.collect(
        env,
        actor,
        params["actor"],
        before,
        key,
        steps=config.rollout_steps,
        expert=learner.expert,
        extras=extras,
    )
    value, critic_carry = values.of_rollout(
        actor, learner.critic, params, situation, rows, before.critic_carry
    )
    valid = jnp.broadcast_to(rows.valid[..., None], rows.reward.shape)
    discount = config.gamma * (1.0 - rows.terminated.astype(rows.reward.dtype))
    noted, reward = _note(extras, finished, rows.reward)
    if noted.observed is not None:
        start = jnp.broadcast_to(rows.start[..., None], rows.decision.shape)
        noted = _with_pieces(noted, config, rows.observation, rows.decision, start)
    advantage = returns.generalised_advantages(
        reward, value, discount, valid, gae_lambda=config.gae_lambda
    )
    batch = _batch(rows, value[:-1], advantage, valid)
    carries = {"actor": before.actor_carry, "critic": before.critic_carry}
    seen = rows.observation, rows.start, rows.action_mask
    material = Material(*seen, batch, carries, rows.global_state, noted)
    return situation._replace(critic_carry=critic_carry), material, finished, {}


def _decisions(
    learner: Learner,
    params: dict[str, networks.Params],
    before: Situation,
    key: Key[Array, ""],
    extras: Extras,
) -> Collected:
    """A row for every decision."""
    config = learner.config
    situation, found, finished = decisions.collect(
        learner.env,
        learner.actor,
        params["actor"],
        before,
        key,
        config=config,
        expert=learner.expert,
        extras=extras,
    )
    no_start = jnp.zeros(found.rows.decision.shape[:2], bool)
    seen = critics.view(found.rows.observation, found.rows.global_state)
    seen = before.critic_carry, seen, no_start
    value = values.of_observations(learner.actor, learner.critic, params, *seen)
    rows = jax.tree.map(lambda leaf: leaf[:-1], found.rows)
    noted, reward = _note(extras, finished, found.reward)
    if noted.observed is not None:
        # An episode ends with the row of its last observation, or where the agent terminates.
        ends = ~rows.decision | (found.discount == 0.0)
        start = jnp.concatenate([jnp.ones_like(ends[:1]), ends[:-1]])
        noted = _with_pieces(noted, config, rows.observation, rows.decision, start)
    advantage = returns.generalised_advantages(
        reward, value, found.discount, rows.decision, gae_lambda=config.gae_lambda
    )
    batch = _batch(rows, value[:-1], advantage, rows.decision)
    seen = rows.observation, no_start[:-1], rows.action_mask
    material = Material(*seen, batch, None, rows.global_state, noted)
    return situation, material, finished, {"dropped_decisions": found.dropped}


def _note(
    extras: Extras, finished: Finished, reward: Float[Array, "T E N"]
) -> tuple[Noted, Float[Array, "T E N"]]:
    """What the episodes show, and the rewards, scaled where that is asked for."""
    noted = Noted()
    if extras.returns:
        assert finished.agent_return is not None  # the rollout had the same extras
        count = finished.count.astype(jnp.float32)
        noted = noted._replace(observed=balance.Observed(count, finished.agent_return))
    if extras.rewards is not None:
        assert isinstance(finished.discounted, normalisation.Moments)  # `Finished.total`
        known = normalisation.joined(extras.rewards, finished.discounted)
        noted = noted._replace(rewards=known)
        reward = reward * normalisation.reward_factor(known, reward.shape[-1])
    return noted, reward


def _with_pieces(
    noted: Noted,
    config: TrainConfig,
    observation: Float[Array, "T E N D"],
    decision: Bool[Array, "T E N"],
    start: Bool[Array, "T E N"],
) -> Noted:
    """With trajectories of some environments, where λ depends on them."""
    assert noted.observed is not None
    if config.expert.schedule != "dtw":
        return noted
    few = config.expert.dtw_episodes
    sequences, found = distances.pieces(
        observation[:, :few], decision[:, :few], start[:, :few], config.expert.dtw_points
    )
    return noted._replace(observed=noted.observed._replace(sequences=sequences, found=found))


def _batch(
    rows: Transitions | decisions.Rows,
    value: Float[Array, "T E N"],
    advantage: Float[Array, "T E N"],
    valid: Bool[Array, "T E N"],
) -> losses.Batch:
    return losses.Batch(
        action=rows.action,
        log_prob=rows.log_prob,
        value=value,
        advantage=advantage,
        target=advantage + value,
        valid=valid,
        decision=rows.decision,
        label=rows.label,
        label_weight=rows.labelled.astype(jnp.float32),
    )
