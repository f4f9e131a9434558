"""Generalised advantages, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.optimization import returns

GAMMA, LAMBDA = 0.5, 0.5


def advantages(reward, value, terminated, valid):
    arrays = [jnp.array(x, jnp.float32) for x in (reward, value)]
    flags = [jnp.array(x, bool) for x in (terminated, valid)]
    return returns.generalised_advantages(*arrays, *flags, gamma=GAMMA, gae_lambda=LAMBDA)


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
    none, all_ = jnp.zeros(shape, bool), jnp.ones(shape, bool)
    both = jax.jit(lambda *a: returns.generalised_advantages(*a, gamma=0.99, gae_lambda=0.95))(
        reward, value, none, all_
    )
    one = returns.generalised_advantages(
        reward[:, 1, 0], value[:, 1, 0], none[:, 1, 0], all_[:, 1, 0], gamma=0.99, gae_lambda=0.95
    )
    np.testing.assert_allclose(both[:, 1, 0], one, rtol=1e-5)
    assert np.isfinite(both).all()
