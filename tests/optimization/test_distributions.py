"""Policies over legal actions, against numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.optimization import distributions
from leed_jax.optimization.distributions import Gaussian


def test_illegal_actions_are_never_drawn_and_legal_ones_as_often_as_they_should():
    mask = jnp.array([False, True, False, True, False])
    logits = jnp.log(jnp.array([9.0, 0.25, 9.0, 0.75, 9.0]))
    policy = distributions.categorical(jnp.tile(logits, (20_000, 1)), jnp.tile(mask, (20_000, 1)))
    drawn = np.asarray(policy.sample(jax.random.key(0)))
    counts = np.bincount(drawn, minlength=5) / len(drawn)
    np.testing.assert_allclose(counts, [0, 0.25, 0, 0.75, 0], atol=0.01)


def test_a_draw_of_zero_is_legal(monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.zeros(shape))
    mask = jnp.array([[False, False, True]])
    drawn = distributions.categorical(jnp.zeros((1, 3)), mask).sample(jax.random.key(0))
    assert int(drawn[0]) == 2


def test_entropy_of_masked_uniform_is_the_log_of_the_legal_actions():
    policy = distributions.categorical(jnp.zeros(4), jnp.array([True, True, False, True]))
    np.testing.assert_allclose(policy.entropy(), np.log(3), rtol=1e-6)
    mask = jnp.array([True, False])
    entropy = jax.grad(lambda logits: distributions.categorical(logits, mask).entropy())
    gradient = entropy(jnp.zeros(2))
    assert np.isfinite(gradient).all()


def test_log_likelihood_and_entropy_of_a_gaussian_by_hand():
    # Component 0: mean 0.5, deviation e^-1, action 0.5 + e^-1 (one deviation away);
    # component 1: mean 0, deviation 1, action 0; component 2 is padding.
    policy = Gaussian(
        jnp.array([0.5, 0.0, 9.0]), jnp.array([-1.0, 0.0, 0.3]), jnp.array([True, True, False])
    )
    action = jnp.array([0.5 + np.exp(-1), 0.0, -7.0])
    half = 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(policy.log_prob(action), (-0.5 + 1 - half) - half, rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(), (-1 + half + 0.5) + half + 0.5, rtol=1e-6)
    np.testing.assert_allclose(policy.mode(), [0.5, 0, 0])


def test_divergences_by_hand():
    mask = jnp.array([True, True, False])
    one = distributions.categorical(jnp.log(jnp.array([0.9, 0.1, 0.5])), mask)
    two = distributions.categorical(jnp.log(jnp.array([0.6, 0.4, 9.0])), mask)
    expected = 0.9 * np.log(0.9 / 0.6) + 0.1 * np.log(0.1 / 0.4)
    np.testing.assert_allclose(one.divergence(two), expected, rtol=1e-5)
    assert np.isfinite(
        jax.grad(lambda x: one.divergence(distributions.categorical(x, mask)))(one.log_probs)
    ).all()
    # log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2 with s1 = 1, s2 = 2, m1 - m2 = 3.
    wide = Gaussian(jnp.array([3.0, 7.0]), jnp.zeros(2), jnp.array([True, False]))
    narrow = Gaussian(jnp.zeros(2), jnp.log(2.0) * jnp.ones(2), jnp.array([True, False]))
    np.testing.assert_allclose(wide.divergence(narrow), np.log(2) + 10 / 8 - 0.5, rtol=1e-6)


def test_draws_of_a_gaussian_have_its_mean_and_deviation_and_nothing_in_the_padding():
    rows = (20_000, 1)
    policy = distributions.gaussian(
        jnp.tile(jnp.array([0.2, 9.0, -1.0, 0.0]), rows), jnp.tile(jnp.array([True, False]), rows)
    )
    drawn = np.asarray(policy.sample(jax.random.key(0)))
    np.testing.assert_allclose(drawn.mean(0), [0.2, 0], atol=0.01)
    np.testing.assert_allclose(drawn.std(0), [np.exp(-1), 0], atol=0.01)


@pytest.mark.parametrize(("asked", "kept"), [(-9.0, -2.0), (9.0, 0.5), (-1.0, -1.0)])
def test_the_spread_stays_within_bounds_and_its_gradient_is_finite(asked, kept):
    mask = jnp.array([True])
    policy = distributions.gaussian(jnp.array([0.0, asked]), mask)
    np.testing.assert_allclose(policy.log_std, [kept])
    gradient = jax.grad(
        lambda outputs: distributions.gaussian(outputs, mask).log_prob(jnp.array([1.0]))
    )(jnp.array([0.0, asked]))
    assert np.isfinite(gradient).all()
