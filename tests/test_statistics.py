"""Statistics over seeds: cases worked by hand, and stored outputs of rliable 1.2."""

import numpy as np
import pytest

from leed_jax import statistics

# Random scores, and what rliable 1.2 gives for them: aggregate_iqm, and get_interval_estimates
# with 50,000 repetitions.
FIVE_SEEDS = [3.404, 2.525, 5.008, 10.068, 7.705]
TEN_SEEDS = [2.64, 10.41, 0.509, 2.849, 15.434, 3.83, 7.539, 2.614, 6.635, 19.734]
SIX_SEEDS_THREE_TASKS = [
    [0.505, 4.739, -3.243],
    [-1.453, 5.555, -2.876],
    [0.274, 3.473, -1.349],
    [0.154, 4.613, -0.971],
    [-0.045, 3.549, -3.405],
    [-2.288, 6.049, -3.416],
]
RLIABLE = [
    (FIVE_SEEDS, 5.37233333, 2.818, 9.28033333),
    (SIX_SEEDS_THREE_TASKS, 0.1849, -0.4416, 0.6950025),
    (TEN_SEEDS, 5.6505, 2.8755, 11.19616667),
]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 9.0], 4.0),  # int(0.75) = 0 are cut: (1 + 2 + 9) / 3
        ([100.0, 2.0, 3.0, -50.0], 2.5),  # 1 cut at either end: (2 + 3) / 2
        ([5.0, 1.0, 2.0, 99.0, 3.0], 10 / 3),  # int(1.25) = 1 cut: (2 + 3 + 5) / 3
        ([8, 7, 6, 5, 4, 3, 2, 1], 4.5),  # 2 cut: (3 + 4 + 5 + 6) / 4
    ],
)
def test_iqm_is_the_mean_of_the_middle_half(values, expected):
    assert statistics.iqm(values) == pytest.approx(expected)


def test_iqm_reduces_the_axis_it_is_told():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [40.0, -400.0]])
    np.testing.assert_allclose(statistics.iqm(values, axis=0), [2.5, 15.0])
    np.testing.assert_allclose(statistics.iqm(values.T, axis=1), [2.5, 15.0])


def test_iqm_does_not_hide_a_diverged_seed_among_the_best():
    assert np.isnan(statistics.iqm([1.0, 2.0, 3.0, np.nan]))


@pytest.mark.parametrize(("values", "expected", "low", "high"), RLIABLE)
def test_aggregate_agrees_with_rliable(values, expected, low, high):
    found = statistics.aggregate(values, resamples=20_000)
    assert found.iqm == pytest.approx(expected, abs=1e-6)
    # Bounds are Monte Carlo estimates on either side.
    tolerance = 0.03 * (high - low)
    assert found.low == pytest.approx(low, abs=tolerance)
    assert found.high == pytest.approx(high, abs=tolerance)


def test_bootstrap_draws_within_strata():
    # Tasks differ, seeds do not: resampling inside a task changes nothing, so there is no width.
    values = np.array([[0.0, 10.0]] * 4)
    assert statistics.bootstrap_interval(values, np.mean) == (5.0, 5.0)


def test_bootstrap_of_two_seeds_spans_both():
    # Resamples of (0, 1) have mean 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4.
    assert statistics.bootstrap_interval([0.0, 1.0], np.mean) == (0.0, 1.0)
    assert statistics.bootstrap_interval([0.0, 1.0], np.mean, confidence=0.4) == (0.5, 0.5)


def test_bootstrap_repeats_with_its_seed():
    found = [statistics.bootstrap_interval(TEN_SEEDS, seed=seed) for seed in (3, 3, 4)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_one_seed_has_an_interval_without_width():
    assert statistics.aggregate([2.0]) == (2.0, 2.0, 2.0)


def test_threshold_is_reached_where_it_is_held_at_the_next_evaluation():
    steps = [10, 20, 30, 40, 50]
    values = np.array([[0.0, 2.0, 0.0, 1.0, 3.0]])  # a lucky 2 at 20; 1 at 40 is followed by 3
    assert statistics.steps_to_threshold(steps, values, 1.0) == 40
    assert statistics.steps_to_threshold(steps, values, 2.5) == 50  # nothing follows
    assert statistics.steps_to_threshold(steps, values, 3.5) is None


def test_threshold_is_for_the_iqm_not_for_a_single_seed():
    # IQM of four seeds drops the best and the worst: 0.5 at x = 1, then 2.0.
    values = np.array([[9.0, 9.0], [1.0, 2.0], [0.0, 2.0], [0.0, 0.0]])
    assert statistics.steps_to_threshold([1, 2], values, 1.0) == 2


def test_threshold_of_a_cost_is_reached_from_above():
    values = np.array([[3.0, 1.0, 0.5]])
    found = statistics.steps_to_threshold([1, 2, 3], values, 1.0, higher_is_better=False)
    assert found == 2


def test_an_evaluation_without_a_number_reaches_nothing():
    assert statistics.steps_to_threshold([1, 2], np.array([[np.nan, np.nan]]), 0.0) is None


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"\(2,\) and \(1, 3\)"):
        statistics.steps_to_threshold([1, 2], np.zeros((1, 3)), 0.0)
    with pytest.raises(ValueError, match=r"\(0,\)"):
        statistics.bootstrap_interval([])
    with pytest.raises(ValueError, match="at least one"):
        statistics.iqm([])
    with pytest.raises(ValueError, match="confidence"):
        statistics.bootstrap_interval([1.0], confidence=95.0)
