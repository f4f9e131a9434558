"""Generalised advantages, and rewards between rows, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.optimization import returns

GAMMA, LAMBDA = 0.5, 0.5


def advantages(reward, value, terminated, valid):
    discount = GAMMA * (1.0 - np.array(terminated))
    return given_discounts(reward, value, discount, valid)


def given_discounts(reward, value, discount, valid):
    reward, value, discount = (jnp.array(x, jnp.float32) for x in (reward, value, discount))
    valid = jnp.array(valid, bool)
    return returns.generalised_advantages(reward, value, discount, valid, gae_lambda=LAMBDA)


@pytest.mark.usefixtures("strict_promotion")
def test_two_steps_without_an_end():
    # delta_1 = 2 + 0.5 * 8 - 4 = 2; delta_0 = 1 + 0.5 * 4 - 2 = 1
    # A_1 = 2; A_0 = 1 + 0.25 * 2 = 1.5
    result = advantages([1, 2], [2, 4, 8], [0, 0], [1, 1])
    np.testing.assert_allclose(result, [1.5, 2.0])


def test_termination_bootstraps_nothing_and_stops_the_sum():
    # delta_0 = 1 - 2 = -1, although the next row has value 4 and advantage 2.
    result = advantages([1, 2], [2, 4, 8], [1, 0], [1, 1])
    np.testing.assert_allclose(result, [-1.0, 2.0])


def test_time_limit_bootstraps_the_true_last_observation_and_leaks_nothing():
    # Row 1 is the last observation of the episode that row 0 ends: V = 4 is bootstrapped,
    # A_0 = 1 + 0.5 * 4 - 2 = 1; row 2 starts another episode, whose large advantage stays there.
    result = advantages([1, 99, 50], [2, 4, 1, 0], [0, 0, 0], [1, 0, 1])
    np.testing.assert_allclose(result, [1.0, 0.0, 49.0])


def test_works_under_jit_with_further_axes_and_is_finite():
    shape = (7, 3, 2)
    reward = jax.random.normal(jax.random.key(0), shape)
    value = jax.random.normal(jax.random.key(1), (8, 3, 2))
    discount, valid = jnp.full(shape, 0.99), jnp.ones(shape, bool)
    both = jax.jit(lambda *a: returns.generalised_advantages(*a, gae_lambda=0.95))(
        reward, value, discount, valid
    )
    one = returns.generalised_advantages(
        reward[:, 1, 0], value[:, 1, 0], discount[:, 1, 0], valid[:, 1, 0], gae_lambda=0.95
    )
    np.testing.assert_allclose(both[:, 1, 0], one, rtol=1e-5)
    assert np.isfinite(both).all()


def test_a_row_that_comes_several_steps_later_is_discounted_by_all_of_them():
    # A_1 = 2 - 4 + 0.125 * 8 = -1; A_0 = 1 - 2 + 0.25 * 4 + 0.5 * 0.25 * A_1 = -0.125
    result = given_discounts([1, 2], [2, 4, 8], [0.25, 0.125], [1, 1])
    np.testing.assert_allclose(result, [-0.125, -1.0])


@pytest.mark.usefixtures("strict_promotion")
def test_rewards_and_discounts_are_gathered_until_the_next_row():
    # Rows at steps 1, 2 and 5. The return ends with step 3: nothing that comes later counts.
    reward = jnp.array([99.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    discount = jnp.array([0.5, 0.5, 0.5, 0.0, 0.5, 0.5, 0.5])
    row = jnp.zeros(7, bool).at[jnp.array([1, 2, 5])].set(True)
    rewards, discounts = returns.until_next_row(reward, discount, row)
    # 1 alone; 2 + 0.5 * 4; 16 + 0.5 * 32, and the observation after the last step follows.
    np.testing.assert_allclose(rewards[row], [1, 4, 32])
    np.testing.assert_allclose(discounts[row], [0.5, 0, 0.25])
