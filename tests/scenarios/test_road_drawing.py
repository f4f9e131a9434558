"""Maps: where vehicles are, which side of the road is which, and what is written on it."""

import jax
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from leed_jax.environments import road as environment
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork
from leed_jax.scenarios.road import drawing

WEST, EAST, NORTH = range(3)


@pytest.fixture(scope="module")
def network():
    """A road of two directions from west to east, and one from the east to the north."""
    return RoadNetwork(
        name="corner",
        nodes=("west", "east", "north"),
        position=np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]),
        tail=np.array([WEST, EAST, EAST]),
        head=np.array([EAST, WEST, NORTH]),
        free_flow_time=np.array([20.0, 20.0, 20.0]),
        capacity=np.array([360.0, 360.0, 360.0]),
        coefficient=np.full(3, 0.15),
        demand=Demand(np.array([WEST]), np.array([NORTH]), np.array([1.0])),
        geographic=False,
        attribution="surveyed on foot by the authors of this test",
    )


@pytest.fixture(scope="module")
def env(network):
    # At capacity two cars are on a link: 0.1 a second for 20 s.
    fleet = Fleet(
        "three", np.zeros(3, int), np.full(3, NORTH), np.array([0.0, 0.0, 100.0]), 1.0, 100.0
    )
    return environment.make(network, fleet)


@pytest.fixture(scope="module")
def state(env):
    """Two are half way to the east, the third has not left; then one of them has arrived."""
    begun, _ = env.scored_reset(jax.random.key(0))
    now = begun.traffic._replace(
        place=np.array([0, 0, 3 + WEST], np.int32),
        remaining=np.array([10.0, 10.0, 0.0], np.float32),
        step=np.array(2, np.int32),
    )
    return begun._replace(traffic=now)


def drawn(env, state):
    axes = Figure().add_axes((0, 0, 1, 1))
    drawing.draw(env, axes, state)
    return axes


def markers(axes, kind):
    return np.concatenate(
        [np.array(line.get_xydata()) for line in axes.lines if line.get_marker() == kind]
    )


def test_vehicles_are_on_their_link_or_at_their_node(network):
    place = np.array([0, 1, 2, 0, 3 + NORTH])
    remaining = np.array([5.0, 15.0, 20.0, 0.0, 0.0])
    aside = drawing.SIDE * 10
    wanted = [
        [7.5, -aside],  # three quarters of the way to the east, on the right side of the road
        [7.5, aside],  # a quarter of the way back, on the other side
        [10 + aside, 0],  # to the north, at the beginning
        [10, 0],  # the link is driven: at its end
        [10, 10],  # not yet on any link
    ]
    np.testing.assert_allclose(drawing.positions(network, place, remaining), wanted, atol=1e-12)


def test_a_moment_shows_who_is_under_way_and_where_to(env, state):
    axes = drawn(env, state)
    dots = markers(axes, "o")
    np.testing.assert_allclose(dots, [[5, -drawing.SIDE * 10]] * 2, atol=1e-12)
    assert markers(axes, "X").tolist() == [[10, 10]]
    texts = [text.get_text() for text in axes.texts]
    assert "10 s, 0 of 3 arrived" in texts
    later = state.traffic._replace(arrival=np.array([9.5, -1.0, -1.0], np.float32))
    axes = drawn(env, state._replace(traffic=later))
    assert len(markers(axes, "o")) == 1
    assert "10 s, 1 of 3 arrived" in [text.get_text() for text in axes.texts]


def test_every_picture_says_where_the_map_comes_from(env, state, network):
    texts = " ".join(text.get_text() for text in drawn(env, state).texts)
    assert network.attribution in " ".join(texts.split())


def test_roads_are_coloured_by_how_full_they_are(env, state):
    empty, used = drawn(env, state).collections
    assert len(empty.get_paths()) == 2
    # Two cars on the link that holds two at capacity.
    np.testing.assert_allclose(np.asarray(used.get_array()), [1.0])
    assert used.get_clim()[1] == drawing.FULL


def test_the_fullest_road_is_drawn_last_and_widest(network):
    axes = Figure().add_axes((0, 0, 1, 1))
    lines = drawing.roads(axes, network, np.array([2.0, 0.0, 1.0]), full=2.0)
    np.testing.assert_allclose(lines.get_array(), [1.0, 2.0])
    assert lines.get_linewidths()[0] < lines.get_linewidths()[1]
    lines.update_scalarmappable()
    assert tuple(lines.get_colors()[1]) == to_rgba(lines.get_cmap()(1.0))


def test_both_directions_stay_inside_the_frame(network):
    axes = Figure(figsize=(4, 4)).add_axes((0, 0, 1, 1))
    drawing.roads(axes, network, np.zeros(3))
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert right - left == pytest.approx(high - low)  # a square: nothing is distorted
    assert left < -drawing.SIDE * 10 and right > 10 + drawing.SIDE * 10
    assert low < -drawing.FOOT * 10  # room for the words
