"""Advantages, and what lies between two decisions."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, "T *b"],
    value: Float[Array, "T1 *b"],
    discount: Float[Array, "T *b"],
    valid: Bool[Array, "T *b"],
    *,
    gae_lambda: float,
) -> Float[Array, "T *b"]:
    """Generalised advantage estimates (Schulman et al. 2016, 1506.02438, equation 16).

        delta_t = r_t + discount_t V_{t+1} - V_t
        A_t     = valid_t (delta_t + lambda discount_t A_{t+1})

    Rows are steps, with discount gamma, or decisions with several steps between them
    (`until_next_row`). The row after a time limit is the true last observation, an invalid row: its
    value is bootstrapped, and its advantage is zero, so nothing leaks between episodes.

    Args:
      reward: between row t and the next one.
      value: of rows 0..T, one more than there are rewards.
      discount: of all that comes with the next row; 0 where the agent's return ends before it.
      valid: false for the rows that only hold an episode's last observation.
      gae_lambda: 0 for one-step errors, 1 for Monte Carlo.
    """
    delta = reward + discount * value[1:] - value[:-1]

    def backward(following: Array, row: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, discount, valid = row
        advantage = valid * (delta + gae_lambda * discount * following)
        return advantage, advantage

    rows = (delta, discount, valid.astype(reward.dtype))
    return jax.lax.scan(backward, jnp.zeros_like(delta[0]), rows, reverse=True)[1]


def until_next_row(
    reward: Float[Array, "T *b"], discount: Float[Array, "T *b"], row: Bool[Array, "T *b"]
) -> tuple[Float[Array, "T *b"], Float[Array, "T *b"]]:
    """Rewards and discounts of steps, gathered up to the next row that is kept.

        R_t = r_t + discount_t (0 if row_{t+1} else R_{t+1})
        D_t = discount_t (1 if row_{t+1} else D_{t+1})

    For a row at step t that is followed by one at step t + dt, R is the discounted sum of the
    rewards of these dt steps and D is gamma^dt, both cut off where the return ends: exact for a
    semi-Markov decision process (Sutton, Precup and Singh 1999, "Between MDPs and semi-MDPs"), not
    an approximation.

    Args:
      reward: of step t.
      discount: gamma, or 0 where the return ends with step t.
      row: whether a row is kept of the observation before step t; one is of the last observation.
    """

    def backward(following: tuple[Array, Array, Array], now: tuple[Array, Array, Array]) -> Any:
        rewards, discounts, next_row = following
        reward, discount, row = now
        rewards = reward + discount * jnp.where(next_row, 0.0, rewards)
        discounts = discount * jnp.where(next_row, 1.0, discounts)
        return (rewards, discounts, row), (rewards, discounts)

    last = (jnp.zeros_like(reward[0]), jnp.zeros_like(reward[0]), jnp.ones_like(row[0]))
    return jax.lax.scan(backward, last, (reward, discount, row), reverse=True)[1]
