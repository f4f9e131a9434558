"""Policies as distributions over legal actions: categorical, or Gaussian for continuous actions.

Both are pytrees made of an actor's outputs and the action mask, with the same four methods; the
losses and the rollout do not know which one they have.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from leed_jax.types import EnvSpec

MIN_LOG_STD, MAX_LOG_STD = -2.0, 0.5
"""Bounds of a Gaussian's log standard deviation, in units of half the action range. Experts are
deterministic: without the lower bound (0.14) their log-likelihood has no maximum, and its gradient
drowns that of the returns."""


class Categorical(NamedTuple):
    """One of A actions."""

    log_probs: Float[Array, "*b A"]
    """Of all actions; about -1e9 where the action is illegal."""

    def log_prob(self, action: Int[Array, "*b"]) -> Float[Array, "*b"]:
        """Of an action."""
        return select(self.log_probs, action)

    def mean_log_prob(self) -> Float[Array, "*b"]:
        """Of legal actions, their mean."""
        legal = self.log_probs > -1e8
        total = jnp.where(legal, self.log_probs, 0.0).sum(-1)
        return total / jnp.maximum(legal.sum(-1), 1)

    def entropy(self) -> Float[Array, "*b"]:
        """In nats."""
        return -(jnp.exp(self.log_probs) * self.log_probs).sum(-1)

    def divergence(self, other: "Categorical") -> Float[Array, "*b"]:
        """KL(self || other), in nats; both with the same legal actions."""
        return (jnp.exp(self.log_probs) * (self.log_probs - other.log_probs)).sum(-1)

    def sample(self, key: Key[Array, ""]) -> Int[Array, "*b"]:
        """One action per row by inverse CDF.

        A single uniform number per row, where the Gumbel trick draws one per action; measured 1.05x
        faster over a whole training step. An action of probability zero is never drawn: the draw is
        below the total, and an action is passed over only if the sum up to it does not exceed the
        draw.
        """
        sums = jnp.cumsum(jnp.exp(self.log_probs), axis=-1)
        draw = jax.random.uniform(key, self.log_probs.shape[:-1]) * sums[..., -1]
        return (sums[..., :-1] <= draw[..., None]).sum(-1)

    def mode(self) -> Int[Array, "*b"]:
        """The most likely action."""
        return self.log_probs.argmax(-1)


class Gaussian(NamedTuple):
    """A numbers, independent, not squashed: the environment clips them to [-1, 1].

    A squashed (tanh) Gaussian has infinite log-likelihood at the bounds, where experts often are.
    """

    mean: Float[Array, "*b A"]
    log_std: Float[Array, "*b A"]
    mask: Bool[Array, "*b A"]
    """Components that the agent has; the others count for nothing and are zero when drawn."""

    def log_prob(self, action: Float[Array, "*b A"]) -> Float[Array, "*b"]:
        """Of an action, in nats, summed over the components."""
        scaled = (action - self.mean) * jnp.exp(-self.log_std)
        each = -0.5 * jnp.square(scaled) - self.log_std - 0.5 * np.log(2 * np.pi)
        return jnp.where(self.mask, each, 0.0).sum(-1)

    def entropy(self) -> Float[Array, "*b"]:
        """In nats."""
        each = self.log_std + 0.5 * np.log(2 * np.pi * np.e)
        return jnp.where(self.mask, each, 0.0).sum(-1)

    def divergence(self, other: "Gaussian") -> Float[Array, "*b"]:
        """KL(self || other), in nats; both with the same components."""
        ratio = jnp.exp(2.0 * (self.log_std - other.log_std))
        away = jnp.square(self.mean - other.mean) * jnp.exp(-2.0 * other.log_std)
        each = 0.5 * (ratio + away - 1.0) + other.log_std - self.log_std
        return jnp.where(self.mask, each, 0.0).sum(-1)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*b A"]:
        """One action per row."""
        drawn = self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)
        return jnp.where(self.mask, drawn, 0.0)

    def mode(self) -> Float[Array, "*b A"]:
        """The most likely action."""
        return jnp.where(self.mask, self.mean, 0.0)


Distribution = Categorical | Gaussian


def categorical(outputs: Float[Array, "*b A"], mask: Bool[Array, "*b A"]) -> Categorical:
    """From logits.

    A large finite number instead of minus infinity keeps gradients and 0 * log 0 free of NaN.
    """
    return Categorical(jax.nn.log_softmax(jnp.where(mask, outputs, -1e9), axis=-1))


def gaussian(outputs: Float[Array, "*b A2"], mask: Bool[Array, "*b A"]) -> Gaussian:
    """From means and log standard deviations, one behind the other."""
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    return Gaussian(mean, jnp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD), mask)


def of(spec: EnvSpec) -> Callable[[Array, Array], Distribution]:
    """(an actor's outputs, action mask) -> policy, for an environment's kind of actions."""
    return gaussian if spec.continuous else categorical


def select(values: Shaped[Array, "*b A"], action: Int[Array, "*b"]) -> Shaped[Array, "*b"]:
    """The entry of ``values`` at each action."""
    return jnp.take_along_axis(values, action[..., None], axis=-1)[..., 0]
