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
from leed_jax.optimization import devices, distributions
from leed_jax.types import EnvSpec

Params = Any
"""Parameters, a pytree whose leaves have the leading axis N; of size N / g, each serves g
neighbours among the agents, of size 1 all of them."""

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
    value: Callable[[Float[Array, "*b O"]], Float[Array, "*b"]] | None = None
    """An actor's outputs -> the value, where actor and critic are one network."""


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
    """Convolutions, encoder, hidden layers (the first a GRU cell where recurrent), linear head.

    Where the trunk is common, a second head with hidden layers of its own: the value.
    """

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
    common_trunk: bool
    """A critic branches off behind encoder and GRU cell; its value is the last output."""

    @nn.compact
    def __call__(self, carry: Array, observation: Array, start: Array) -> tuple[Array, Array]:
        def dense(width: int, name: str, scale: float = np.sqrt(2)) -> nn.Dense:
            return nn.Dense(width, kernel_init=orthogonal(scale), name=name)

        # Rows in one axis: XLA's CPU backend is slow at products of more than one batch axis.
        steps = observation.shape[0]
        observation = devices.merge(observation)
        if self.grid is not None:
            observation = observation.reshape(-1, *self.grid)
            for index, width in enumerate(self.channels):
                patches = _neighbourhoods(observation)
                observation = self.activation(dense(width, f"convolution_{index}")(patches))
            observation = observation.reshape(observation.shape[0], -1)
        first, *rest = self.hidden_sizes
        hidden = self.activation(dense(first, "encoder")(observation))
        if self.recurrent:
            width = self.hidden_sizes[-1]
            # What the gates take from the inputs is one product for all steps, not one in each.
            inputs = devices.unmerge(nn.Dense(3 * width, name="gru_inputs")(hidden), steps)
            kernel = self.param("gru_recurrent", _recurrent_kernel, (width, 3 * width))
            bias = self.param("gru_bias", nn.initializers.zeros, (width,))
            carry, hidden = gru(kernel, bias, carry, inputs, start)
            hidden = devices.merge(hidden)

        def branch(hidden: Array, prefix: str, size: int, scale: float) -> Array:
            for index, width in enumerate(rest):
                hidden = self.activation(dense(width, f"{prefix}hidden_{index}")(hidden))
            return dense(size, f"{prefix}head", scale)(hidden)

        outputs = branch(hidden, "", self.outputs, self.head_scale)
        if self.gaussian:
            first_value: Any = nn.initializers.constant(START_LOG_STD)
            log_std = self.param("log_std", first_value, (self.outputs,))
            outputs = jnp.concatenate([outputs, jnp.broadcast_to(log_std, outputs.shape)], -1)
        if self.common_trunk:
            value = branch(hidden, "critic_", 1, CRITIC_HEAD_SCALE)
            outputs = jnp.concatenate([outputs, value], -1)
        return devices.unmerge(outputs, steps), carry


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


def _recurrent_kernel(key: Key[Array, ""], shape: tuple[int, int]) -> Float[Array, "H 3*H"]:
    """An orthogonal matrix for each gate, side by side."""
    square = (shape[0], shape[0])
    return jnp.concatenate([orthogonal(1.0)(key, square) for key in jax.random.split(key, 3)], 1)


def gru(
    kernel: Float[Array, "H 3*H"],
    bias: Float[Array, "H"],
    carry: Float[Array, "B H"],
    inputs: Float[Array, "T B 3*H"],
    start: Bool[Array, "T B"],
) -> tuple[Float[Array, "B H"], Float[Array, "T B H"]]:
    """A gated recurrent unit (Cho et al. 2014, 1406.1078; the candidate as in cuDNN and flax).

    r, z = sigmoid(x_r + h W_r), sigmoid(x_z + h W_z)
    n    = tanh(x_n + r (h W_n + b))
    h'   = (1 - z) n + z h
    """

    def step(hidden: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        inputs, start = row
        hidden = jnp.where(start[:, None], 0.0, hidden)
        x_r, x_z, x_n = jnp.split(inputs, 3, -1)
        h_r, h_z, h_n = jnp.split(hidden @ kernel, 3, -1)
        reset, update = nn.sigmoid(x_r + h_r), nn.sigmoid(x_z + h_z)
        candidate = jnp.tanh(x_n + reset * (h_n + bias))
        hidden = (1.0 - update) * candidate + update * hidden
        return hidden, hidden

    return jax.lax.scan(step, carry, (inputs, start))


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
    body = _Body(
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
        ACTOR_HEAD_SCALE,
        sets=sets,
        gaussian=spec.continuous,
        common_trunk=config.common_trunk,
    )


def values(
    actor: Network,
    critic: Network | None,
    params: dict[str, Params],
    carry: Float[Array, "B N H"],
    observation: Float[Array, "T B N D"],
    start: Bool[Array, "T B"],
) -> Float[Array, "T B N"]:
    """Values of observations, from the critic, or from the actor that is one with it."""
    if critic is not None:
        return critic.apply(params["critic"], carry, observation, start)[0][..., 0]
    assert actor.value is not None  # one of the two gives values
    return actor.value(actor.apply(params["actor"], carry, observation, start)[0])


def make_critic(config: NetworkConfig, spec: EnvSpec, *, sets: int | None = None) -> Network:
    """Observation -> value, a last axis of size one; not needed with ``config.common_trunk``."""
    return make(config, spec, 1, CRITIC_HEAD_SCALE, sets=sets)
