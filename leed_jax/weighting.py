"""How much every step of a demonstration counts for every agent, on the host."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Weighting = Literal["uniform", "return", "advantage"]

LARGEST = 20.0
"""Bound of a step's weight by advantage, before weights are scaled to mean 1 (Peng et al. 2019,
1910.00177, section 5)."""


def episode_weights(
    returns: Float[np.ndarray, "K N"], weighting: Weighting
) -> Float[np.ndarray, "K N"]:
    """Unscaled weight of an episode for every agent, see `Demonstrations.rows`."""
    if weighting == "uniform":
        return np.ones_like(returns)
    spread = np.maximum(returns.std(0), 1e-8)
    return np.exp((returns - returns.max(0)) / spread)


def step_weights(
    reward: Float[np.ndarray, "K S N"],
    returns: Float[np.ndarray, "K N"],
    valid: Bool[np.ndarray, "K S N"],
) -> Float[np.ndarray, "K S N"]:
    """Unscaled weight of a step for every agent, exponential in its advantage.

        G_ks = return of episode k from step s on          A_ks = G_ks - mean_k' G_k's
        w_ks = min(exp(A_ks / std A), 20)

    as in advantage-weighted regression (Peng et al. 2019, 1910.00177, equation 10), with the
    deviation over the agent's valid steps for a temperature. The mean is over the episodes in which
    step s is valid for the agent: demonstrations are weighed before there is a critic, and a
    learner's critic would speak of another policy's returns. It knows nothing of an episode's
    start: where starts differ much in how much there is to gain, it favours steps of lucky ones.

    Args:
      reward: each agent's own.
      returns: its sum over an episode's steps.
      valid: steps to learn from.
    """
    before = np.cumsum(reward, 1, dtype=np.float64) - reward
    left = returns[:, None].astype(np.float64) - before
    count = np.maximum(valid.sum(0), 1)
    advantage = np.where(valid, left - np.where(valid, left, 0.0).sum(0) / count, 0.0)
    # Steps that are valid in one episode alone have advantage zero by themselves.
    spread = np.sqrt(np.square(advantage).sum((0, 1)) / np.maximum(valid.sum((0, 1)), 1))
    scaled = advantage / np.maximum(spread, 1e-8)
    return np.exp(np.minimum(scaled, np.log(LARGEST)))
