"""From the agents' action values to the team's: a sum (VDN), or a monotone network (QMIX).

    VDN   Q_tot = sum_i Q_i                               Sunehag et al. 2017, 1706.05296
    QMIX  Q_tot = w_2(s)' elu(W_1(s)' Q + b_1(s)) + b_2(s), W_1, w_2 >= 0
                                                          Rashid et al. 2018, 1803.11485

Q_tot rises with every Q_i, so that the joint action that is best for the team is each agent's own
best one.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from leed_jax.config import ValueBasedConfig
from leed_jax.optimization import layers

Kind = Literal["sum", "monotone"]

Params = Any


class Mixer(NamedTuple):
    """Values of the agents' actions -> value of the team's."""

    init: Callable[[Key[Array, ""]], Params]
    apply: Callable[
        [Params, Float[Array, "T B N"], Float[Array, "T B G"] | None], Float[Array, "T B"]
    ]
    """(parameters, agents' values, global state) -> the team's value."""
    sees_state: bool
    """Whether the global state is needed; without it None goes in its place."""


class _Hypernetwork(nn.Module):
    """Global state -> weights of the mixing network, by two layers with relu between them."""

    hidden: int
    outputs: int
    scale: float

    @nn.compact
    def __call__(self, state: Float[Array, "*b G"]) -> Float[Array, "*b O"]:
        initial = layers.orthogonal(self.scale)
        hidden = nn.relu(nn.Dense(self.hidden, kernel_init=initial)(state))
        return nn.Dense(self.outputs, kernel_init=initial)(hidden)


class _Monotone(nn.Module):
    """QMIX's mixing network; its first bias is linear in the state, its last one has a layer."""

    width: int
    hypernetwork_width: int
    scale: float

    @nn.compact
    def __call__(
        self, values: Float[Array, "*b N"], state: Float[Array, "*b G"]
    ) -> Float[Array, "*b"]:
        num_agents = values.shape[-1]

        def generated(hidden: int, outputs: int, name: str) -> Array:
            return _Hypernetwork(hidden, outputs, self.scale, name=name)(state)

        first = generated(self.hypernetwork_width, num_agents * self.width, "weights_1")
        first = jnp.abs(first).reshape(*values.shape, self.width)
        initial = layers.orthogonal(self.scale)
        bias = nn.Dense(self.width, kernel_init=initial, name="bias_1")(state)
        last = jnp.abs(generated(self.hypernetwork_width, self.width, "weights_2"))
        # Not as a matrix product: of one row each, XLA's CPU backend makes a loop.
        hidden = nn.elu((values[..., None] * first).sum(-2) + bias)
        return (hidden * last).sum(-1) + generated(self.width, 1, "bias_2")[..., 0]


def make(kind: Kind, config: ValueBasedConfig, num_agents: int, state_size: int) -> Mixer:
    """A mixer for N agents and a global state of G numbers."""
    if kind == "sum":
        return Mixer(lambda key: {}, lambda params, values, state: values.sum(-1), False)
    network = _Monotone(config.mixer_width, config.hypernetwork_width, config.mixer_scale)

    def init(key: Key[Array, ""]) -> Params:
        return network.init(key, jnp.zeros((1, num_agents)), jnp.zeros((1, state_size)))

    def apply(params: Params, values: Array, state: Array | None) -> Array:
        # Typed as whatever flax's `apply` may return; this module returns one array.
        mixed: Any = network.apply(params, values, state)
        return mixed

    return Mixer(init, apply, True)
