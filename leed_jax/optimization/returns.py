"""Advantages."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, "T *b"],
    value: Float[Array, "T1 *b"],
    terminated: Bool[Array, "T *b"],
    valid: Bool[Array, "T *b"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Float[Array, "T *b"]:
    """Generalised advantage estimates (Schulman et al. 2016, 1506.02438, equation 16).

        delta_t = r_t + gamma (1 - terminated_t) V_{t+1} - V_t
        A_t     = valid_t (delta_t + gamma lambda (1 - terminated_t) A_{t+1})

    The row after a time limit is the true last observation, an invalid row: its value is
    bootstrapped, and its advantage is zero, so nothing leaks between episodes.

    Args:
      reward: of the step that leaves row t.
      value: of rows 0..T, one more than there are rewards.
      terminated: the agent's return ends with the step.
      valid: false for the rows that only hold an episode's last observation.
      gamma: discount per step, in [0, 1].
      gae_lambda: 0 for one-step errors, 1 for Monte Carlo.
    """
    goes_on = 1.0 - terminated.astype(reward.dtype)
    delta = reward + gamma * goes_on * value[1:] - value[:-1]

    def backward(following: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, goes_on, valid = row
        advantage = valid * (delta + gamma * gae_lambda * goes_on * following)
        return advantage, advantage

    rows = (delta, goes_on, valid.astype(reward.dtype))
    return jax.lax.scan(backward, jnp.zeros_like(delta[0]), rows, reverse=True)[1]
