"""Actors and critics of all agents: parameters with a leading axis N, or 1 where they are shared.

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
from leed_jax.optimization import distributions
from leed_jax.types import EnvSpec

Params = Any
"""Parameters, a pytree whose leaves have the leading axis N; of size 1, they serve all agents."""

ACTOR_HEAD_SCALE, CRITIC_HEAD_SCALE = 0.01, 1.0
"""Gains of the last layers: a nearly uniform first policy (Andrychowicz et al. 2021, 2006.05990,
section 3.2), values of order one."""

START_LOG_STD = -0.5
"""Of continuous actions, in units of half their range: a first policy that covers it."""


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


def orthogonal(scale: float) -> Callable[..., Float[Array, "R C"]]:
    """Initialiser: a uniformly random matrix with orthonormal columns (or rows), times ``scale``.

    Gram-Schmidt on a Gaussian matrix, each projection done twice for accuracy. Not by
    ``flax.linen.initializers.orthogonal``: its QR is a LAPACK call, and a program that holds one
    beside other parallel work stands still for ever on CPUs with two cores (jaxlib 0.10.2).
    """

    def init(key: Key[Array, ""], shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
        tall = (max(shape), min(shape))
        drawn = jax.random.normal(key, tall, dtype)

        def add(index: Array, done: Array) -> Array:
            column = drawn[:, index]
            for _ in range(2):
                column = column - done @ (column @ done)
            return done.at[:, index].set(column / jnp.linalg.norm(column))

        columns = jax.lax.fori_loop(0, tall[1], add, jnp.zeros(tall, dtype))
        return scale * (columns if shape == tall else columns.T)

    return init


class _Body(nn.Module):
    """Convolutions, encoder, hidden layers (the first a GRU cell where recurrent), linear head."""

    hidden_sizes: tuple[int, ...]
    outputs: int
    head_scale: float
    activation: Callable[[Array], Array]
    recurrent: bool
    grid: tuple[int, ...] | None
    """Shape of an observation, for convolutions; None: there are none."""
    channels: tuple[int, ...]
    """Of the convolutions."""
    gaussian: bool
    """The outputs are means, and log standard deviations that depend on nothing follow them."""

    @nn.compact
    def __call__(self, carry: Array, observation: Array, start: Array) -> tuple[Array, Array]:
        def dense(width: int, name: str, scale: float = np.sqrt(2)) -> nn.Dense:
            return nn.Dense(width, kernel_init=orthogonal(scale), name=name)

        if self.grid is not None:
            observation = observation.reshape(*observation.shape[:-1], *self.grid)
            for index, width in enumerate(self.channels):
                patches = _neighbourhoods(observation)
                observation = self.activation(dense(width, f"convolution_{index}")(patches))
            observation = observation.reshape(*observation.shape[:-3], -1)
        first, *rest = self.hidden_sizes
        hidden = self.activation(dense(first, "encoder")(observation))
        if self.recurrent:
            carry, hidden = _scan_cell(nn.GRUCell(self.hidden_sizes[-1]), carry, hidden, start)
        for index, width in enumerate(rest):
            hidden = self.activation(dense(width, f"hidden_{index}")(hidden))
        outputs = dense(self.outputs, "head", self.head_scale)(hidden)
        if self.gaussian:
            first_value: Any = nn.initializers.constant(START_LOG_STD)
            log_std = self.param("log_std", first_value, (self.outputs,))
            outputs = jnp.concatenate([outputs, jnp.broadcast_to(log_std, outputs.shape)], -1)
        return outputs, carry


def _neighbourhoods(grid: Float[Array, "*b H W C"]) -> Float[Array, "*b H W 9*C"]:
    """Every cell with the eight around it, zeros outside the grid.

    A matrix product of them is a 3x3 convolution. As such, with weights of its own for every agent,
    it would be a grouped one, for which XLA's CPU backend has no fast path.
    """
    height, width = grid.shape[-3:-1]
    around = [(0, 0)] * (grid.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
    padded = jnp.pad(grid, around)
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return jnp.concatenate(
        [padded[..., row : row + height, column : column + width, :] for row, column in shifts], -1
    )


def _scan_cell(cell: nn.GRUCell, carry: Array, inputs: Array, start: Array) -> tuple[Array, Array]:
    def step(cell: nn.GRUCell, carry: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        inputs, start = row
        return cell(jnp.where(start[:, None], 0.0, carry), inputs)

    scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
    return scan(cell, carry, (inputs, start))


def make(
    config: NetworkConfig,
    spec: EnvSpec,
    outputs: int,
    head_scale: float,
    *,
    shared: bool = False,
    gaussian: bool = False,
) -> Network:
    """A network of ``outputs`` numbers per agent (actions for an actor, one for a critic).

    ``shared`` makes one for all agents, whose observations must be of one size. Only `init` depends
    on it: `apply` sees by the parameters whom they serve.

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
    body = _Body(
        hidden_sizes=config.hidden_sizes,
        outputs=outputs,
        head_scale=head_scale,
        activation={"tanh": nn.tanh, "relu": nn.relu}[config.activation],
        recurrent=config.recurrent,
        grid=spec.observation_shape if convolves else None,
        channels=config.channels,
        gaussian=gaussian,
    )

    def init(key: Key[Array, ""]) -> Params:
        # Fan-in is each agent's own observation size; the rows of padded features are zero.
        sizes = np.array(spec.observation_sizes[:1] if shared else spec.observation_sizes)
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
        own = jax.tree.leaves(params)[0].shape[0] == spec.num_agents
        if not own:
            params = jax.tree.map(lambda leaf: leaf[0], params)
        over_agents = jax.vmap(
            body.apply, in_axes=(0 if own else None, 1, 2, None), out_axes=(2, 1)
        )
        return over_agents(params, carry, observation, start)

    def carry(batch: int) -> Array:
        return jnp.zeros((batch, spec.num_agents, width))

    return Network(init, carry, apply, distributions.of(spec))


def make_actor(config: NetworkConfig, spec: EnvSpec, *, shared: bool = False) -> Network:
    """Observation -> what `Network.distribution` makes a policy of.

    Logits of the actions, before masking; of continuous actions, means and log deviations.
    """
    return make(
        config,
        spec,
        spec.num_actions,
        ACTOR_HEAD_SCALE,
        shared=shared,
        gaussian=spec.continuous,
    )


def make_critic(config: NetworkConfig, spec: EnvSpec, *, shared: bool = False) -> Network:
    """Observation -> value, a last axis of size one."""
    return make(config, spec, 1, CRITIC_HEAD_SCALE, shared=shared)
