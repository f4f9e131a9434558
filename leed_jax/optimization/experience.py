"""A rollout as the losses need it: values, advantages, and rows to draw minibatches from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import decisions, devices, losses, networks, returns, rollout
from leed_jax.types import ArrayEnv, Expert


class Material(NamedTuple):
    """A rollout, ready for minibatches: axes [T E N] (recurrent), [1 T*E N], or [1 C*E N]."""

    observation: Array
    start: Array
    action_mask: Array
    batch: losses.Batch
    carries: dict[str, Array] | None
    """Recurrent states at the start of the rollout, [E N H]."""


Collected = tuple[rollout.Situation, Material, rollout.Finished, dict[str, Array]]
"""What a rollout leaves: where it ended, its rows, its episodes, further metrics."""


def gather(
    env: ArrayEnv,
    actor: networks.Network,
    critic: networks.Network | None,
    config: TrainConfig,
    params: dict[str, networks.Params],
    before: rollout.Situation,
    key: Key[Array, ""],
    expert: Expert | None,
) -> tuple[rollout.Situation, Material, dict[str, Array]]:
    """Collects a rollout and everything the losses need that does not change with parameters.

    Also returns metrics: ``finished`` episodes, their mean ``train_return``, and, where rows are
    kept of decisions only, the share of ``dropped_decisions``.
    """
    collect = _decisions if decisions.used(config, env.spec) else _steps
    situation, material, finished, metrics = collect(
        env, actor, critic, config, params, before, key, expert
    )
    if not config.network.recurrent:
        # Group by group: what a device has of the environments stays with it.
        material = jax.tree.map(
            lambda leaf: devices.merge(leaf, config.shuffle_groups)[None],
            material._replace(carries=None),
        )
    count = finished.count.astype(jnp.float32)
    metrics["finished"] = count
    metrics["train_return"] = finished.team_return / jnp.maximum(count, 1)
    return situation, material, metrics


def _steps(
    env: ArrayEnv,
    actor: networks.Network,
    critic: networks.Network | None,
    config: TrainConfig,
    params: dict[str, networks.Params],
    before: rollout.Situation,
    key: Key[Array, ""],
    expert: Expert | None,
) -> Collected:
    """A row for every step.

    The value loss takes all of them, also those without a decision: every value is bootstrapped.
    """
    situation, rows, finished = rollout.collect(
        env, actor, params["actor"], before, key, steps=config.rollout_steps, expert=expert
    )
    value, critic_carry = rollout.values(
        actor, critic, params, situation, rows, before.critic_carry
    )
    valid = jnp.broadcast_to(rows.valid[..., None], rows.reward.shape)
    discount = config.gamma * (1.0 - rows.terminated.astype(rows.reward.dtype))
    advantage = returns.generalised_advantages(
        rows.reward, value, discount, valid, gae_lambda=config.gae_lambda
    )
    batch = _batch(rows, value[:-1], advantage, valid)
    carries = {"actor": before.actor_carry, "critic": before.critic_carry}
    material = Material(rows.observation, rows.start, rows.action_mask, batch, carries)
    return situation._replace(critic_carry=critic_carry), material, finished, {}


def _decisions(
    env: ArrayEnv,
    actor: networks.Network,
    critic: networks.Network | None,
    config: TrainConfig,
    params: dict[str, networks.Params],
    before: rollout.Situation,
    key: Key[Array, ""],
    expert: Expert | None,
) -> Collected:
    """A row for every decision."""
    situation, found, finished = decisions.collect(
        env, actor, params["actor"], before, key, config=config, expert=expert
    )
    no_start = jnp.zeros(found.rows.decision.shape[:2], bool)
    seen = before.critic_carry, found.rows.observation, no_start
    value = networks.values(actor, critic, params, *seen)
    rows = jax.tree.map(lambda leaf: leaf[:-1], found.rows)
    advantage = returns.generalised_advantages(
        found.reward, value, found.discount, rows.decision, gae_lambda=config.gae_lambda
    )
    batch = _batch(rows, value[:-1], advantage, rows.decision)
    material = Material(rows.observation, no_start[:-1], rows.action_mask, batch, None)
    return situation, material, finished, {"dropped_decisions": found.dropped}


def _batch(
    rows: rollout.Transitions | decisions.Rows,
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
