"""How the weights of a run change with its progress; pure, traced, one compilation for all."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from leed_jax.config import ExpertConfig


def expert_weight(
    config: ExpertConfig, start: Float[Array, "N"], progress: Float[Array, ""]
) -> Float[Array, "N"]:
    """λ of every agent.

        x        = min(progress / decay_fraction, 1)
        constant   start
        linear     start + x (final - start)
        cosine     final + (start - final) (1 + cos(pi x)) / 2
        polynomial final + (start - final) (1 - x)^decay_power

    Schedules that adapt to what happens start here and go on with `adaptive_weight`.

    Args:
      config: kind of schedule, `final_weight`, `decay_fraction` and `decay_power`.
      start: λ at the start, traced, so that a sweep over it compiles once.
      progress: share of the run that is done, in [0, 1].
    """
    x = jnp.minimum(progress / config.decay_fraction, 1.0)
    if config.schedule == "linear":
        left = 1.0 - x
    elif config.schedule == "cosine":
        left = (1.0 + jnp.cos(jnp.pi * x)) / 2
    elif config.schedule == "polynomial":
        left = (1.0 - x) ** config.decay_power
    else:
        return start
    return config.final_weight + (start - config.final_weight) * left


def adaptive_weight(
    config: ExpertConfig,
    start: Float[Array, "N"],
    share: Float[Array, "N"],
    trust: Float[Array, "N"],
) -> Float[Array, "N"]:
    """λ of every agent, final + (start - final) share trust; see `balance` for these two.

    Args:
      config: `final_weight`.
      start: λ at the start.
      share: of what the expert has to teach that is left to learn, in [0, 1].
      trust: in that imitation gets the agent anywhere, in [0, 1].
    """
    return config.final_weight + (start - config.final_weight) * share * trust
