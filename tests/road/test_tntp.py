"""TNTP files: what is read from them by hand, and what is refused with its line."""

from pathlib import Path

import numpy as np
import pytest
from road import tiny_tntp

from leed_jax.road import fetch, paths, tntp
from leed_jax.road.network import RoadNetwork

TEXTS = {"net": tiny_tntp.NET, "trips": tiny_tntp.TRIPS, "node": tiny_tntp.NODES}


def read(folder: Path, **texts: str) -> RoadNetwork:
    files = []
    for kind, text in {**TEXTS, **texts}.items():
        files.append(folder / f"tiny_{kind}.tntp")
        files[-1].write_text(text)
    return tntp.read(*files, name="tiny", time_unit_seconds=60.0, time_step=12.0)


def test_links_by_hand(tmp_path):
    found = read(tmp_path)
    assert found.nodes == ("1", "2", "3", "4")
    np.testing.assert_array_equal(found.tail, [0, 3, 1, 3, 2, 3])
    np.testing.assert_array_equal(found.head, [3, 0, 3, 1, 3, 2])
    # In minutes; what takes no time takes a step and never congests.
    np.testing.assert_array_equal(found.free_flow_time, [12, 12, 12, 12, 90, 120])
    np.testing.assert_array_equal(found.coefficient, [0, 0, 0, 0, 0.15, 0.15])
    np.testing.assert_array_equal(found.capacity[-2:], [1200.5, 1200.5])
    assert (found.power, found.time_step, found.geographic) == (4.0, 12.0, False)
    np.testing.assert_array_equal(found.position, [[-1.5, 0], [1, 0], [0, 2], [0, 0]])


def test_trips_by_hand_without_those_within_a_zone(tmp_path):
    demand = read(tmp_path).demand
    rows = list(zip(demand.origin, demand.destination, demand.trips, strict=True))
    assert rows == [(0, 1, 100.0), (0, 2, 10.5), (1, 0, 50.0)]


def test_zones_may_not_be_passed(tmp_path):
    found = read(tmp_path)
    assert found.passable is not None
    np.testing.assert_array_equal(found.passable, [False, False, False, True])
    assert (paths.next_links(found)[[1, 3, 5]] == -1).all()
    through = tiny_tntp.NET.replace("<FIRST THRU NODE> 4", "<FIRST THRU NODE> 1")
    assert read(tmp_path, net=through).passable is None


def test_without_trips_and_coordinates(tmp_path):
    read(tmp_path)
    found = tntp.read(tmp_path / "tiny_net.tntp", name="tiny", time_unit_seconds=1.0)
    assert len(found.demand.trips) == 0
    # Placed by times: zones 1 and 2 on either side of node 4.
    apart = np.linalg.norm(found.position - found.position[0], axis=1)
    assert 0 < apart[3] < apart[1]


LINE = "\t3\t4\t1200.5\t2\t1.5\t0.15\t4\t0\t0\t1\t;\n"
"""Line 14 of the net file."""


def changed(link: str) -> dict[str, str]:
    return {"net": tiny_tntp.NET.replace(LINE, link)}


def trips(text: str) -> dict[str, str]:
    return {"trips": text}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (changed("3 4 1200 2 1.5 0.15 4 ;\n"), r"net\.tntp:14: a link has 10 columns .*, got 7"),
        (
            changed("3 9 1200 2 1.5 0.15 4 0 0 1 ;\n"),
            r":14: term node must be a node, 1\.\.4, got 9",
        ),
        (
            changed("0 4 1200 2 1.5 0.15 4 0 0 1 ;\n"),
            r":14: init node must be a node, 1\.\.4, got 0",
        ),
        (changed("3 4.5 1200 2 1.5 0.15 4 0 0 1 ;\n"), ":14: term node must be a node"),
        (changed("3 3 1200 2 1.5 0.15 4 0 0 1 ;\n"), ":14: the link ends where it begins"),
        (changed("3 4 0 2 1.5 0.15 4 0 0 1 ;\n"), ":14: capacity must be positive, got 0"),
        (changed("3 4 -5 2 1.5 0.15 4 0 0 1 ;\n"), ":14: capacity must be positive, got -5"),
        (changed("3 4 many 2 1.5 0.15 4 0 0 1 ;\n"), ":14: capacity must be a number, got 'many'"),
        (changed("3 4 nan 2 1.5 0.15 4 0 0 1 ;\n"), ":14: capacity must be a number, got 'nan'"),
        (changed("3 4 1200 2 -1 0.15 4 0 0 1 ;\n"), ":14: free flow time must be at least 0"),
        (changed("3 4 1200 2 1.5 -1 4 0 0 1 ;\n"), ":14: b must be at least 0, got -1"),
        (changed("3 4 1200 2 1.5 0.15 1 0 0 1 ;\n"), r":15: power must be .* \(1 before\), got 4"),
        (changed(""), r"net\.tntp: NUMBER OF LINKS is 6, but there are 5"),
        ({"net": tiny_tntp.NET.replace("<FIRST THRU NODE> 4", "")}, "<FIRST THRU NODE> must be"),
        ({"net": tiny_tntp.NET.partition("~ \tinit")[0]}, "no links"),
        (
            {
                "net": tiny_tntp.NET.replace("NODES> 4", "NODES> 5"),
                "node": tiny_tntp.NODES + "5 1 1 ;\n",
            },
            r"net\.tntp: .*disconnected: node 5",
        ),
        (trips("1 : 5.0;\n"), r"trips\.tntp:1: trips before the first line 'Origin <zone>'"),
        (trips("Origin 4\n"), r"trips\.tntp:1: origin must be one of 1\.\.3, got '4'"),
        (trips("Origin 1\n2 : 1.0; 4 : 5.0;\n"), r":2: destination must be one of 1\.\.3, got '4'"),
        (trips("Origin 1\n2 : -1.0;\n"), ":2: flow must be at least 0, got -1.0"),
        (trips("Origin 1\n2 : x;\n"), ":2: flow must be a number, got 'x'"),
        (trips("Origin 1\n2 : 5.0\n"), ":2: 'destination : flow;' expected, got '2 : 5.0'"),
        (trips("Origin 1\n2 5.0;\n"), ":2: 'destination : flow;' expected, got '2 5.0'"),
        (trips("Origin 1\n2 : 5.0;\n2 : 1.0;\n"), ":3: trips from 1 to 2 a second time"),
        (trips("<TOTAL OD FLOW> 9\nOrigin 1\n2 : 5.0;\n"), "is 9, but the trips sum to 5"),
        ({"node": "1 2 3 4 ;\n"}, r"node\.tntp:1: 'node x y ;' expected, got 4 columns"),
        ({"node": "5 2 3 ;\n"}, r"node\.tntp:1: node must be one of 1\.\.4, got '5'"),
        ({"node": "1 2 3 ;\n"}, r"node\.tntp: node 2 has no coordinates"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_file_and_line(tmp_path, texts, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **texts)


def test_trips_that_no_route_serves_are_named(tmp_path):
    # Zone 1 cannot be left other than through zone 2, which may not be passed.
    net = tiny_tntp.NET.replace("\t1\t4\t", "\t1\t2\t")
    with pytest.raises(ValueError, match=r"trips\.tntp:8: zone 3 cannot be reached from zone 1"):
        read(tmp_path, net=net)


def test_a_unit_of_time_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="time_unit_seconds must be positive, got 0"):
        tntp.read(tmp_path / "net", name="tiny", time_unit_seconds=0.0)


def test_something_is_assumed_about_every_network_that_can_be_fetched():
    assert set(tntp.ASSUMED) == set(fetch.manifest()["networks"])
