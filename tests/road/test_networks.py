"""Road networks: those that are shipped, what is refused, paths under turn rules, demand."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from leed_jax.road import demand, layout, network, paths, shipped
from leed_jax.road.network import Demand, RoadNetwork

NONE = -1
LINKS = [(0, 1, 10.0), (1, 0, 10.0), (1, 2, 20.0), (2, 1, 20.0), (1, 3, 5.0), (3, 2, 5.0)]
"""Tail, head, seconds: 0 - 1 - 2 both ways, and the quicker way round by 3, one way."""


def small(**changes) -> RoadNetwork:
    tail, head, time = np.array(LINKS).T
    whole = RoadNetwork(
        name="small",
        nodes=("a", "b", "c", "d"),
        position=np.zeros((4, 2)),
        tail=tail.astype(np.int64),
        head=head.astype(np.int64),
        free_flow_time=time,
        capacity=np.full(6, 1000.0),
        coefficient=np.full(6, 0.15),
        demand=Demand(np.array([0]), np.array([2]), np.array([100.0])),
        geographic=False,
    )
    return whole.replace(**changes)


# ------------------------------------------------------------------------------ shipped networks


@pytest.mark.parametrize("name", shipped.SHIPPED)
def test_a_shipped_network_is_what_its_source_says(name):
    folder = shipped.data_folder(name)
    source = (folder / "SOURCE.md").read_text(encoding="utf-8")
    found = shipped.load(name)
    sizes = re.search(r"^Size: (\{.*\})", source, re.MULTILINE)
    if sizes:
        said = json.loads(sizes.group(1))
        assert said["nodes"] == found.num_nodes
        assert said["links"] == found.num_links
        assert said["forbidden"] == len(found.forbidden)
        assert said["max_out_degree"] == found.out_degree
    sums = dict(re.findall(r"^- `(.+)` ([0-9a-f]{64})$", source, re.MULTILINE))
    assert {"links.csv", "nodes.csv", "od.csv"} <= set(sums)
    for file, expected in sums.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == expected, file
    assert found.attribution
    assert len(found.sumo_edges) == (0 if name in ("ow", "braess") else found.num_links)


def test_a_name_that_is_not_shipped_is_answered_with_those_that_are():
    with pytest.raises(ValueError, match=r"no network 'brass'; shipped: ow, .*did you mean braess"):
        shipped.load("brass")


def test_linear_costs_become_links_that_cost_twice_the_time_at_capacity():
    # t0 + 0.02 q doubles at q = t0 / 0.02: 350 vehicles an hour for a link of 7 minutes.
    ow = shipped.load("ow")
    assert (ow.free_flow_time[0], ow.capacity[0], ow.coefficient[0]) == (420.0, 350.0, 1.0)
    assert ow.power == 1.0
    # Without a length the slope counts for the vehicles on the link: 0.01 min each, a step long.
    braess = shipped.load("braess")
    assert (braess.free_flow_time[0], braess.capacity[0]) == (60.0, 6000.0)


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": ("a", "b", "c", "c")}, "node names must differ"),
        ({"tail": np.array([0, 1, 1, 2, 1, 4])}, r"link 5: tail must be a node, 0\.\.3, got 4"),
        ({"free_flow_time": np.array([1.0, 0, 1, 1, 1, 1])}, "link 1: free_flow_time must be pos"),
        ({"capacity": np.array([1.0, 1, -3, 1, 1, 1])}, "link 2: capacity must be positive"),
        ({"coefficient": np.full(6, -1.0)}, "link 0: coefficient must be at least 0"),
        ({"head": np.array([1, 1, 2, 1, 3, 2])}, "link 1 ends where it begins"),
        ({"forbidden": np.array([[0, 2], [0, 5]])}, "forbidden turn 1: links 0 and 5 do not meet"),
        (
            {"demand": Demand(np.array([1]), np.array([1]), np.array([1.0]))},
            "demand row 0: origin and destination must be two nodes",
        ),
        (
            {"demand": Demand(np.array([1]), np.array([2]), np.array([0.0]))},
            "demand row 0: trips must be positive, got 0.0",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_row(changes, message):
    with pytest.raises(ValueError, match=f"network small: {message}"):
        small(**changes)


def test_a_disconnected_network_is_refused_with_a_node():
    with pytest.raises(ValueError, match=r"disconnected: node e \(row 4\)"):
        small(nodes=("a", "b", "c", "d", "e"), position=np.zeros((5, 2)))


def test_parallel_links_have_names_of_their_own():
    twice = small(head=np.array([1, 0, 2, 1, 2, 2]), tail=np.array([0, 1, 1, 2, 1, 3]))
    assert twice.link_names == ("a>b", "b>a", "b>c", "c>b", "b>c#2", "d>c")


# ------------------------------------------------------------------------------ paths


def test_where_a_vehicle_may_go_from_a_place():
    after_links = [
        [NONE, 2, 4],  # at b from a: not back
        [0, NONE, NONE],  # at a there is only the way back
        [3, NONE, NONE],
        [1, NONE, 4],
        [5, NONE, NONE],
        [3, NONE, NONE],
    ]
    starts = [[0, NONE, NONE], [1, 2, 4], [3, NONE, NONE], [5, NONE, NONE]]
    np.testing.assert_array_equal(paths.next_links(small()), after_links + starts)


def test_a_forbidden_turn_is_taken_out_even_where_it_is_the_only_way():
    table = paths.next_links(small(forbidden=np.array([[0, 4], [1, 0]])))
    np.testing.assert_array_equal(table[0], [NONE, 2, NONE])
    np.testing.assert_array_equal(table[1], [NONE, NONE, NONE])


def test_a_node_that_may_not_be_passed_is_an_end_of_trips_and_no_place_to_turn_round():
    closed = small(passable=np.array([False, True, True, False]))
    table = paths.next_links(closed)
    assert (table[[1, 4]] == NONE).all()  # at a and at d
    np.testing.assert_array_equal(table[6 + 0], [0, NONE, NONE])  # but trips begin there
    to_c_and_d = paths.time_from_node(closed, np.array([2, 3]))
    np.testing.assert_allclose(to_c_and_d[0], [30.0, 15.0])


def test_times_from_links_and_nodes_by_hand():
    entering = paths.time_from_link(small(), np.array([2]))[:, 0]
    # From b>a: back at a, then round by d. From c>b: not straight back, but round by d.
    np.testing.assert_allclose(entering, [20.0, 30.0, 20.0, 30.0, 10.0, 5.0])
    np.testing.assert_allclose(paths.time_from_node(small(), np.array([2]))[:, 0], [20, 10, 0, 5])


def test_routes_come_fastest_first_and_no_more_than_there_are():
    assert paths.shortest_routes(small(), 0, 2, 1) == [(0, 4, 5)]
    assert paths.shortest_routes(small(), 0, 2, 9) == [(0, 4, 5), (0, 2)]


def test_demand_that_no_route_serves_is_named():
    # The only ways to c are closed: by d, and from a straight on.
    shut = small(forbidden=np.array([[0, 2], [0, 4]]))
    assert paths.unreachable_row(shut) == 0
    with pytest.raises(ValueError, match="demand row 0: node c cannot be reached from a"):
        paths.require_reachable(shut)
    with pytest.raises(ValueError, match="no route from node a to c"):
        paths.shortest_routes(shut, 0, 2, 1)


# ------------------------------------------------------------------------------ folders of CSV


FILES = {
    "nodes.csv": "node,lon,lat\n0,13.5,52.4\n1,13.6,52.4\n",
    "links.csv": "link,from,to,free_flow_time_s,capacity_veh_h\n0,0,1,60,1800\n1,1,0,30,900\n",
    "od.csv": "origin,destination,trips_per_h\n0,1,100\n",
}


def write(folder: Path, **changes: str) -> Path:
    for file, content in {**FILES, **{f"{k}.csv": v for k, v in changes.items()}}.items():
        (folder / file).write_text(content)
    return folder


def test_a_folder_of_ones_own_is_read(tmp_path):
    found = shipped.read_folder(str(write(tmp_path)), "own")
    assert (found.name, found.nodes, found.power) == ("own", ("0", "1"), network.BPR_POWER)
    np.testing.assert_array_equal(found.free_flow_time, [60.0, 30.0])
    np.testing.assert_array_equal(found.capacity, [1800.0, 900.0])
    # A degree of longitude is shorter than one of latitude.
    np.testing.assert_allclose(np.diff(found.plane[:, 0]), 0.1 * np.cos(np.radians(52.4)))


def test_tables_without_rows_are_no_demand_and_no_forbidden_turn(tmp_path):
    write(tmp_path, od="origin,destination,trips_per_h\n", forbidden_turns="link_in,link_out\n")
    found = shipped.read_folder(tmp_path, "own")
    assert len(found.demand.trips) == 0
    assert found.forbidden.shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": "lon,lat\n1,2\n"}, r"nodes\.csv: no column node"),
        ({"nodes": "node,lon,lat\n0,1,2\n1,x,2\n"}, r"nodes\.csv: row 1: lon must be a number"),
        ({"nodes": "node,lon,lat\n1,1,2\n2,1,2\n"}, r"nodes\.csv: row 0: node must be 0"),
        ({"links": "link,from,to\n0,0,1\n"}, r"links\.csv: no column free_flow_time_s"),
        (
            {"links": "link,from,to,slope_min_per_veh_h\n0,0,1,1\n"},
            r"links\.csv: no column free_flow_time_min",
        ),
        ({"od": "origin,destination,trips_per_h\n0,1\n"}, r"od\.csv: row 0 has another number"),
        ({"od": "origin,destination,trips_per_h\n0,b,9\n"}, "destination must be a whole number"),
        ({"od": "origin,destination,trips_per_h\n0,1,?\n"}, r"od\.csv: row 0: trips_per_h must"),
        ({"od": "origin,destination,trips_per_h\n0,7,9\n"}, r"demand row 0: .*got 0 and 7"),
    ],
)
def test_a_faulty_table_is_refused_with_file_and_row(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        shipped.read_folder(write(tmp_path, **changes), "own")


def test_a_missing_table_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nodes\.csv"):
        shipped.read_folder(tmp_path, "own")


# ------------------------------------------------------------------------------ places, demand


def test_nodes_without_coordinates_are_placed_by_the_times_between_them():
    # 0 - 1 - 2 in a row, 10 s and 30 s (the slower direction does not count).
    row = RoadNetwork(
        name="row",
        nodes=("0", "1", "2"),
        position=np.zeros((3, 2)),
        tail=np.array([0, 1, 1]),
        head=np.array([1, 2, 0]),
        free_flow_time=np.array([10.0, 30.0, 40.0]),
        capacity=np.ones(3),
        coefficient=np.ones(3),
        demand=Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0)),
    )
    placed = layout.placed(row)
    assert not placed.geographic
    apart = np.linalg.norm(placed.position[:, None] - placed.position, axis=-1)
    np.testing.assert_allclose(apart, [[0, 10, 40], [10, 0, 30], [40, 30, 0]], atol=1e-5)


def test_gravity_gives_more_trips_to_the_near_and_the_large():
    # All of a, b, c are zones; 2, 5 and 3 links of 1,000 vehicles an hour meet there.
    open_ = small(passable=np.array([True, True, True, False]))
    found = demand.gravity(open_, 3, 1200.0)
    trips = dict(zip(zip(found.origin, found.destination, strict=True), found.trips, strict=True))
    assert sum(trips.values()) == pytest.approx(1200.0)
    # Without d to pass, times are 10 s (a, b), 20 s (b, c) and 30 s (a, c), mean 20 s.
    assert set(trips) == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}
    size = {0: 2, 1: 5, 2: 3}
    time = {(0, 1): 10, (1, 2): 20, (0, 2): 30}
    weight = {(i, j): size[i] * size[j] * np.exp(-t / 20) for (i, j), t in time.items()}
    for (i, j), value in weight.items():
        expected = 1200 * value / (2 * sum(weight.values()))
        assert trips[i, j] == pytest.approx(expected)
        assert trips[j, i] == pytest.approx(expected)
    assert dataclasses.replace(open_, demand=found).demand is found


@pytest.mark.parametrize(
    ("zones", "trips", "message"),
    [(1, 10.0, r"zones must be 2\.\.4, got 1"), (2, 0.0, "trips_per_hour must be positive")],
)
def test_gravity_refuses_what_cannot_be(zones, trips, message):
    with pytest.raises(ValueError, match=message):
        demand.gravity(small(), zones, trips)
