"""Dynamic time warping against a plain dynamic programme, and trajectories cut out of rollouts."""

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax.optimization import distances

warping = jax.jit(distances.warping)
pieces = jax.jit(distances.pieces, static_argnums=3)
to_nearest = jax.jit(distances.to_nearest, static_argnames="same")


def programme(cost):
    """The recursion, entry by entry."""
    total = np.full(cost.shape, np.inf)
    for first in range(cost.shape[0]):
        for second in range(cost.shape[1]):
            before = [0.0] if first == 0 else [total[first - 1, second]]
            if first > 0 and second > 0:
                before += [total[first, second - 1], total[first - 1, second - 1]]
            total[first, second] = cost[first, second] + min(before)
    return total[-1].min() / cost.shape[0]


def test_warping_is_that_of_the_plain_dynamic_programme():
    rng = np.random.default_rng(0)
    for shape in ((5, 7), (6, 2), (1, 4), (3, 1)):
        cost = rng.random((3, *shape)).astype(np.float32)
        wanted = [programme(each) for each in cost]
        np.testing.assert_allclose(warping(jnp.array(cost)), wanted, rtol=1e-6)


def test_a_stretch_of_a_demonstration_passed_at_half_speed_is_no_distance_away():
    demonstration = np.array([0.0, 1, 2, 3, 4, 5])
    piece = np.array([2.0, 2, 3, 3, 4])
    cost = np.abs(piece[:, None] - demonstration)
    assert warping(jnp.array(cost, jnp.float32)) == 0
    # The other way round it is: it has to be gone through forwards. 2 or 3 for all: 1+1+0+0+1 = 3.
    backwards = warping(jnp.array(cost[::-1], jnp.float32))
    np.testing.assert_allclose(backwards, programme(cost[::-1]), rtol=1e-6)
    assert backwards == np.float32(3 / 5)


def test_the_longest_piece_of_an_episode_is_taken_at_even_distances():
    rows = jnp.arange(10.0).reshape(10, 1, 1, 1)
    start = jnp.zeros((10, 1, 1), bool).at[2].set(True).at[8].set(True)
    counted = jnp.ones((10, 1, 1), bool).at[5].set(False)
    # The episode of rows 2 to 7 without row 5: 2, 3, 4, 6, 7.
    found, there = pieces(rows, counted, start, 5)
    assert there.all()
    np.testing.assert_array_equal(found[0, 0, :, 0], [2, 3, 4, 6, 7])
    # Two halves of five rows: the middles are at 1.25 and 3.75.
    found, _ = pieces(rows, counted, start, 2)
    np.testing.assert_array_equal(found[0, 0, :, 0], [3, 6])
    # More points than rows repeat some of them, in order.
    found, _ = pieces(rows, counted, start, 10)
    np.testing.assert_array_equal(found[0, 0, :, 0], [2, 2, 3, 3, 4, 4, 6, 6, 7, 7])
    _, there = pieces(rows, jnp.zeros_like(counted), start, 5)
    assert not there.any()


def test_features_that_hardly_vary_have_a_tenth_of_the_typical_deviation():
    # Agent 0: deviations 3 and 0, root mean square 3 / sqrt(2). Agent 1: one row counts, no more.
    rows = jnp.array([[[0.0, 5.0], [1.0, 1.0]], [[6.0, 5.0], [9.0, 9.0]]])
    counted = jnp.array([[True, True], [True, False]])
    found = distances.deviations(rows, counted)
    np.testing.assert_allclose(found[0], [3, 0.3 / np.sqrt(2)], rtol=1e-6)
    np.testing.assert_allclose(found[1], 1e-6)


def test_the_nearest_demonstration_counts_agent_by_agent():
    rng = np.random.default_rng(1)
    one, two = rng.random((2, 3, 4, 2)), rng.random((5, 3, 4, 2))
    deviation = rng.random((3, 2)) + 0.5
    found = to_nearest(*(jnp.array(v, jnp.float32) for v in (one, two, deviation)))
    for piece in range(2):
        for agent in range(3):
            mine, scale = one[piece, agent], deviation[agent]
            away = [(mine[:, None] - other[agent][None]) / scale for other in two]
            wanted = min(programme(np.sqrt(np.square(each).mean(-1))) for each in away)
            np.testing.assert_allclose(found[piece, agent], wanted, rtol=1e-4)


def test_a_set_is_not_compared_with_itself():
    points = jnp.array([0.0, 1.0, 5.0]).reshape(3, 1, 1, 1)
    found = to_nearest(points, points, jnp.ones((1, 1)), same=True)
    np.testing.assert_allclose(found[:, 0], [1, 1, 4], rtol=1e-6)
