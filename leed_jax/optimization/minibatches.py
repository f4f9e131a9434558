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
from leed_jax.optimization import decisions, losses, networks
from leed_jax.optimization.experience import Material
from leed_jax.types import EnvSpec


class Data(NamedTuple):
    """Demonstrations as arguments of the compiled step: rows, or whole episodes time first."""

    rows: Rows | None
    episodes: Rows | None
    """Leading axes K, S, for recurrent networks."""


def data(demos: Demonstrations | None, config: TrainConfig) -> Data:
    """Demonstrations in the form that the update samples from."""
    if demos is None:
        return Data(None, None)
    if not config.network.recurrent:
        return Data(demos.rows(config.expert.weighting), None)
    return Data(None, demos.episodes(config.expert.weighting))


def population(config: TrainConfig, spec: EnvSpec) -> int:
    """Rows of an update that minibatches are drawn from (environments, if recurrent).

    Raises:
      ValueError: there are not enough of them for all minibatches.
    """
    if config.network.recurrent:
        return config.num_envs
    if not decisions.used(config, spec):
        return config.steps_per_update
    size = decisions.capacity(config, spec) * config.num_envs
    if size < config.num_minibatches:
        raise ValueError(
            f"num_minibatches must be at most {size}, the rows that decision_share = "
            f"{spec.decision_share} leaves of an update, got {config.num_minibatches}"
        )
    return size


def shuffled(key: Key[Array, ""], config: TrainConfig, size: int) -> Int[Array, "G B"]:
    """Indices of rows (of environments, for a recurrent network) for every gradient step.

    One permutation per epoch, the same for all agents: their rows lie side by side in memory.
    Where ``size`` is no multiple of the minibatches, an epoch leaves out a few rows, other ones
    each time.
    """
    keys = jax.random.split(key, config.num_epochs)
    orders = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    orders = orders[:, : size - size % config.num_minibatches]
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
    outputs = _outputs(actor, params["actor"], parts)
    if batch is not None:
        carry = critic.carry(batch.start.shape[1])
        carry = carry if batch.carries is None else batch.carries["critic"]
        value, _ = critic.apply(params["critic"], carry, batch.observation, batch.start)
        predictions = predictions._replace(
            policy=jax.tree.map(_by_agent, actor.distribution(outputs[0], batch.action_mask)),
            value=_by_agent(value[..., 0]),
        )
        rows = jax.tree.map(_by_agent, batch.batch)
        learns |= rows.valid.any(-1)
    if guide is not None:
        policy = actor.distribution(outputs[-1], guide.action_mask)
        predictions = predictions._replace(expert_policy=jax.tree.map(_by_agent, policy))
        expert_rows = losses.ExpertRows(_by_agent(guide.action), _by_agent(guide.weight))
        learns |= (expert_rows.weight > 0).any(-1)

    def one_agent(predictions: Any, rows: Any, expert_rows: Any, weight: Array) -> Any:
        parts = {t.name: t.loss(predictions, rows, expert_rows, config) for t in method.terms}
        factors = {t.name: t.coefficient(config, weight) for t in method.terms}
        return sum(factors[name] * parts[name] for name in parts), parts

    loss, parts = jax.vmap(one_agent)(predictions, rows, expert_rows, weight)
    return loss, {**parts, "learns": learns}


def _outputs(
    actor: networks.Network, params: networks.Params, parts: list[Material | Rows]
) -> list[Float[Array, "T B N O"]]:
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
