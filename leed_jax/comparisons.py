"""Methods beside each other over several tasks: normalised scores, profiles, who is better.

As in Agarwal et al. 2021 (arXiv 2108.13264), sections 4 and A; checked against stored outputs of
their library, rliable 1.2. Scores of a method are one array of seeds per task (stratum), as tasks
need not have equally many seeds. Letters of this file: S seeds, R tasks, T evaluations.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Scores = Sequence[ArrayLike]
"""R arrays [S] of the same method, each of its task."""


class Estimate(NamedTuple):
    """A statistic and the bounds of its stratified bootstrap interval."""

    value: float
    low: float
    high: float


class Bounds(NamedTuple):
    """Which scores of a task are called 0 and 1, and where they come from."""

    low: float
    high: float
    source: str


def normalised(values: ArrayLike, bounds: Bounds) -> np.ndarray:
    """``(values - low) / (high - low)``; nothing is clipped.

    Bounds the other way round (``high < low``) make costs into scores.

    Raises:
      ValueError: the bounds are equal or not finite.
    """
    low, high = bounds.low, bounds.high
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        raise ValueError(f"bounds must be two different finite numbers, got {low} and {high}")
    return (np.asarray(values, np.float64) - low) / (high - low)


def area_under_curve(steps: ArrayLike, values: ArrayLike) -> np.ndarray:
    """Mean height of every seed's learning curve: its area by trapezoids over its length.

    In the unit of the values, so that a curve that is 1 from its start has area 1. Of normalised
    values it is the normalised area.

    Args:
      steps: [T], ascending, two or more; the first is where the area begins.
      values: [S, T].

    Returns:
      [S]

    Raises:
      ValueError: the sizes do not fit together, or steps do not ascend.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != x.shape[0]:
        raise ValueError(f"steps must be [T] and values [S, T], got shapes {x.shape} and {y.shape}")
    width = np.diff(x)
    if width.size == 0 or (width <= 0).any():
        raise ValueError(f"steps must ascend, and be two or more, got {x.tolist()[:5]}")
    return ((y[:, 1:] + y[:, :-1]) / 2 * width).sum(1) / width.sum()


def optimality_gap(scores: Scores, target: float = 1.0) -> float:
    """By how much the scores miss ``target`` on average; what exceeds it does not make up.

    Raises:
      ValueError: no scores.
    """
    every = np.concatenate(_tasks(scores))
    return float(target - np.minimum(every, target).mean())


def probability_of_improvement(x: Scores, y: Scores) -> float:
    """How likely a run of ``x`` beats one of ``y`` on a task drawn at random; ties count half.

    The Mann-Whitney statistic over all pairs of seeds divided by their number, mean over tasks.

    Args:
      x: R arrays of scores, high is good.
      y: of the same tasks.

    Raises:
      ValueError: no scores, or another number of tasks.
    """
    left, right = _tasks(x), _tasks(y)
    if len(left) != len(right):
        raise ValueError(f"both need the same tasks, got {len(left)} and {len(right)}")
    return float(np.mean([_above(a, b) for a, b in zip(left, right, strict=True)]))


def performance_profile(scores: Scores, thresholds: ArrayLike) -> np.ndarray:
    """Share of all runs whose score is above each threshold, every run counting once.

    Raises:
      ValueError: no scores.
    """
    every = np.concatenate(_tasks(scores))
    return (every > np.asarray(thresholds, np.float64)[:, None]).mean(1)


def estimate(
    statistic: Callable[..., ArrayLike],
    *scores: Scores,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic of one method's scores or of several, with its percentile bootstrap interval.

    Seeds are drawn with replacement within every task, independently for every method.

    Args:
      statistic: of as many `Scores` as are given; a number or an array.
      scores: of every method, high is good.
      confidence: share of resamples inside the interval, in (0, 1).
      resamples: how many.
      seed: of numpy's generator.

    Returns:
      value, lower and upper bound, each of the statistic's shape.

    Raises:
      ValueError: no scores, or an argument out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}")
    methods = [_tasks(each) for each in scores]
    draw = np.random.default_rng(seed)

    def resampled(tasks: list[np.ndarray]) -> list[np.ndarray]:
        return [task[draw.integers(len(task), size=len(task))] for task in tasks]

    found = np.array(
        [statistic(*(resampled(tasks) for tasks in methods)) for _ in range(resamples)]
    )
    tail = 50 * (1 - confidence)
    low, high = np.percentile(found, [tail, 100 - tail], axis=0)
    value = np.asarray(statistic(*methods), np.float64)
    return value, np.asarray(low), np.asarray(high)


def interval(
    statistic: Callable[..., ArrayLike], *scores: Scores, resamples: int = 2000
) -> Estimate:
    """`estimate` of a statistic that is a number."""
    value, low, high = estimate(statistic, *scores, resamples=resamples)
    return Estimate(float(value), float(low), float(high))


def _tasks(scores: Scores) -> list[np.ndarray]:
    tasks = [np.asarray(task, np.float64) for task in scores]
    if not tasks or any(task.ndim != 1 or task.size == 0 for task in tasks):
        shapes = [task.shape for task in tasks]
        raise ValueError(f"scores must be an array [S] of seeds per task, got shapes {shapes}")
    return tasks


def _above(x: np.ndarray, y: np.ndarray) -> float:
    difference = x[:, None] - y
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())
