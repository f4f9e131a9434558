"""Actors and critics of all agents: parameters with a leading axis N, or fewer that are shared.

Networks take sequences ``[T, B, D]`` with a flag where an episode starts. A feed-forward network
ignores the order, so a batch of single rows is a sequence of length one, and the trainer has one
code path for both kinds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from leed_jax.config import NetworkConfig
from leed_jax.optimization import distributions, layers, normalisation
from leed_jax.types import EnvSpec

Params = Any
"""Parameters, a pytree whose leaves have the leading axis N; of size N / g, each serves g
neighbours among the agents, of size 1 all of them."""


class Network(NamedTuple):
    """One network per agent, all agents at once."""

    init: Callable[[Key[Array, ""]], Params]
    carry: Callable[[int], Float[Array, "B N H"]]
    """Recurrent state of B environments at the start of an episode; H is 0 without recurrence."""
    apply: Callable[
        [Params, Float[Array, "B N H"], Float[Array, "T B N D"], Bool[Array, "T B"]],
        tuple[Float[Array, "T B N O"], Float[Array, "B N H"]],
    ]
    """(parameters, recurrent state, observations, starts) -> outputs, recurrent state after T.

    Where ``starts`` is true the recurrent state is zeroed before the row."""
    distribution: Callable[[Array, Array], distributions.Distribution]
    """(an actor's outputs, action mask) -> its policy."""
    value: Callable[[Float[Array, "*b O"]], Float[Array, "*b"]] | None = None
    """An actor's outputs -> the value, where actor and critic are one network."""


def make(
    config: NetworkConfig,
    spec: EnvSpec,
    outputs: int,
    head_scale: float,
    *,
    sets: int | None = None,
    gaussian: bool = False,
    common_trunk: bool = False,
) -> Network:
    """A network of ``outputs`` numbers per agent (actions for an actor, one for a critic).

    ``sets`` of parameters (a divisor of N; None: N) serve as many equal groups of neighbours among
    the agents, whose observations must be of one size. Only `init` depends on it: `apply` sees by
    the parameters whom they serve. With ``common_trunk`` the critic is a branch of the network, and
    its value one more output, the last.

    Raises:
      ValueError: convolutions are wanted, and observations are no grids.
    """
    convolves = config.kind == "cnn"
    if convolves and spec.observation_shape is None:
        raise ValueError(
            f"network.kind must be mlp or gru: the observations of {spec.name} are no grids of one "
            "shape, which cnn needs"
        )
    width = config.hidden_sizes[-1] if config.recurrent else 0
    body = layers.Body(
        hidden_sizes=config.hidden_sizes,
        outputs=outputs,
        head_scale=head_scale,
        activation={"tanh": nn.tanh, "relu": nn.relu}[config.activation],
        recurrent=config.recurrent,
        grid=spec.observation_shape if convolves else None,
        channels=config.channels,
        gaussian=gaussian,
        common_trunk=common_trunk,
    )

    def init(key: Key[Array, ""]) -> Params:
        # Fan-in is each agent's own observation size; the rows of padded features are zero.
        sizes = np.array(spec.observation_sizes[:: spec.num_agents // (sets or spec.num_agents)])
        keys = jax.random.split(key, len(sizes))
        groups, order = [], []
        for size in np.unique(sizes):
            agents = np.flatnonzero(sizes == size)
            blank = (jnp.zeros((1, width)), jnp.zeros((1, 1, size)), jnp.zeros((1, 1), bool))
            params: Any = jax.vmap(lambda key, blank=blank: body.init(key, *blank))(keys[agents])
            encoder = params["params"]["encoder"]
            missing = 0 if convolves else spec.observation_size - int(size)
            encoder["kernel"] = jnp.pad(encoder["kernel"], ((0, 0), (0, missing), (0, 0)))
            groups.append(params)
            order.append(agents)
        back = np.argsort(np.concatenate(order))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[back], *groups)

    def apply(params: Params, carry: Array, observation: Array, start: Array) -> Any:
        params, observation = normalisation.apply(params, observation)
        # Agents first, before the first layer and not somewhere behind it: XLA's CPU backend
        # multiplies [N R D] by [N D H] nearly twice as fast as [R N D].
        carry, observation = jnp.moveaxis(carry, 1, 0), jnp.moveaxis(observation, 2, 0)
        each = spec.num_agents // jax.tree.leaves(params)[0].shape[0]
        if each > 1:  # agents with the same parameters are rows of one batch
            carry, observation = _as_rows(carry, each, 1), _as_rows(observation, each, 2)
            start = jnp.repeat(start, each, 1)
        over_sets: Any = jax.vmap(body.apply, (0, 0, 0, None))
        outputs, carry = over_sets(params, carry, observation, start)
        if each > 1:
            outputs, carry = _as_agents(outputs, each, 2), _as_agents(carry, each, 1)
        return jnp.moveaxis(outputs, 0, 2), jnp.moveaxis(carry, 0, 1)

    def carry(batch: int) -> Array:
        return jnp.zeros((batch, spec.num_agents, width))

    distribution = distributions.of(spec)
    if not common_trunk:
        return Network(init, carry, apply, distribution)

    def policy(outputs: Array, mask: Array) -> distributions.Distribution:
        return distribution(outputs[..., :-1], mask)

    return Network(init, carry, apply, policy, lambda outputs: outputs[..., -1])


def _as_rows(leaf: Array, each: int, axis: int) -> Array:
    """[N ... B ...] -> [N/g ... B*g ...], for B on an axis behind the first.

    Agents inside, so that what a device has of B stays together.
    """
    agents, *shape = leaf.shape
    grouped = jnp.moveaxis(leaf.reshape(agents // each, each, *shape), 1, axis + 1)
    shape[axis - 1] *= each
    return grouped.reshape(agents // each, *shape)


def _as_agents(leaf: Array, each: int, axis: int) -> Array:
    """The way back from `_as_rows`."""
    sets, *shape = leaf.shape
    shape[axis - 1] //= each
    grouped = leaf.reshape(sets, *shape[:axis], each, *shape[axis:])
    return jnp.moveaxis(grouped, axis + 1, 1).reshape(sets * each, *shape)


def make_actor(config: NetworkConfig, spec: EnvSpec, *, sets: int | None = None) -> Network:
    """Observation -> what `Network.distribution` makes a policy of.

    Logits of the actions, before masking; of continuous actions, means and log deviations; with
    ``config.common_trunk`` the value, for `Network.value`, behind them.
    """
    return make(
        config,
        spec,
        spec.num_actions,
        layers.ACTOR_HEAD_SCALE,
        sets=sets,
        gaussian=spec.continuous,
        common_trunk=config.common_trunk,
    )


def make_critic(config: NetworkConfig, spec: EnvSpec, *, sets: int | None = None) -> Network:
    """Observation -> value, a last axis of size one; not needed with ``config.common_trunk``."""
    return make(config, spec, 1, layers.CRITIC_HEAD_SCALE, sets=sets)
