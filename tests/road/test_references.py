"""Reference solutions of fleets: by hand, by enumeration, and those that are published."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from road import float64

from leed_jax.road import (
    assignments,
    best_response,
    conditions,
    drive,
    fleets,
    local_search,
    navigation,
    paths,
    references,
    shipped,
    traffic,
)
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

BERLIN = "berlin_adlershof"
TABLE = {
    entry["fleet"]: entry["mean_seconds"]
    for entry in fleets.read_references(shipped.data_folder(BERLIN) / "fleets")
}
UPPER, LOWER, SHORTCUT = (0, 2), (1, 3), (0, 4, 3)
"""Routes of Braess's network; ``test_drive`` works out what they take."""


def four() -> Fleet:
    """Of 1,000 each, from s to t at once."""
    return Fleet("four", np.zeros(4, int), np.full(4, 3), np.zeros(4), 1000.0, 0.0)


def without_shortcut() -> RoadNetwork:
    whole = shipped.load("braess")
    links = {
        name: getattr(whole, name)[:4]
        for name in ("tail", "head", "free_flow_time", "capacity", "coefficient")
    }
    return whole.replace(**links)


def check(name: str, rounds: int | None, ue_within: float) -> references.References:
    """Compares the references of a fleet with the table."""
    network, fleet = shipped.load(BERLIN), fleets.read_shipped(BERLIN)[name]
    found = references.references(network, fleet, rounds=rounds)
    for key, within in (("lb", 0.02), ("nav", 0.02), ("ff", 0.02), ("ue", ue_within)):
        assert getattr(found, key) == pytest.approx(TABLE[name][key], rel=within), key
    assert found.so <= 1.02 * TABLE[name]["so"]
    assert found.lb <= found.so <= min(found.ue, found.ff)
    assert found.ue_settled
    return found


# -------------------------------------------------------------------------- the published table


def test_the_references_of_a_shipped_fleet_are_those_of_the_table():
    found = check("hub3_n16_s1", rounds=3, ue_within=0.02)
    assert str(found).startswith("hub3_n16_s1  N 16  lb 109.1  so 11")
    assert {name: len(routes) for name, routes in found.routes.items()} == dict.fromkeys(
        ("so", "ue", "nav", "ff"), 16
    )


# That of 512 vehicles takes half an hour.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLE if "_n512_" not in name])
def test_the_references_of_every_shipped_fleet_are_those_of_the_table(name):
    # A fleet has several equilibria: from other starts they lay up to 4 % apart.
    print(check(name, rounds=None, ue_within=0.03), file=sys.stderr)


# --------------------------------------------------------------------------------------- by hand


def test_braess_without_the_shortcut_is_split_in_halves():
    network = without_shortcut()
    found = references.equilibrium(network, four())
    # 21 + 45 minutes for all four; alone on either side: 11 + 45.
    assert found.settled
    assert sorted(found.assignment.routes) == [UPPER, UPPER, LOWER, LOWER]
    assert found.assignment.seconds.tolist() == pytest.approx([66 * 60.0] * 4, abs=0.01)
    best = references.near_optimum(network, four(), rounds=3)
    assert best.mean_seconds == pytest.approx(66 * 60, abs=0.01)
    assert references.lower_bound(network, four()).tolist() == pytest.approx([56 * 60.0] * 4)


def test_braess_with_the_shortcut():
    network = shipped.load("braess")
    # 1 + 1 + 1 minutes at free flow: all take the shortcut, and 83. So do those who navigate: at
    # s nobody is on the road yet; at a the shortcut is still said to take 1 + 1.
    for found in (references.free_flow(network, four()), references.navigation(network, four())):
        assert found.routes == (SHORTCUT,) * 4
        assert found.seconds.tolist() == pytest.approx([83 * 60.0] * 4, abs=0.01)
    # No equilibrium: one gains on the lower road, since it comes to b after the others (73.56).
    # Two and two: the two on the shortcut (43) are past b when the others (66) come there, and
    # who changes from the lower road makes it three on the shortcut (68.81).
    end, settled = references.equilibrium(network, four())
    assert settled
    assert sorted(end.routes) == [SHORTCUT, SHORTCUT, LOWER, LOWER]
    assert sorted(end.seconds / 60) == pytest.approx([43, 43, 66, 66], abs=1e-3)
    best = references.near_optimum(network, four(), rounds=3)
    assert best.mean_seconds / 60 == pytest.approx(54.5, abs=1e-3)
    # Alone: 11 + 1 + 11.
    assert references.lower_bound(network, four()).tolist() == pytest.approx([23 * 60.0] * 4)


def test_score_is_one_for_the_best_plan_and_nothing_for_free_flow():
    found = references.References("f", 2, 80.0, 100.0, 105.0, 120.0, 150.0, False, {})
    assert [found.score(seconds) for seconds in (100.0, 150.0, 125.0, 160.0)] == [1, 0, 0.5, -0.2]
    assert found.useful
    assert str(found) == (
        "f  N 2  lb 80.0  so 100.0  ue 105.0*  nav 120.0  ff 150.0  ff/so 1.50  ue/so 1.050"
    )
    same = references.References("f", 2, 80.0, 100.0, 100.0, 100.0, 100.0, True, {})
    assert np.isnan(same.score(90.0))
    assert not same.useful


# ------------------------------------------------------------------------------- by enumeration


@pytest.mark.parametrize(
    ("name", "kind", "vehicles", "platoon", "count", "seed"),
    [
        ("ow", "table", 4, 60.0, 6, 0),
        (BERLIN, "hub1", 6, 8.0, 3, 0),
        pytest.param("ow", "table", 6, 60.0, 3, 2, marks=pytest.mark.slow),
        pytest.param(BERLIN, "hub1", 4, 8.0, 6, 1, marks=pytest.mark.slow),
    ],
)
def test_no_combination_of_routes_beats_the_search(name, kind, vehicles, platoon, count, seed):
    network = shipped.load(name)
    fleet = fleets.make(network, kind, vehicles, demand=platoon * vehicles, window=0.0, seed=seed)
    found = references.references(network, fleet, rounds=20)
    task = assignments.prepare(network, fleet)
    sets = assignments.RouteSets(task, count)
    # The fastest at free flow, and those that the searches found beyond.
    options = [
        dict.fromkeys([*sets.of(v), found.routes["so"][v], found.routes["ue"][v]])
        for v in range(vehicles)
    ]
    table = assignments.table([route for routes in options for route in routes])
    rows = np.split(np.arange(len(table)), np.cumsum([len(routes) for routes in options])[:-1])
    combinations = table[np.array(list(itertools.product(*rows)))]
    assert len(combinations) > 1000
    seconds = jax.jit(
        jax.vmap(lambda routes: drive.drive(task.roads, task.rules, task.trips, routes))
    )(combinations)
    best = float(np.asarray(seconds, float).mean(axis=1).min())
    assert best < found.ff / 1.2
    assert found.so == pytest.approx(best, abs=0.01)


# ------------------------------------------------------------------------------ what is promised


def test_nobody_gains_in_an_equilibrium_by_an_independent_simulation():
    network, fleet = shipped.load(BERLIN), fleets.read_shipped(BERLIN)["hub3_n16_s3"]
    end, settled = references.equilibrium(network, fleet)
    assert settled
    now = float64.bpr(network, fleet, end.routes)
    np.testing.assert_allclose(end.seconds, now, atol=6e-3)
    sets = assignments.RouteSets(assignments.prepare(network, fleet), 4)
    for vehicle in range(fleet.num_vehicles):
        for route in sets.of(vehicle):
            other = float64.bpr(network, fleet, assignments.with_route(end.routes, vehicle, route))
            assert other[vehicle] > now[vehicle] - best_response.TOLERANCE - 6e-3


def test_queues_have_references_and_a_seed_repeats_them():
    network = shipped.load("ow")
    fleet = fleets.make(network, "table", 6, demand=360.0, window=120.0, seed=1)
    said: list[str] = []
    one, other = (
        references.references(
            network, fleet, rounds=2, seed=3, congestion="queue", progress=said.append
        )
        for _ in range(2)
    )
    assert one == other
    assert one.lb <= one.so <= one.ue <= one.ff
    assert one.so <= one.nav
    # Alone in a queue there is no delay at all.
    free = paths.time_from_node(network, fleet.destination)[fleet.origin, np.arange(6)]
    assert one.lb == pytest.approx(free.mean())
    assert any(line.startswith("equilibrium, round 1") for line in said)
    driven = float64.queue(network, fleet, one.routes["so"])
    assert np.mean(driven) == pytest.approx(one.so, abs=6e-3)


def test_a_vehicle_without_a_way_is_named():
    network = shipped.load("braess")
    stuck = Fleet("stuck", np.array([3]), np.array([0]), np.zeros(1), 1.0, 0.0)
    with pytest.raises(ValueError, match="fleet stuck: vehicle 0 cannot reach its destination"):
        references.references(network, stuck)


# ------------------------------------------------------------------------- what it is built from


def test_time_to_go_at_free_flow_is_that_of_the_shortest_paths():
    network = shipped.load(BERLIN)
    zones = np.unique(network.demand.destination)[:5]
    found = navigation.time_to_go(
        traffic.roads(network, 1.0),
        jnp.asarray(network.free_flow_time, jnp.float32),
        jnp.asarray(network.head[:, None] == zones),
    )
    np.testing.assert_allclose(found, paths.time_from_link(network, zones), rtol=1e-5)


def test_estimated_times_are_exact_for_who_is_alone_and_a_star_finds_the_fastest_route():
    network = shipped.load(BERLIN)
    shipped_fleet = fleets.read_shipped(BERLIN)["hub3_n16_s0"]
    fleet = Fleet(
        "one",
        shipped_fleet.origin[:1],
        shipped_fleet.destination[:1],
        shipped_fleet.departure[:1],
        platoon=1e-6,
        window=0.0,
    )
    task = assignments.prepare(network, fleet)
    sets = assignments.RouteSets(task, 4)
    slowest = sets.of(0)[-1]
    driven = assignments.assign(task, [slowest])
    free = conditions.record(task, [slowest])
    assert conditions.travel_costs(task, free, 0, [slowest], 0.0) == pytest.approx(
        driven.seconds, abs=1e-2
    )
    assert conditions.cheapest_route(task, free, 0, 0.0) == sets.of(0)[0]
    # Ten times the time on the first route's links, all the time: another route is the fastest.
    jammed = free.seconds.copy()
    jammed[list(sets.of(0)[0])] *= 10
    route = conditions.cheapest_route(task, free._replace(seconds=jammed), 0, 0.0)
    assert route != sets.of(0)[0]
    cost = conditions.travel_costs(task, free._replace(seconds=jammed), 0, sets.of(0), 2.0)
    # With a toll of 2 a delay counts three times.
    delay = 9 * network.free_flow_time[list(sets.of(0)[0])].sum()
    assert cost[0] == pytest.approx(delay / 9 + 3 * delay)


def test_a_descent_never_loses():
    network, fleet = shipped.load(BERLIN), fleets.read_shipped(BERLIN)["hub3_n16_s4"]
    task = assignments.prepare(network, fleet)
    sets = assignments.RouteSets(task, 3)
    start = assignments.assign(task, [sets.of(v)[0] for v in range(16)])
    end = local_search.descend(task, sets, start, set(range(16)), 8, np.random.default_rng(0))
    assert end.mean_seconds < start.mean_seconds
    # No single change of a route is better, for all of the fleet.
    changes = [(v, route) for v in range(16) for route in sets.of(v)]
    every = assignments.deviations(task, end.routes, changes).mean(axis=1)
    assert every.min() >= end.mean_seconds - 0.1
