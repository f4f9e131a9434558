"""From experience to gradients: minibatches of a rollout and of demonstrations, and their loss.

Everything is time first. Rows of a feed-forward network form one time step, ``[1 B N ...]``; a
recurrent network gets whole sequences of environments and whole episodes, ``[T B N ...]``.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations, Rows
from leed_jax.optimization import balance, critics, decisions, devices, losses, values
from leed_jax.optimization.experience import Material
from leed_jax.optimization.learners import Learner
from leed_jax.types import EnvSpec


class Data(NamedTuple):
    """Demonstrations as arguments of the compiled step: rows, or whole episodes time first."""

    rows: Rows | None
    episodes: Rows | None
    """Leading axes K, S, for recurrent networks."""
    reference: balance.Reference | None = None
    """What an adaptive λ compares learners with."""


def data(demos: Demonstrations | None, config: TrainConfig) -> Data:
    """Demonstrations in the form that the update samples from."""
    if demos is None:
        return Data(None, None)
    compared = None
    if config.expert.schedule in balance.ADAPTIVE:
        compared = balance.reference(demos, config.expert)
    if not config.network.recurrent:
        return Data(demos.rows(config.expert.weighting), None, compared)
    return Data(None, demos.episodes(config.expert.weighting), compared)


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
    most = size // config.shuffle_groups
    if most < config.num_minibatches:
        raise ValueError(
            f"num_minibatches must be at most {most}, the rows that decision_share = "
            f"{spec.decision_share} leaves of an update in each of {config.shuffle_groups} "
            f"shuffle_groups, got {config.num_minibatches}"
        )
    return size


def shuffled(key: Key[Array, ""], config: TrainConfig, size: int) -> Int[Array, "G B"]:
    """Indices of rows (of environments, for a recurrent network) for every gradient step.

    With several groups of environments: indices within its group, of one group behind the other.
    One permutation per epoch (and group), the same for all agents: their rows lie side by side in
    memory. Where ``size`` is no multiple of the minibatches, an epoch leaves out a few rows, other
    ones each time.
    """
    keys = jax.random.split(key, config.num_epochs)
    groups = config.shuffle_groups
    if groups > 1:
        keys = jax.vmap(lambda key: jax.random.split(key, groups))(keys).reshape(-1)
    size = size // groups
    orders = jax.vmap(lambda key: _permutation(key, size))(keys)
    orders = orders[:, : size - size % config.num_minibatches]
    orders = orders.reshape(config.num_epochs, groups, config.num_minibatches, -1)
    orders = jnp.swapaxes(orders, 1, 2)
    return orders.reshape(config.num_epochs * config.num_minibatches, -1)


def _permutation(key: Key[Array, ""], size: int) -> Int[Array, "M"]:
    """Numbers below ``size`` in random order.

    Sorts single words, random bits in front and the number behind them: XLA's CPU backend does that
    14 times as fast as `jax.random.permutation`, which took a seventh of a whole training step.
    Numbers with equal random bits come in their order: 19 random bits for 8,192 rows, 12 for a
    million, far more values than there are minibatches.
    """
    width = max(1, (size - 1).bit_length())
    drawn = (jax.random.bits(key, (size,)) >> width) << width
    ordered = jnp.sort(drawn | jnp.arange(size, dtype=jnp.uint32))
    return (ordered & ((1 << width) - 1)).astype(jnp.int32)


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
    groups, each = index.shape
    steps, size, *rest = leaf.shape
    grouped = leaf.reshape(steps, groups, size // groups, *rest)
    taken = jax.vmap(lambda part, index: part[:, index], (1, 0), 1)(grouped, index)
    return taken.reshape(steps, groups * each, *rest)


def chosen(
    key: Key[Array, ""], data: Data, config: TrainConfig, count: int
) -> Int[Array, "G B"] | None:
    """Indices of demonstration rows (episodes) for so many gradient steps, with replacement.

    For all of them at once: random numbers are many small kernels, whatever they are drawn for.
    """
    if config.expert.labels == "visited":
        return None
    found = data.episodes if data.rows is None else data.rows
    assert found is not None  # one of the two is there, see `data`
    shape = count, config.expert.batch_size
    return jax.random.randint(key, shape, 0, found.action.shape[0])


def draw(index: Int[Array, "B"] | None, data: Data) -> Rows | None:
    """Demonstrations of a gradient step, time first: [1 B N ...], or [S B N ...] if recurrent."""
    if index is None:
        return None
    if data.rows is not None:
        batch = jax.tree.map(lambda leaf: leaf[index][None], data.rows)
    else:
        batch = jax.tree.map(lambda leaf: jnp.swapaxes(leaf[index], 0, 1), data.episodes)
    return devices.divide(batch, 1)


def loss(
    learner: Learner,
    params: dict[str, Any],
    batch: Material | None,
    guide: Rows | None,
    weight: Float[Array, "N"],
) -> tuple[Float[Array, "N"], dict[str, Array]]:
    """Every agent's loss and its parts; also whether the agent had anything to learn from."""
    actor, config, method = learner.actor, learner.config, learner.method
    num_agents = weight.shape[0]
    nothing: Any = None
    predictions = losses.Predictions(nothing, nothing, nothing)
    learns = jnp.zeros(num_agents, bool)
    rows = expert_rows = None
    if batch is not None:
        size = batch.start.shape[1]
        carries = batch.carries or dict.fromkeys(("actor", "critic"), actor.carry(size))
        seen = batch.observation, batch.start
        output, _ = actor.apply(params["actor"], carries["actor"], *seen)
        if actor.value is not None:
            value = actor.value(output)
        else:
            seen = critics.view(batch.observation, batch.global_state), batch.start
            value = values.of_observations(actor, learner.critic, params, carries["critic"], *seen)
        predictions = predictions._replace(
            policy=jax.tree.map(_by_agent, actor.distribution(output, batch.action_mask)),
            value=_by_agent(value),
            before=jax.tree.map(_by_agent, batch.policy),
        )
        rows = jax.tree.map(_by_agent, batch.batch)
        learns |= rows.valid.any(-1)
    if guide is not None:
        steps, size = guide.action_mask.shape[:2]
        # Not in one batch with the rollout's rows: joining and parting them costs more (measured).
        output, _ = actor.apply(
            params["actor"], actor.carry(size), guide.observation, jnp.zeros((steps, size), bool)
        )
        policy = actor.distribution(output, guide.action_mask)
        predictions = predictions._replace(expert_policy=jax.tree.map(_by_agent, policy))
        expert_rows = losses.ExpertRows(_by_agent(guide.action), _by_agent(guide.weight))
        learns |= (expert_rows.weight > 0).any(-1)

    def one_agent(predictions: Any, rows: Any, expert_rows: Any, weight: Array) -> Any:
        parts = {t.name: t.loss(predictions, rows, expert_rows, config) for t in method.terms}
        factors = {t.name: t.coefficient(config, weight) for t in method.terms}
        return sum(factors[name] * parts[name] for name in parts), parts

    loss, parts = jax.vmap(one_agent)(predictions, rows, expert_rows, weight)
    return loss, {**parts, "learns": learns}


def _by_agent(leaf: Array) -> Array:
    """[T B N ...] -> [N T*B ...]."""
    return jnp.moveaxis(devices.merge(leaf), 1, 0)


def seen(
    material: Material | None, data: Data
) -> tuple[Float[Array, "*t N D"], Bool[Array, "*t N"]]:
    """The observations of an update, and which of them count: of the rollout, if there is one."""
    if material is not None:
        return material.observation, material.batch.valid
    found = data.episodes if data.rows is None else data.rows
    assert found is not None  # what else would have been learnt from
    return found.observation, found.weight > 0
