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

    Schedules that adapt to what happens start here and go on with `adaptive_weight`.

    Args:
      config: kind of schedule, `final_weight` and `decay_fraction`.
      start: λ at the start, traced, so that a sweep over it compiles once.
      progress: share of the run that is done, in [0, 1].
    """
    if config.schedule not in ("linear", "cosine"):
        return start
    x = jnp.minimum(progress / config.decay_fraction, 1.0)
    left = 1.0 - x if config.schedule == "linear" else (1.0 + jnp.cos(jnp.pi * x)) / 2
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
