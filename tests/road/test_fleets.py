"""Fleets: who is drawn from which demand, those that are shipped, and what is refused."""

import dataclasses

import jaxtyping
import numpy as np
import pytest

from leed_jax.road import fleets, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

# Nodes 0 to 3 in a ring; trips per hour: 0>2 10, 1>2 40, 2>0 30, 3>0 15, 1>3 5.
RING = RoadNetwork(
    name="ring",
    nodes=("a", "b", "c", "d"),
    position=np.zeros((4, 2)),
    tail=np.arange(4),
    head=np.array([1, 2, 3, 0]),
    free_flow_time=np.full(4, 20.0),
    capacity=np.full(4, 600.0),
    coefficient=np.full(4, 0.15),
    demand=Demand(
        np.array([0, 1, 2, 3, 1]), np.array([2, 2, 0, 0, 3]), np.array([10.0, 40, 30, 15, 5])
    ),
    geographic=False,
)
BERLIN = shipped.load("berlin_adlershof")


def pair(**changes) -> Fleet:
    """Two vehicles, a to c and b to d."""
    whole = Fleet(
        name="pair",
        origin=np.array([0, 1]),
        destination=np.array([2, 3]),
        departure=np.array([0.0, 5.0]),
        platoon=4.0,
        window=10.0,
    )
    return dataclasses.replace(whole, **changes)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("table", [0, 1, 2, 3, 4]),
        ("pairs2", [1, 2]),  # 40 and 30, the heaviest first
        ("hub1", [0, 1]),  # to c 50, to a 45, to d 5
        ("hub2", [0, 1, 2, 3]),
    ],
)
def test_kinds_draw_from_their_rows_of_the_demand(kind, rows):
    assert fleets.demand_rows(RING, kind).tolist() == rows
    drawn = fleets.make(RING, kind, 200, demand=400.0, window=30.0)
    table = RING.demand
    allowed = {(table.origin[row], table.destination[row]) for row in rows}
    assert set(zip(drawn.origin, drawn.destination, strict=True)) == allowed
    assert drawn.platoon == 2.0 and drawn.demand == 400.0 and drawn.num_vehicles == 200
    # Whole steps of 5 s, the whole window.
    assert set(drawn.departure) == {0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0}


def test_rows_are_drawn_as_often_as_their_trips_say():
    drawn = fleets.make(RING, "table", 4000, demand=4000.0, window=0.0)
    share = np.mean((drawn.origin == 1) & (drawn.destination == 2))
    assert share == pytest.approx(0.4, abs=0.03)  # four standard errors
    assert (drawn.departure == 0).all()


def test_a_seed_is_a_fleet():
    first, same, other = (
        fleets.make(RING, "table", 30, demand=30.0, window=60.0, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.origin, same.origin)
    np.testing.assert_array_equal(first.departure, same.departure)
    assert (first.departure != other.departure).any()
    assert (first.name, other.name) == ("table_n30_s1", "table_n30_s2")


def test_a_shipped_fleet_is_taken_where_it_is_asked_for_exactly():
    found = fleets.make(BERLIN, "hub3", 16, demand=64.0, window=60.0, seed=2)
    known = fleets.read_shipped("berlin_adlershof")["hub3_n16_s2"]
    np.testing.assert_array_equal(found.origin, known.origin)
    np.testing.assert_array_equal(found.departure, known.departure)
    references = fleets.known_references(BERLIN, found)
    assert references is not None and references["ff"] == 214.35 and references["so"] == 104.25
    # Another demand is another fleet, by the same name.
    other = fleets.make(BERLIN, "hub3", 16, demand=80.0, window=60.0, seed=2)
    assert fleets.known_references(BERLIN, other) is None
    assert fleets.read_shipped("ring") == {} and fleets.known_references(RING, pair()) is None


def test_references_belong_to_trips_times_and_platoon_over_kappa():
    known = fleets.read_shipped("berlin_adlershof")["hub3_n16_s2"]
    swapped = known.destination[::-1].copy()
    origin = known.origin.copy()
    origin[0] = next(node for node in range(99) if node not in (origin[0], known.destination[0]))
    for changes in (
        {"origin": origin},
        {"destination": np.where(swapped == known.origin, known.destination, swapped)},
        {"departure": known.departure + 5.0},
        {"kappa": 2.0},
    ):
        assert fleets.known_references(BERLIN, dataclasses.replace(known, **changes)) is None
    # Twice the platoon at twice the capacity is the same traffic.
    same = dataclasses.replace(known, kappa=2.0, platoon=2 * known.platoon)
    assert fleets.known_references(BERLIN, same) is not None
    assert fleets.make(BERLIN, "hub3", 16, demand=64.0, window=60.0, kappa=2.0).kappa == 2.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"destination": np.array([2, 1])}, "fleet pair: vehicle 1 is where it wants to go"),
        ({"departure": np.array([0.0, -5])}, "vehicle 1: departure must be at least 0 s"),
        ({"departure": np.array([np.nan, 0])}, "vehicle 0: departure must be at least 0 s"),
        ({"platoon": 0.0}, "fleet pair: platoon must be positive, got 0"),
        ({"kappa": np.inf}, "fleet pair: kappa must be positive, got inf"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pair(**changes)


def test_columns_of_different_lengths_are_refused(monkeypatch):
    # The session's checks of shapes, which users do without, would refuse them first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="fleet pair: destination must have 2 rows, got 1"):
        pair(destination=np.array([2]))
    with pytest.raises(ValueError, match="fleet pair: departure must have 2 rows, got 3"):
        pair(departure=np.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table", 0), "num_agents must be at least 1, got 0"),
        (("pairs0", 2), r"kind must be table, pairs<k> or hub<k>, got 'pairs0'"),
        (("centre", 2), "kind must be table"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fleets.make(RING, *arguments, demand=1.0, window=0.0)


@pytest.mark.parametrize(
    ("demand", "window", "message"),
    [
        (0.0, 0.0, "demand must be at least 1e-09, got 0.0"),
        (1.0, -1.0, "window must be at least 0, got -1.0"),
        (np.nan, 0.0, "demand must be"),
    ],
)
def test_demand_and_window_out_of_range_are_refused(demand, window, message):
    with pytest.raises(ValueError, match=message):
        fleets.make(RING, "table", 2, demand=demand, window=window)


def test_without_demand_nothing_can_be_drawn():
    nobody = RING.replace(demand=Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0)))
    with pytest.raises(ValueError, match="network ring has no demand to draw a fleet from"):
        fleets.make(nobody, "table", 2, demand=1.0, window=0.0)


def test_a_vehicle_that_cannot_get_there_is_named():
    fleets.require_reachable(RING, pair())
    with pytest.raises(ValueError, match=r"vehicle 1: destination must be a node of 0\.\.3, got 7"):
        fleets.require_reachable(RING, pair(destination=np.array([2, 7])))
    with pytest.raises(ValueError, match=r"vehicle 0: origin must be a node of 0\.\.3, got -1"):
        fleets.require_reachable(RING, pair(origin=np.array([-1, 1])))
    shut = RING.replace(forbidden=np.array([[1, 2]]))  # no way from b to d
    with pytest.raises(ValueError, match="fleet pair: vehicle 1 cannot reach its destination"):
        fleets.require_reachable(shut, pair())
