"""Numbers over seeds: interquartile means with bootstrap intervals, and samples to a threshold.

As in Agarwal et al. 2021, *Deep RL at the Edge of the Statistical Precipice* (arXiv 2108.13264),
section 4; checked against stored outputs of their library, rliable 1.2. Letters of this file:
S seeds, R tasks (strata), T evaluations of a run.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

PROPORTION_TO_CUT = 0.25

Statistic = Callable[..., np.ndarray]
"""Called as ``statistic(samples, axis=1)``, like numpy's reductions; `iqm` and `np.mean` are."""


class Interval(NamedTuple):
    """An interquartile mean and the bounds of its confidence interval."""

    iqm: float
    low: float
    high: float


def iqm(values: ArrayLike, axis: int | None = None) -> np.ndarray:
    """The mean of the middle half.

    ``floor(n / 4)`` values are cut at either end: a fractional count cuts less, so that of five
    values the middle three stay and of three all stay, as ``scipy.stats.trim_mean(values, 0.25)``
    does.

    Args:
      values: any shape. A NaN makes the result NaN: sorting would put it among the best and cut it.
      axis: to reduce, by default all of them.

    Raises:
      ValueError: there are no values.
    """
    array = np.asarray(values, np.float64)
    if axis is None:
        array, axis = array.ravel(), 0
    count = array.shape[axis]
    if count == 0:
        raise ValueError("iqm needs at least one value")
    cut = int(PROPORTION_TO_CUT * count)
    middle = np.moveaxis(np.sort(array, axis=axis), axis, 0)[cut : count - cut].mean(axis=0)
    return np.where(np.isnan(array).any(axis=axis), np.nan, middle)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic = iqm,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The stratified percentile bootstrap interval of a statistic over seeds.

    Seeds are drawn with replacement within every task, and the percentiles are taken over the
    statistics of the resamples. One seed gives an interval of no width: it says nothing of spread.

    Args:
      values: [S], or [S, R] with one column per task.
      statistic: of all S * R values, see `Statistic`.
      confidence: share of resamples inside the interval, in (0, 1).
      resamples: how many.
      seed: of numpy's generator.

    Raises:
      ValueError: no values, another number of axes, or an argument out of range.
    """
    array = np.asarray(values, np.float64)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"values must be [S] or [S, R] and not empty, got shape {array.shape}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}")
    array = array.reshape(array.shape[0], -1)
    num_seeds, num_tasks = array.shape
    drawn = np.random.default_rng(seed).integers(num_seeds, size=(resamples, num_seeds, num_tasks))
    samples = array[drawn, np.arange(num_tasks)].reshape(resamples, -1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(statistic(samples, axis=1), [tail, 100 - tail])
    return float(low), float(high)


def aggregate(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Interquartile mean and bootstrap interval of ``values`` [S] or [S, R]."""
    low, high = bootstrap_interval(
        values, iqm, confidence=confidence, resamples=resamples, seed=seed
    )
    return Interval(float(iqm(values)), low, high)


def steps_to_threshold(
    steps: ArrayLike,
    values: ArrayLike,
    threshold: float,
    *,
    higher_is_better: bool = True,
) -> float | None:
    """The first evaluated x at which the IQM over seeds reaches the threshold, and holds it.

    Held means that the next evaluation has reached it too (or that there is none): a single
    evaluation over a finite number of episodes crosses by luck. Later relapses do not count. There
    is no interpolation between evaluations.

    Args:
      steps: [T], x of every evaluation, ascending; environment steps, or seconds.
      values: [S, T], evaluations of every seed.
      threshold: in the unit of ``values``.
      higher_is_better: reaching means at least the threshold; otherwise at most.

    Returns:
      x in the unit of ``steps``; None if it is never reached and held.

    Raises:
      ValueError: the sizes do not fit together.
    """
    x, array = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if x.ndim != 1 or array.ndim != 2 or array.shape[1] != x.shape[0]:
        raise ValueError(
            f"steps must be [T] and values [S, T], got shapes {x.shape} and {array.shape}"
        )
    middle = iqm(array, axis=0)
    reached = middle >= threshold if higher_is_better else middle <= threshold
    held = reached & np.append(reached[1:], True)
    return float(x[held.argmax()]) if held.any() else None
