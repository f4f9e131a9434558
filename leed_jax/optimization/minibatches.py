"""From experience to gradients: minibatches of a rollout and of demonstrations, and their loss.

Everything is time first. Rows of a feed-forward network form one time step, ``[1 B N ...]``; a
recurrent network gets whole sequences of environments and whole episodes, ``[T B N ...]``.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from leed_jax import demonstrations
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations, Rows
from leed_jax.optimization import categorical, losses, networks, returns, rollout
from leed_jax.types import ArrayEnv, Expert


class Data(NamedTuple):
    """Demonstrations as arguments of the compiled step: rows, or whole episodes time first."""

    rows: Rows | None
    episodes: Rows | None
    """Leading axes K, S, for recurrent networks."""


def data(demos: Demonstrations | None, config: TrainConfig) -> Data:
    """Demonstrations in the form that the update samples from."""
    if demos is None:
        return Data(None, None)
    if config.network.kind == "mlp":
        return Data(demos.rows(config.expert.weighting), None)
    return Data(None, demos.episodes(config.expert.weighting))


class Material(NamedTuple):
    """A rollout, ready for minibatches: axes [T E N] (recurrent) or [1 T*E N]."""

    observation: Array
    start: Array
    action_mask: Array
    batch: losses.Batch
    carries: dict[str, Array] | None
    """Recurrent states at the start of the rollout, [E N H]."""


def gather(
    env: ArrayEnv,
    actor: networks.Network,
    critic: networks.Network,
    config: TrainConfig,
    params: dict[str, networks.Params],
    before: rollout.Situation,
    key: Key[Array, ""],
    expert: Expert | None,
) -> tuple[rollout.Situation, Material, rollout.Finished]:
    """Collects a rollout and everything the losses need that does not change with parameters."""
    situation, rows, finished = rollout.collect(
        env,
        actor,
        params["actor"],
        before,
        key,
        steps=config.rollout_steps,
        expert=expert,
    )
    value, critic_carry = rollout.values(
        critic, params["critic"], situation, rows, before.critic_carry
    )
    valid = jnp.broadcast_to(rows.valid[..., None], rows.reward.shape)
    advantage = returns.generalised_advantages(
        rows.reward,
        value,
        rows.terminated,
        valid,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
    )
    batch = losses.Batch(
        action=rows.action,
        log_prob=rows.log_prob,
        value=value[:-1],
        advantage=advantage,
        target=advantage + value[:-1],
        valid=valid,
        decision=rows.decision,
        label=rows.label,
        label_weight=rows.labelled.astype(jnp.float32),
    )
    carries = {"actor": before.actor_carry, "critic": before.critic_carry}
    material = Material(rows.observation, rows.start, rows.action_mask, batch, carries)
    if config.network.kind == "mlp":

        def flatten(leaf: Array) -> Array:
            return leaf.reshape((1, -1, *leaf.shape[2:]))

        material = jax.tree.map(flatten, material._replace(carries=None))
    return situation._replace(critic_carry=critic_carry), material, finished


def shuffled(key: Key[Array, ""], config: TrainConfig) -> Int[Array, "G B"]:
    """Indices of rows (of environments, for a recurrent network) for every gradient step.

    One permutation per epoch, the same for all agents: their rows lie side by side in memory.
    """
    size = config.num_envs if config.network.kind == "gru" else config.steps_per_update
    keys = jax.random.split(key, config.num_epochs)
    orders = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    return orders.reshape(config.num_epochs * config.num_minibatches, -1)


def take(material: Material, index: Int[Array, "B"]) -> Material:
    """The rows (environments, for a recurrent network) of one minibatch."""
    carries = material.carries
    if carries is not None:
        carries = jax.tree.map(lambda leaf: leaf[index], carries)
    rows = jax.tree.map(lambda leaf: leaf[:, index], material._replace(carries=None))
    return rows._replace(carries=carries)


def draw(key: Key[Array, ""], data: Data, config: TrainConfig) -> Rows | None:
    """Demonstrations of a gradient step, time first: [1 B N ...], or [S B N ...] if recurrent."""
    size = config.expert.batch_size
    if config.expert.labels == "visited":
        return None
    if data.rows is not None:
        return jax.tree.map(lambda leaf: leaf[None], demonstrations.sample(key, data.rows, size))
    assert data.episodes is not None  # one of the two is there, see `data`
    batch = demonstrations.sample(key, data.episodes, size)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), batch)


def loss(
    actor: networks.Network,
    critic: networks.Network,
    config: TrainConfig,
    method: losses.Method,
    params: dict[str, Any],
    batch: Material | None,
    guide: Rows | None,
    weight: Float[Array, "N"],
) -> tuple[Float[Array, "N"], dict[str, Array]]:
    """Every agent's loss and its parts; also whether the agent had anything to learn from."""
    num_agents = weight.shape[0]
    nothing: Any = None
    predictions = losses.Predictions(nothing, nothing, nothing)
    learns = jnp.zeros(num_agents, bool)
    rows = expert_rows = None
    parts = [part for part in (batch, guide) if part is not None]
    logits = _logits(actor, params["actor"], parts)
    if batch is not None:
        carry = critic.carry(batch.start.shape[1])
        carry = carry if batch.carries is None else batch.carries["critic"]
        value, _ = critic.apply(params["critic"], carry, batch.observation, batch.start)
        predictions = predictions._replace(
            log_probs=_by_agent(categorical.log_probs(logits[0], batch.action_mask)),
            value=_by_agent(value[..., 0]),
        )
        rows = jax.tree.map(_by_agent, batch.batch)
        learns |= rows.valid.any(-1)
    if guide is not None:
        log_probs = categorical.log_probs(logits[-1], guide.action_mask)
        predictions = predictions._replace(expert_log_probs=_by_agent(log_probs))
        expert_rows = losses.ExpertRows(_by_agent(guide.action), _by_agent(guide.weight))
        learns |= (expert_rows.weight > 0).any(-1)

    def one_agent(predictions: Any, rows: Any, expert_rows: Any, weight: Array) -> Any:
        parts = {t.name: t.loss(predictions, rows, expert_rows, config) for t in method.terms}
        factors = {t.name: t.coefficient(config, weight) for t in method.terms}
        return sum(factors[name] * parts[name] for name in parts), parts

    loss, parts = jax.vmap(one_agent)(predictions, rows, expert_rows, weight)
    return loss, {**parts, "learns": learns}


def _logits(
    actor: networks.Network, params: networks.Params, parts: list[Material | Rows]
) -> list[Float[Array, "T B N A"]]:
    """The actor's outputs for every part; rows of a feed-forward network in one batch."""
    inputs = []
    for part in parts:
        size = part.action_mask.shape[1]
        if isinstance(part, Material):
            carry = actor.carry(size) if part.carries is None else part.carries["actor"]
            inputs.append((carry, part.observation, part.start))
        else:
            start = jnp.zeros(part.action_mask.shape[:2], bool)
            inputs.append((actor.carry(size), part.observation, start))
    if all(observation.shape[0] == 1 for _, observation, _ in inputs):
        carries, observations, starts = zip(*inputs, strict=True)
        sizes = [carry.shape[0] for carry in carries]
        joined = actor.apply(
            params,
            jnp.concatenate(carries),
            jnp.concatenate(observations, 1),
            jnp.concatenate(starts, 1),
        )[0]
        return jnp.split(joined, list(np.cumsum(sizes[:-1])), axis=1)
    return [actor.apply(params, *each)[0] for each in inputs]


def _by_agent(leaf: Array) -> Array:
    """[T B N ...] -> [N T*B ...]."""
    return jnp.moveaxis(leaf.reshape((-1, *leaf.shape[2:])), 1, 0)
