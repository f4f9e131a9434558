"""The optimisers: Adam for every agent, and one for a whole team."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from leed_jax.config import TrainConfig


def adam(config: TrainConfig) -> optax.GradientTransformation:
    """Adam of one agent, or of all that share parameters, behind a clip of its gradient's norm.

    The learning rate is applied outside, so that it can be traced.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)
    )


def rectified_adam(config: TrainConfig) -> optax.GradientTransformation:
    """Rectified Adam (Liu et al. 2020, 1908.03265) behind a clip of the norm of all gradients.

    The learning rate is applied outside, so that it can be traced.
    """
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_radam())


def apply(
    adam: optax.GradientTransformation,
    params: Any,
    moments: Any,
    gradient: Any,
    learns: Bool[Array, "#N"],
    rate: Float[Array, ""],
) -> tuple[Any, Any]:
    """One step of every Adam, own or shared; an agent without any row keeps all it has.

    Args:
      adam: of one agent.
      params: leading axis N, or fewer where they are shared.
      moments: as ``adam.init`` makes them, with that axis.
      gradient: of ``params``.
      learns: which of them had a row to learn from.
      rate: of learning.

    Returns:
      parameters and moments after it.
    """
    change, new_moments = jax.vmap(adam.update)(gradient, moments)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(learns.reshape(learns.shape + (1,) * (new.ndim - 1)), new, old)

    new_params = jax.tree.map(lambda p, c: p - rate * c, params, change)
    return jax.tree.map(keep, new_params, params), jax.tree.map(keep, new_moments, moments)
