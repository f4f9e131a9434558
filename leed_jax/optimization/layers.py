"""What networks are made of: dense layers, 3x3 convolutions and a GRU, of one set of parameters."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from leed_jax.optimization import devices

ACTOR_HEAD_SCALE, CRITIC_HEAD_SCALE = 0.01, 1.0
"""Gains of the last layers: a nearly uniform first policy (Andrychowicz et al. 2021, 2006.05990,
section 3.2), values of order one."""

START_LOG_STD = -0.5
"""Of continuous actions, in units of half their range: a first policy that covers it."""


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


class Body(nn.Module):
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
