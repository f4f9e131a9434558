"""From experience to gradients: minibatches of a rollout and of demonstrations, and their loss.

Everything is time first. Rows of a feed-forward network form one time step, ``[1 B N ...]``; a
recurrent network gets whole sequences of environments and whole episodes, ``[T B N ...]``.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped

from leed_jax import demonstrations
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations, Rows
from leed_jax.optimization import decisions, devices, losses, networks
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
    most = size // config.shuffle_groups // config.shuffle_block
    if most < config.num_minibatches:
        raise ValueError(
            f"num_minibatches must be at most {most}, the rows that decision_share = "
            f"{spec.decision_share} leaves of an update in each of {config.shuffle_groups} "
            f"shuffle_groups, in blocks of {config.shuffle_block}, got {config.num_minibatches}"
        )
    return size


def shuffled(key: Key[Array, ""], config: TrainConfig, size: int) -> Int[Array, "G B"]:
    """Indices of rows (of environments, for a recurrent network) for every gradient step.

    With several groups of environments: indices within its group, of one group behind the other.
    One permutation per epoch (and group), the same for all agents: their rows lie side by side in
    memory. Rows of a block stay together, so that so many fewer numbers are sorted. Where ``size``
    is no multiple of the minibatches, an epoch leaves out a few rows, other ones each time.
    """
    keys = jax.random.split(key, config.num_epochs)
    groups = config.shuffle_groups
    if groups > 1:
        keys = jax.vmap(lambda key: jax.random.split(key, groups))(keys).reshape(-1)
    block = 1 if config.network.recurrent else config.shuffle_block
    size = size // groups // block
    orders = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    orders = orders[:, : size - size % config.num_minibatches]
    orders = orders.reshape(config.num_epochs, groups, config.num_minibatches, -1)
    orders = jnp.swapaxes(orders, 1, 2)
    if block > 1:
        orders = orders[..., None] * block + jnp.arange(block)
    return orders.reshape(config.num_epochs * config.num_minibatches, -1)


def take(material: Material, index: Int[Array, "B"], groups: int = 1) -> Material:
    """The rows (environments, for a recurrent network) of one minibatch, see `shuffled`."""
    carries = material.carries
    pick = functools.partial(_pick, index=index.reshape(groups, -1))
    if carries is not None:
        carries = jax.tree.map(lambda leaf: pick(leaf[None])[0], carries)
    rows = jax.tree.map(pick, material._replace(carries=None))
    return devices.divide(rows, 1)._replace(carries=carries)


def _pick(leaf: Shaped[Array, "T M *r"], index: Int[Array, "G B"]) -> Shaped[Array, "T G*B *r"]:
    if len(index) == 1:
        return leaf[:, index[0]]
    # Not by one gather from all groups: every device would need the rows of the others.
    taken = jax.vmap(lambda part, index: part[:, index], (1, 0), 1)
    return _merged(taken(_split(leaf, 1, len(index)), index), 1)


def _split(leaf: Array, axis: int, groups: int) -> Array:
    """An axis of ``groups`` in front of the given one, which is so much shorter."""
    shape = leaf.shape
    return leaf.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def _merged(leaf: Array, axis: int) -> Array:
    """The given axis and the next one as one."""
    shape = leaf.shape
    return leaf.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def draw(key: Key[Array, ""], data: Data, config: TrainConfig) -> Rows | None:
    """Demonstrations of a gradient step, time first: [1 B N ...], or [S B N ...] if recurrent."""
    size = config.expert.batch_size
    if config.expert.labels == "visited":
        return None
    if data.rows is not None:
        batch = jax.tree.map(lambda leaf: leaf[None], demonstrations.sample(key, data.rows, size))
        return devices.divide(batch, 1)
    assert data.episodes is not None  # one of the two is there, see `data`
    batch = demonstrations.sample(key, data.episodes, size)
    return devices.divide(jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), batch), 1)


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
    outputs = _outputs(actor, params["actor"], parts, config.shuffle_groups)
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
    actor: networks.Network, params: networks.Params, parts: list[Material | Rows], groups: int
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
    sizes = [carry.shape[0] // groups for carry, _, _ in inputs]
    rows_only = all(observation.shape[0] == 1 for _, observation, _ in inputs)
    if rows_only and all(carry.shape[0] % groups == 0 for carry, _, _ in inputs):

        def join(axis: int, *leaves: Array) -> Array:
            """Within every group, so that a device joins what it has."""
            grouped = [_split(leaf, axis, groups) for leaf in leaves]
            return _merged(jnp.concatenate(grouped, axis + 1), axis)

        carries, observations, starts = zip(*inputs, strict=True)
        joined = actor.apply(params, join(0, *carries), join(1, *observations), join(1, *starts))[0]
        split = jnp.split(_split(joined, 1, groups), list(np.cumsum(sizes[:-1])), axis=2)
        return [_merged(part, 1) for part in split]
    return [actor.apply(params, *each)[0] for each in inputs]


def _by_agent(leaf: Array) -> Array:
    """[T B N ...] -> [N T*B ...]."""
    return jnp.moveaxis(devices.merge(leaf), 1, 0)
