"""Routes to choose from: the fastest that are unlike, on a network worked by hand and on Berlin."""

import numpy as np
import pytest

from leed_jax.road import fleets, paths, routes, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

NOBODY = Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
SA, AT, SB, BT, AB, BA, SC, CT = range(8)
LINKS = [
    ("s", "a", 10.0), ("a", "t", 10.0), ("s", "b", 12.0), ("b", "t", 12.0),
    ("a", "b", 4.0), ("b", "a", 5.0), ("s", "c", 20.0), ("c", "t", 20.0),
]  # fmt: skip
NODES = "satbc"


def small(**changes) -> RoadNetwork:
    """From s to t by a 20 s, by b 24 s, by a and b 26 s, by b and a 27 s, by c 40 s."""
    whole = RoadNetwork(
        name="small",
        nodes=tuple(NODES),
        position=np.zeros((5, 2)),
        tail=np.array([NODES.index(tail) for tail, _, _ in LINKS]),
        head=np.array([NODES.index(head) for _, head, _ in LINKS]),
        free_flow_time=np.array([seconds for _, _, seconds in LINKS]),
        capacity=np.full(8, 3600.0),
        coefficient=np.full(8, 0.15),
        demand=NOBODY,
        geographic=False,
    )
    return whole.replace(**changes)


def fleet(platoon: float = 0.01, origin: str = "ss") -> Fleet:
    """Two vehicles to t."""
    starts = np.array([NODES.index(node) for node in origin])
    return Fleet("two", starts, np.full(2, NODES.index("t")), np.zeros(2), platoon, 0.0)


def test_unlike_routes_fastest_first():
    found = routes.choices(small(), fleet()).pairs
    assert found == {(0, 2): [(SA, AT), (SB, BT), (SA, AB, BT), (SB, BA, AT), (SC, CT)]}


def test_a_route_too_much_like_a_faster_one_is_left_out():
    # By a and b: s>a 10 and b>t 2 of 26 s... with b>t at 2 s: by b 14 s, by a and b 16 s, by a
    # 20 s; by b and a 27 s. Of the 16 s 10 are with nobody, 2 with the route by b, 12.5 %.
    times = small().free_flow_time
    found = routes.choices(small(free_flow_time=np.where(np.arange(8) == BT, 2.0, times)), fleet())
    assert found.pairs[0, 2][:3] == [(SB, BT), (SA, AB, BT), (SA, AT)]
    # With a>b at 1 s and b>t at 9.5 s the way by a and b (20.5 s) has 10 s in common with that
    # by a (20 s): 49 %. With s>a at 30 s it is 30 of 40.5 s: 74 %, and it is left out.
    times = np.select([np.arange(8) == AB, np.arange(8) == BT], [1.0, 9.5], times)
    kept = routes.choices(small(free_flow_time=times), fleet()).pairs[0, 2]
    assert (SA, AB, BT) in kept
    times = np.where(np.arange(8) == SA, 30.0, times)
    kept = routes.choices(small(free_flow_time=times), fleet()).pairs[0, 2]
    assert (SA, AT) in kept and (SA, AB, BT) not in kept


def test_travel_time_of_a_link_with_several_vehicles_by_hand():
    # w = 5 on s>a: x = 5 n / 10 (capacity one a second), so 10 (1 + 0.15 x^4) s.
    found = routes.link_seconds(small(), fleet(5.0), 4)
    x = np.array([0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(found[SA], 10 * (1 + 0.15 * x**4))
    # In the worst jam a twentieth of the speed is left.
    np.testing.assert_allclose(routes.link_seconds(small(), fleet(5e3), 1)[SA], [200.0])


def test_a_vehicle_slows_itself_down_and_may_prefer_another_route():
    # With c = 1/10 of a vehicle a second on s>a, a platoon of 1 is x = 1 there: 11.5 s. With 2 it
    # is x = 2: 34 s, and the way by b (24 s) is the fastest.
    capacity = np.where(np.arange(8) == SA, 360.0, 3600.0)
    narrow = small(capacity=capacity)
    assert routes.choices(narrow, fleet(1.0)).pairs[0, 2][0] == (SA, AT)
    assert routes.choices(narrow, fleet(2.0)).pairs[0, 2][0] == (SB, BT)


def test_vehicles_and_their_links():
    found = routes.choices(small(), fleet(origin="sb"))
    mine, other = found.of(fleet(origin="sb"))
    assert mine[0] == (SA, AT) and other == [(BT,), (BA, AT)]
    assert found.corridor().tolist() == list(range(8))


@pytest.fixture(scope="module")
def berlin() -> tuple[RoadNetwork, Fleet]:
    network = shipped.load("berlin_adlershof")
    return network, fleets.make(network, "hub3", 64, demand=256.0, window=300.0)


def test_on_a_city_the_list_is_that_of_the_sixty_fastest(berlin):
    network, everyone = berlin
    found = routes.choices(network, everyone)
    alone = network.replace(free_flow_time=found.seconds[:, 0])
    for (origin, destination), kept in found.pairs.items():
        fastest = paths.shortest_routes(alone, origin, destination, routes.SEARCHED[-1])
        expected: list[tuple[int, ...]] = []
        for route in fastest:
            own = found.seconds[list(route), 0].sum()
            common = [found.seconds[sorted(set(route) & set(other)), 0].sum() for other in expected]
            if all(shared <= routes.MAX_OVERLAP * own for shared in common):
                expected.append(route)
        assert kept == expected[: routes.COUNT]
        assert network.tail[kept[0][0]] == origin and network.head[kept[0][-1]] == destination


def test_a_pair_with_a_single_simple_route_is_no_endless_search(berlin):
    # All other ways from 56 to 28 come by a node twice, and there is no end of them.
    network, _ = berlin
    assert len(paths.shortest_routes(network, 56, 28, 15)) == 1


def test_slots_are_in_the_order_of_links_and_forbidden_turns_are_none(berlin):
    network, _ = berlin
    table = paths.next_links(network)
    forbidden = {tuple(turn) for turn in network.forbidden.tolist()}
    assert forbidden
    for place, row in enumerate(table):
        started = place >= network.num_links
        node = place - network.num_links if started else network.head[place]
        leaving = np.flatnonzero(network.tail == node)
        for slot, link in enumerate(leaving):
            back = not started and network.head[link] == network.tail[place]
            if row[slot] >= 0:
                assert row[slot] == link and (place, link) not in forbidden
                assert not back or (row >= 0).sum() == 1
            else:
                assert back or (place, link) in forbidden
        assert (row[len(leaving) :] == -1).all()


def test_the_fastest_ways_by_hand_and_with_other_times():
    network = small()
    t = np.array([NODES.index("t")])
    found = paths.ways(network, t)
    place = {node: network.num_links + number for number, node in enumerate(NODES)}
    first = {node: int(found.first[row, 0]) for node, row in place.items()}
    assert first == {"s": SA, "a": AT, "b": BT, "c": CT, "t": -1}
    seconds = {node: float(found.seconds[row, 0]) for node, row in place.items()}
    assert seconds == {"s": 20.0, "a": 10.0, "b": 12.0, "c": 20.0, "t": np.inf}
    # Having come from s to a; and with a>t closed.
    assert found.first[SA, 0] == AT and found.seconds[SA, 0] == 10.0
    closed = np.where(np.arange(8) == AT, 1e7, network.free_flow_time)
    found = paths.ways(network, t, closed)
    assert (found.first[place["s"], 0], found.seconds[place["s"], 0]) == (SB, 24.0)
    assert (found.first[place["a"], 0], found.seconds[place["a"], 0]) == (AB, 16.0)
