"""What is on the roads step by step, worked by hand on a street of two links."""

import dataclasses

import numpy as np
import pytest

from leed_jax.road import trace, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

NONE = -1
NOBODY = Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
# 10 s each, capacity 1 a second: a platoon of 10 is x = 1 on either link, and takes 11.5 s;
# two of them x = 2, f = 1 / (1 + 0.15 x 16) = 1 / 3.4, 34 s.
STREET = RoadNetwork(
    name="street",
    nodes=("a", "b", "c"),
    position=np.zeros((3, 2)),
    tail=np.array([0, 1]),
    head=np.array([1, 2]),
    free_flow_time=np.array([10.0, 10.0]),
    capacity=np.full(2, 3600.0),
    coefficient=np.full(2, 0.15),
    demand=NOBODY,
    geographic=False,
)
TWO = Fleet(
    name="two",
    origin=np.array([0, 1]),
    destination=np.array([2, 2]),
    departure=np.array([0.0, 10.0]),
    platoon=10.0,
    window=10.0,
)


def test_a_trace_by_hand():
    # The first is alone on its first link for 11.5 s. The other begins at 10 s, and to 15 s it
    # is alone: 5 / 1.15 = 4.348 s of free flow, 5.652 left. From 15 s the first, with 3.5 s of
    # credit, is on that link, too: at 1 / 3.4 the second takes another 5.652 x 3.4 = 19.2 s, until
    # 34.2 s, in the step that ends at 35 s.
    seen = trace.trace(STREET, TWO, [(0, 1), (1,)])
    link = np.array([[0, 0, 0, 1, 1, 1, 1, 1], [NONE, NONE, 1, 1, 1, 1, 1, NONE]]).T
    np.testing.assert_array_equal(seen.link[:8], link)
    assert seen.step == 5.0
    np.testing.assert_array_equal(seen.count[:3], [[1, 0], [1, 0], [1, 1]])
    alone, both = 1 / 1.15, 1 / 3.4
    np.testing.assert_allclose(seen.speed[2:4], [[alone, alone], [1.0, both]], rtol=1e-6)
    # The first has driven 3.5 + 4 x 5 = 23.5 s at 1 / 3.4 by 35 s, then it is alone again.
    left = 10 - 23.5 * both
    np.testing.assert_allclose(seen.seconds, [35 + left * 1.15, 34.217 - 10], atol=2e-3)
    assert len(seen.link) == len(seen.speed) == np.ceil((35 + left * 1.15) / 5)


def test_times_are_those_of_the_drive_and_the_rules_can_be_others():
    rules = traffic.rules(STREET, "queue")
    seen = trace.trace(STREET, TWO, [(0, 1), (1,)], rules)
    # Both enter the second link at 10 s, and w / c = 10 s lie between their exits: the first (by
    # number) leaves at 20 s, the other at 30 s, 20 s after its departure.
    np.testing.assert_allclose(seen.seconds, [20.0, 20.0], atol=1e-4)
    assert (seen.speed == 1.0).all()


def test_who_does_not_get_to_the_destination_leaves_the_roads_there():
    seen = trace.trace(STREET, TWO, [(0,), ()])
    assert np.isinf(seen.seconds).all()
    np.testing.assert_array_equal(seen.link[:, 0], [0, 0, 0])
    assert (seen.link[:, 1] == NONE).all()
    np.testing.assert_array_equal(seen.count, [[1, 0]] * 3)


def test_waiting_for_departure_is_on_no_road_and_not_counted():
    late = dataclasses.replace(TWO, departure=np.array([600.0, 0.0]))  # behind a whole block
    seen = trace.trace(STREET, late, [(0, 1), (1,)])
    assert (seen.link[:120, 0] == NONE).all() and seen.link[120, 0] == 0
    assert seen.seconds == pytest.approx([23.0, 11.5], abs=1e-3)
