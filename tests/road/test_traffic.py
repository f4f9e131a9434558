"""A step of traffic: travel times worked by hand, who is first, how many a link lets through."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from road import float64

from leed_jax.road import drive, shipped, traffic
from leed_jax.road.network import Demand, RoadNetwork

NOBODY = Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0))


def street(*seconds: float, capacity: float, **changes) -> RoadNetwork:
    """Nodes 0, 1, ... in a row, with a link between each and the next."""
    count = len(seconds)
    network = RoadNetwork(
        name="street",
        nodes=tuple(f"{node}" for node in range(count + 1)),
        position=np.zeros((count + 1, 2)),
        tail=np.arange(count),
        head=np.arange(count) + 1,
        free_flow_time=np.array(seconds, float),
        capacity=np.full(count, capacity),
        coefficient=np.full(count, 0.15),
        demand=NOBODY,
        geographic=False,
    )
    return network.replace(**changes)


def times(
    network: RoadNetwork,
    departure: Sequence[int],
    *,
    begin: Sequence[int] | None = None,
    platoon: float = 1.0,
    congestion: Literal["bpr", "queue"] = "bpr",
) -> list[float]:
    """Seconds of vehicles from their nodes (0 unless said) to the end of the street."""
    origin = jnp.array(begin or [0] * len(departure), jnp.int32)
    last = network.num_nodes - 1
    routes = [tuple(range(node, last)) for node in origin.tolist()]
    rules = traffic.Rules(network.time_step, network.power, network.min_speed, congestion)
    found = drive.drive(
        traffic.roads(network, platoon),
        rules,
        drive.Trips(origin, jnp.full_like(origin, last), jnp.array(departure, jnp.int32)),
        jnp.asarray(drive.pad(routes)),
    )
    return np.asarray(found, float).tolist()


# --------------------------------------------------------------------------------- BPR, by hand


@pytest.mark.parametrize("vehicles", [1, 2, 3])
def test_travel_time_is_the_bpr_curve_of_the_vehicles_on_the_link(vehicles):
    # c = 720 vehicles an hour = 0.2 a second; 40 s at free flow hold 8 at capacity. With w = 4,
    # x = 4 n / 8: 40 (1 + 0.15 x^4) s is 40.375, 46, 70.375.
    network = street(40.0, capacity=720.0)
    expected = {1: 40.375, 2: 46.0, 3: 70.375}[vehicles]
    assert times(network, [0] * vehicles, platoon=4.0) == pytest.approx(
        [expected] * vehicles, abs=1e-4
    )


def test_nobody_is_slower_than_the_least_speed():
    # x = 4 x 10 / 8 = 5 would take 40 (1 + 0.15 x 625) = 3,790 s; a twentieth of free flow: 800.
    assert times(street(40.0, capacity=720.0), [0] * 10, platoon=4.0) == pytest.approx([800.0] * 10)


def test_kappa_multiplies_capacity_and_only_its_ratio_to_the_platoon_counts():
    network = street(40.0, 12.0, capacity=720.0)
    for one, other in zip(
        traffic.roads(network, 6.0, 2.0), traffic.roads(network, 3.0), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_is_left_of_a_step_is_driven_on_the_next_link():
    # Alone on three links whose times are no multiples of 5 s, one less than a step. w is tiny.
    network = street(7.0, 3.0, 9.5, capacity=3600.0)
    assert times(network, [2], platoon=1e-6) == pytest.approx([19.5], abs=1e-4)
    # Two of them on 7 s that hold 7 at capacity, w = 7: x = 2, 7 (1 + 0.15 x 16) = 23.8 s. On 3 s:
    # x = 14/3, beyond the least speed (x^4 = 474): 60 s. On 9.5 s: x = 14/9.5, 16.2208 s.
    assert times(network, [0, 0], platoon=7.0) == pytest.approx(
        [23.8 + 60 + 9.5 * (1 + 0.15 * (14 / 9.5) ** 4)] * 2, abs=2e-3
    )


def test_who_joins_slows_the_rest_of_the_way():
    # Two steps alone at x = 1/2 (f = 1/1.009375), then two at x = 1 (f = 1/1.15).
    network = street(40.0, capacity=720.0)
    alone, together = 1.009375, 1.15
    first = 10 + (40 - 10 / alone) * together
    # The second has driven 35 s at the pace of two at 45, when the first has left (at 44.60).
    second = 45 + (40 - 35 / together) * alone - 10
    assert times(network, [0, 2], platoon=4.0) == pytest.approx([first, second], abs=1e-3)


# ------------------------------------------------------------------------------- queues, by hand


def test_a_queue_serves_one_after_another():
    # 40 s long, 600 vehicles an hour, w = 2: a headway of 12 s. All three enter at 0.
    network = street(40.0, capacity=600.0)
    found = times(network, [0, 0, 0], platoon=2.0, congestion="queue")
    assert found == pytest.approx([40.0, 52.0, 64.0], abs=1e-4)


def test_a_queue_remembers_the_last_exit():
    # Entries at 0, 0, 5, 30 leave at max(entry + 40, last + 12): 40, 52, 64, 76.
    network = street(40.0, capacity=600.0)
    found = times(network, [0, 0, 1, 6], platoon=2.0, congestion="queue")
    assert found == pytest.approx([40.0, 52.0, 59.0, 46.0], abs=1e-4)
    # At 60 the fourth finds nobody before it: 60 + 40 is later than 64 + 12.
    found = times(network, [0, 0, 1, 12], platoon=2.0, congestion="queue")
    assert found == pytest.approx([40.0, 52.0, 59.0, 40.0], abs=1e-4)


def test_a_queue_counts_what_was_left_of_a_step():
    # Headway 4 s on both links. The first one leaves link 0 at 7 and link 1 at 7 + 9 = 16; the
    # second one at 11 and at 11 + 9 = 20, which is 16 + 4, too.
    network = street(7.0, 9.0, capacity=900.0)
    found = times(network, [0, 0], congestion="queue")
    assert found == pytest.approx([16.0, 20.0], abs=1e-4)


def test_a_queue_is_in_the_order_of_entry_not_of_number():
    # Vehicle 1 starts at node 1 at 10, vehicle 0 comes there at 7 with 3 s left of its step: both
    # are served in the step that begins at 10. 7 + 9 = 16 and 16 + 4, not 10 + 9 first.
    network = street(7.0, 9.0, capacity=900.0)
    found = times(network, [0, 2], begin=[0, 1], congestion="queue")
    assert found == pytest.approx([16.0, 10.0], abs=1e-4)
    found = times(network, [2, 0], begin=[1, 0], congestion="queue")
    assert found == pytest.approx([10.0, 16.0], abs=1e-4)


def test_a_link_that_never_congests_has_no_queue():
    network = street(40.0, capacity=600.0, coefficient=np.zeros(1))
    assert times(network, [0, 0], platoon=2.0, congestion="queue") == [40.0, 40.0]
    assert times(network, [0, 0], platoon=2.0) == pytest.approx([40.0, 40.0], abs=1e-4)


# ------------------------------------------------------------------------------ on random plans

VEHICLES, PLANS, LONGEST = 12, 60, 12


def visits(
    congestion: Literal["bpr", "queue"], platoon: float
) -> Iterator[list[tuple[float, float]]]:
    """Entry and exit of all vehicles on every link of random plans in Berlin."""
    network = shipped.load("berlin_adlershof")
    draw = np.random.default_rng(2)
    plans = [float64.walks(network, VEHICLES, LONGEST, draw) for _ in range(PLANS)]
    departure = draw.integers(0, 10, (PLANS, VEHICLES))
    padded = np.stack([drive.pad([*walks, tuple(range(LONGEST + 1))])[:-1] for walks in plans])
    origin = np.array([[network.tail[walk[0]] for walk in walks] for walks in plans])
    goal = np.array([[network.head[walk[-1]] for walk in walks] for walks in plans])
    rules = traffic.Rules(5.0, 4.0, 0.05, congestion)
    roads = traffic.roads(network, platoon)

    def record(origin, goal, departure, routes):
        def step(carry, _):
            now, pointer = carry
            entering = traffic.deciding(now, departure)
            entry = now.step.astype(jnp.float32) * rules.time_step - now.credit
            chosen = routes[jnp.arange(VEHICLES), pointer]
            after, flow = traffic.advance(roads, rules, now, chosen, departure, goal)
            pointer = pointer + entering.astype(jnp.int32)
            return (after, pointer), (entering, entry, flow.count)

        start = traffic.start(roads, rules, origin), jnp.zeros(VEHICLES, jnp.int32)
        (end, _), rows = jax.lax.scan(step, start, None, length=400)
        return rows, end.arrival

    whole = (jnp.asarray(values, jnp.int32) for values in (origin, goal, departure, padded))
    (entering, entry, count), arrival = jax.jit(jax.vmap(record))(*whole)
    entering, entry, arrival = (np.asarray(values) for values in (entering, entry, arrival))
    assert (arrival >= 0).all()
    assert (np.asarray(count).sum(2) <= VEHICLES).all()
    for plan, walks in enumerate(plans):
        on: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for vehicle, walk in enumerate(walks):
            begun = entry[plan, entering[plan, :, vehicle], vehicle]
            assert len(begun) == len(walk)
            ends = [*begun[1:], arrival[plan, vehicle]]
            for link, begin, end in zip(walk, begun, ends, strict=True):
                on[link].append((float(begin), float(end)))
        yield from (sorted(times) for times in on.values() if len(times) > 1)


@pytest.mark.parametrize(("congestion", "platoon"), [("bpr", 6.0), ("queue", 30.0)])
def test_who_enters_a_link_first_leaves_it_first(congestion, platoon):
    met = 0
    for link in visits(congestion, platoon):
        for (entry, leaves), (later, leaves_later) in pairwise(link):
            met += later < leaves
            if later > entry + 1e-3:
                assert leaves_later >= leaves - 1e-2
    assert met > 50


def test_a_queue_lets_through_no_more_than_its_capacity():
    network = shipped.load("berlin_adlershof")
    # The link with the largest capacity has the least headway: nowhere do two leave closer.
    least = 30.0 * 3600 / network.capacity.max()
    gaps = [
        after - before
        for link in visits("queue", 30.0)
        for before, after in pairwise(sorted(leaves for _, leaves in link))
    ]
    assert min(gaps) >= least - 1e-3


def test_who_comes_as_a_jam_ends_can_overtake_by_less_than_a_step():
    # Ten on link 1 make a jam, 20 times as slow, that ends at 800 for all of them. The eleventh
    # enters there at 795 and drives 0.25 of its 40 s in that step. The twelfth comes over link 0,
    # which never congests.
    network = street(6.0, 40.0, capacity=720.0, coefficient=np.array([0.0, 0.15]))
    departure, begin = [0] * 10 + [159, 158], [1] * 11 + [0]
    found = times(network, departure, begin=begin, platoon=4.0)
    assert found[:10] == pytest.approx([800.0] * 10)
    eleventh, twelfth = 795 + found[10], 790 + found[11]
    # At 805 the eleventh has 0.25 + 5/1.15 behind it and the twelfth, at node 1 at 796 with 4 s
    # left, 9/1.15: it arrives first, by less than 5 s at free flow.
    assert twelfth == pytest.approx(805 + 40 * 1.15 - 9, abs=1e-2)
    assert 0 < eleventh - twelfth < 5


# --------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_is_refused():
    network = street(40.0, capacity=600.0)
    with pytest.raises(ValueError, match="platoon must be positive, got 0"):
        traffic.roads(network, 0.0)
    with pytest.raises(ValueError, match="kappa must be positive, got -1"):
        traffic.roads(network, 1.0, -1.0)
    with pytest.raises(ValueError, match="time_step must be positive"):
        traffic.Rules(0.0, 4.0, 0.05)
    with pytest.raises(ValueError, match="min_speed must be in"):
        traffic.Rules(5.0, 4.0, 0.0)


def test_a_step_moves_only_those_on_the_road():
    network = street(40.0, capacity=720.0)
    roads, rules = traffic.roads(network, 4.0), traffic.rules(network)
    now = traffic.start(roads, rules, jnp.array([0, 0], jnp.int32))
    departure, goal = jnp.array([0, 1], jnp.int32), jnp.array([1, 1], jnp.int32)
    assert traffic.deciding(now, departure).tolist() == [True, False]
    after, flow = traffic.advance(roads, rules, now, jnp.zeros(2, jnp.int32), departure, goal)
    assert flow.count.tolist() == [1]
    assert after.place.tolist() == [0, 1]  # the first on link 0, the second at node 0: 1 link + 0
    assert after.remaining.tolist() == pytest.approx([40 - 5 / 1.009375, 0.0], abs=1e-5)
    assert traffic.deciding(after, departure).tolist() == [False, True]
    assert after.arrival.tolist() == [-1.0, -1.0]
