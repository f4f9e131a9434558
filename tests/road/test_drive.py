"""A fleet on given routes: against an independent simulator, and Braess's example by hand."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from road import float64

from leed_jax.road import drive, shipped, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

LONGEST = 16
VEHICLES = 10
S_A, S_B, A_T, B_T, A_B = range(5)
"""Links of Braess's network."""


def trips(fleets: Sequence[Fleet], network: RoadNetwork) -> drive.Trips:
    """Of several fleets, stacked."""
    each = [drive.trips(fleet, network.time_step) for fleet in fleets]
    return drive.Trips(*(jnp.stack(values) for values in zip(*each, strict=True)))


@pytest.mark.parametrize(
    ("congestion", "name", "platoon", "plans"),
    [
        ("bpr", "braess", 300.0, 300),
        ("bpr", "ow", 25.0, 300),
        ("bpr", "berlin_adlershof", 4.0, 400),
        ("queue", "ow", 60.0, 150),
        ("queue", "berlin_adlershof", 8.0, 150),
    ],
)
def test_random_plans_arrive_when_an_independent_simulation_says(
    congestion, name, platoon, plans, strict_dtypes
):
    network = shipped.load(name)
    draw = np.random.default_rng(0)
    routes = [float64.walks(network, VEHICLES, LONGEST, draw) for _ in range(plans)]
    departure = draw.integers(0, 12, (plans, VEHICLES))
    fleets = [
        float64.walkers(network, walks, steps.tolist(), platoon)
        for walks, steps in zip(routes, departure, strict=True)
    ]
    padded = np.stack([drive.pad([*walks, tuple(range(LONGEST))])[:-1] for walks in routes])
    roads, rules = traffic.roads(network, platoon), traffic.rules(network, congestion)
    found = jax.jit(jax.vmap(lambda who, where: drive.drive(roads, rules, who, where)))(
        trips(fleets, network), jnp.asarray(padded)
    )
    simulate = {"bpr": float64.bpr, "queue": float64.queue}[congestion]
    expected = [
        simulate(network, fleet, walks) for fleet, walks in zip(fleets, routes, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=6e-3)  # 1e-4 minutes
    free = [[network.free_flow_time[list(route)].sum() for route in walks] for walks in routes]
    slowed = np.mean(np.asarray(found) > 1.01 * np.array(free))
    assert slowed > 0.1, "vehicles hardly met"


def braess(*routes: tuple[int, ...], departure: Sequence[float] | None = None) -> list[float]:
    """Minutes of vehicles that each stand for 1,000, from s to t; all depart at 0 unless said."""
    network, count = shipped.load("braess"), len(routes)
    fleet = Fleet(
        name="braess",
        origin=np.zeros(count, int),
        destination=np.full(count, 3),
        departure=np.zeros(count) if departure is None else np.array(departure),
        platoon=1000.0,
        window=0.0,
    )
    seconds = drive.drive(
        traffic.roads(network, fleet.platoon),
        traffic.rules(network),
        drive.trips(fleet, network.time_step),
        jnp.asarray(drive.pad([*routes, (0, 0, 0)])[:-1]),
    )
    return (np.asarray(seconds, float) / 60).tolist()


def test_braess_by_hand():
    # A link without length takes 1 + 0.01 w n = 1 + 10 n minutes with n vehicles on it.
    upper, lower, shortcut = (S_A, A_T), (S_B, B_T), (S_A, A_B, B_T)
    # Two each way, no shortcut: 21 + 45 above, 45 + 21 below.
    assert braess(upper, upper, lower, lower) == pytest.approx([66.0] * 4, abs=1e-4)
    # All on the shortcut: 41 + 1 + 41.
    assert braess(*[shortcut] * 4) == pytest.approx([83.0] * 4, abs=1e-4)
    # One leaves it at a: 41 + 45. The others: 41 + 1 + 31.
    assert braess(shortcut, shortcut, shortcut, upper) == pytest.approx(
        [73.0, 73.0, 73.0, 86.0], abs=1e-4
    )
    # One comes to b by 45 minutes on the other road. The three are there at 31 + 1 = 32, have 13
    # of 31 behind them when it comes, and need (1 - 13/31) 41 more: 68.806. Until the end of that
    # step, at 69, the fourth drives at the pace of four, then alone: 69 + (1 - 24/41) 11 = 73.561.
    assert braess(shortcut, shortcut, shortcut, lower) == pytest.approx(
        [68.8065, 68.8065, 68.8065, 73.5610], abs=1e-3
    )
    # Two on the shortcut are at t after 21 + 1 + 21, before the other two reach b at 45.
    assert braess(shortcut, shortcut, lower, lower) == pytest.approx(
        [43.0, 43.0, 66.0, 66.0], abs=1e-4
    )


def test_time_counts_from_departure_in_whole_steps():
    upper = (S_A, A_T)
    # Alone on the road, whenever: 11 + 45. Departures are 90 s -> 2 steps (to even), 7,000 -> 117.
    assert braess(upper, upper, departure=(90.0, 7000.0)) == pytest.approx([56.0, 56.0], abs=1e-3)


def test_who_does_not_get_to_the_destination_is_not_timed_and_leaves_the_road():
    upper, ends_at_a = (S_A, A_T), (S_A,)
    found = braess(upper, ends_at_a)
    # They drive the first link together, 21 minutes.
    assert found == [pytest.approx(66.0, abs=1e-4), np.inf]


def test_padding_and_batches_change_nothing():
    network = shipped.load("berlin_adlershof")
    draw = np.random.default_rng(1)
    routes = float64.walks(network, 6, 8, draw)
    fleet = float64.walkers(network, routes, [0, 0, 1, 1, 2, 2], 4.0)
    roads, rules = traffic.roads(network, 4.0), traffic.rules(network)
    who = drive.trips(fleet, network.time_step)
    narrow = drive.pad(routes)
    wide = np.pad(narrow, ((0, 0), (0, 5)), constant_values=-1)
    alone = drive.drive(roads, rules, who, jnp.asarray(narrow))
    both = jax.vmap(lambda where: drive.drive(roads, rules, who, where))(
        jnp.asarray(np.stack([wide, wide[::-1]]))
    )
    # Another program, so to the last bits of single numbers only: seconds, of float32.
    np.testing.assert_allclose(both[0], alone, rtol=1e-6)
