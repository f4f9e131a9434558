"""Weights of a demonstration's steps, by hand."""

import numpy as np
import pytest

from leed_jax import weighting


def weights(reward, valid=None):
    reward = np.array(reward, np.float32)[..., None]
    valid = np.ones(reward.shape, bool) if valid is None else np.array(valid)[..., None]
    return weighting.step_weights(reward, reward.sum(1), valid)[..., 0]


def test_a_step_weighs_by_how_much_more_follows_than_in_the_other_episodes():
    # Still to come: 4, 3 and 1, 1; means 2.5, 2; advantages 1.5, 1 and -1.5, -1.
    # Their deviation: sqrt((2 * 2.25 + 2 * 1) / 4) = 1.274755.
    found = weights([[1, 3], [0, 1]])
    wanted = np.exp(np.array([[1.5, 1], [-1.5, -1]]) / 1.274755)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_steps_that_are_not_valid_are_no_part_of_mean_and_deviation():
    # The second step of the second episode is not valid: there the first has nothing to compare
    # with. Advantages 1.5, 0 and -1.5; deviation sqrt(4.5 / 3) = 1.224745.
    found = weights([[1, 3], [0, 1]], [[True, True], [True, False]])
    wanted = [np.exp(1.5 / 1.224745), 1, np.exp(-1.5 / 1.224745)]
    np.testing.assert_allclose(found.reshape(-1)[:3], wanted, rtol=1e-5)


def test_a_single_episode_weighs_alike_everywhere():
    np.testing.assert_array_equal(weights([[1, 3, -2]]), 1)


def test_no_step_weighs_more_than_twenty():
    # 29 ones of 0 and one of 30: advantages -1 and 29, deviation 5.385, exp(5.385) = 218.
    found = weights([[30]] + [[0]] * 29)
    assert found[0, 0] == pytest.approx(20)
    np.testing.assert_allclose(found[1:], np.exp(-1 / np.sqrt(29)), rtol=1e-5)
