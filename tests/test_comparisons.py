"""Comparisons over tasks: cases worked by hand, and stored outputs of rliable 1.2."""

import json
from pathlib import Path

import numpy as np
import pytest

from leed_jax import comparisons, statistics
from leed_jax.comparisons import Bounds

STORED = json.loads((Path(__file__).parent / "rliable_scores.json").read_text())
X, Y = ([list(task) for task in zip(*STORED[name], strict=True)] for name in "xy")


def test_values_agree_with_rliable():
    assert comparisons.probability_of_improvement(X, Y) == pytest.approx(
        STORED["probability_of_improvement"]
    )
    assert comparisons.optimality_gap(X) == pytest.approx(STORED["optimality_gap"])
    for name, scores in (("x", X), ("y", Y)):
        found = comparisons.performance_profile(scores, STORED["taus"])
        np.testing.assert_allclose(found, STORED["profile"][name])
    assert statistics.iqm(STORED["x"]) == pytest.approx(STORED["iqm"])


def test_intervals_agree_with_rliable():
    # Bounds are Monte Carlo estimates on either side.
    improvement = comparisons.interval(comparisons.probability_of_improvement, X, Y, resamples=4000)
    assert improvement[1:] == pytest.approx(STORED["probability_of_improvement_interval"], abs=0.02)
    gap = comparisons.interval(comparisons.optimality_gap, X, resamples=4000)
    assert gap[1:] == pytest.approx(STORED["optimality_gap_interval"], abs=0.006)

    def profile(scores):
        return comparisons.performance_profile(scores, STORED["taus"])

    _, low, high = comparisons.estimate(profile, X, resamples=4000)
    # One run of eighteen is the step of a bound.
    np.testing.assert_allclose([low, high], STORED["profile_interval"]["x"], atol=1 / 18 + 1e-9)


def test_improvement_counts_pairs_and_half_of_ties():
    # Task 1: pairs (1,0) (1,1) (3,0) (3,1): 3 wins and a tie; task 2: never.
    found = comparisons.probability_of_improvement([[1, 3], [0, 0, 0]], [[0, 1], [5, 6]])
    assert found == (3.5 / 4 + 0) / 2


def test_tasks_may_have_different_numbers_of_seeds():
    found = comparisons.performance_profile([[0.0, 1.0, 2.0], [3.0]], [0.5, 2.0])
    np.testing.assert_array_equal(found, [0.75, 0.25])  # at a threshold is not above it


def test_scores_beyond_the_target_do_not_close_the_gap():
    assert comparisons.optimality_gap([[0.5, 3.0]]) == 0.25
    assert comparisons.optimality_gap([[0.5], [3.0]], target=2.0) == 0.75


def test_bounds_turn_returns_and_costs_into_scores():
    np.testing.assert_allclose(
        comparisons.normalised([-90, -30, -15], Bounds(-90, -30, "")), [0, 1, 1.25]
    )
    np.testing.assert_allclose(comparisons.normalised([300, 120], Bounds(300, 120, "")), [0, 1])
    for low, high in ((1.0, 1.0), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="two different finite"):
            comparisons.normalised([1.0], Bounds(low, high, ""))


def test_area_is_the_mean_height_by_trapezoids():
    # Seed 1: (0 + 2) / 2 * 1 + (2 + 2) / 2 * 3 = 7 over 4; seed 2 is constant.
    found = comparisons.area_under_curve([0, 1, 4], [[0.0, 2.0, 2.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(found, [1.75, 5.0])
    with pytest.raises(ValueError, match="ascend"):
        comparisons.area_under_curve([0, 0], [[1.0, 1.0]])
    with pytest.raises(ValueError, match=r"\(2,\) and \(1, 3\)"):
        comparisons.area_under_curve([0, 1], np.zeros((1, 3)))


def test_resampling_stays_within_tasks_and_repeats_with_its_seed():
    constant = [[0.0, 0.0], [10.0, 10.0]]
    assert comparisons.interval(comparisons.optimality_gap, constant) == (0.5, 0.5, 0.5)
    first, again, other = (
        comparisons.estimate(comparisons.optimality_gap, X, seed=seed, resamples=50)
        for seed in (1, 1, 2)
    )
    assert first == again and first != other


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="1 and 2"):
        comparisons.probability_of_improvement([[1.0]], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="per task"):
        comparisons.optimality_gap([[1.0], []])
    with pytest.raises(ValueError, match="confidence"):
        comparisons.estimate(comparisons.optimality_gap, X, confidence=95)
    with pytest.raises(ValueError, match="resamples"):
        comparisons.estimate(comparisons.optimality_gap, X, resamples=0)
