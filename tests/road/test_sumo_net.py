"""SUMO nets: four junctions by hand, and the net that a shipped network was made from."""

import hashlib
import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from leed_jax.road import paths, reduce, shipped, sumo_net
from leed_jax.road.network import RoadNetwork
from leed_jax.road.reduce import Street

JUNCTIONS = {
    "A": (0, 0, "priority"),
    "B": (200, 0, "traffic_light"),
    "C": (100, 150, "priority"),
    "D": (100, 50, "priority"),
    "P": (100, 0, "priority"),
    "E": (100, 60, "dead_end"),
    "F": (300, 150, "dead_end"),
}
PRIMARY = (("AP", 100), ("PB", 100))
RESIDENTIAL = (("AC", 150), ("AD", 150), ("BC", 150), ("BD", 150), ("CD", 150), ("DE", 10))
"""All both ways. P is on the way between A and B, E a dead end, F at the end of a footpath."""
FORBIDDEN = ("CA", "AD")
ROAD = 'disallow="ship"'


def net_xml(projection: str = "!") -> str:
    """The net; every turn is possible, U-turns too, except `FORBIDDEN`."""
    location = 'netOffset="0,0" convBoundary="0,0,200,150" origBoundary="0,0,1,1"'
    lines = [f'<net version="1.20"><location {location} projParameter="{projection}"/>']
    edges = []
    for roads, kind, lanes in (
        (PRIMARY, "highway.primary", ('allow="bicycle"', ROAD, ROAD)),
        (RESIDENTIAL, "highway.residential|railway.tram", ('disallow="tram ship"',)),
        ((("CF", 200),), "highway.footway", ('allow="pedestrian"',)),
    ):
        for (tail, head), length in roads:
            for name in (tail + head, head + tail):
                edges.append(name)
                lines.append(f'<edge id="{name}" from="{name[0]}" to="{name[1]}" type="{kind}">')
                for index, rule in enumerate(lanes):
                    lines.append(
                        f'<lane id="{name}_{index}" index="{index}" speed="10" '
                        f'length="{length}" shape="0,0 1,1" {rule}/>'
                    )
                lines.append("</edge>")
    for node, (x, y, kind) in JUNCTIONS.items():
        lines.append(
            f'<junction id="{node}" type="{kind}" x="{x}" y="{y}" incLanes="" intLanes="" '
            'shape="0,0"/>'
        )
    for first, second in itertools.product(edges, edges):
        if first[1] == second[0] and (first, second) != FORBIDDEN:
            primary = "P" in first, "P" in second
            lines.append(
                f'<connection from="{first}" to="{second}" fromLane="{int(primary[0])}" '
                f'toLane="{int(primary[1])}" dir="s" state="M"/>'
            )
    return "\n".join([*lines, "</net>"])


@pytest.fixture
def found(tmp_path: Path) -> RoadNetwork:
    pytest.importorskip("sumolib")
    (tmp_path / "tiny.net.xml").write_text(net_xml())
    return sumo_net.read(tmp_path / "tiny.net.xml", name="tiny")


def test_the_dead_end_the_path_and_the_node_without_choice_are_gone(found):
    assert found.nodes == ("A", "B", "C", "D")
    pairs = itertools.permutations("ABCD", 2)
    assert found.link_names == tuple(f"{tail}>{head}" for tail, head in pairs)
    assert found.sumo_edges[:3] == (("AP", "PB"), ("AC",), ("AD",))
    np.testing.assert_array_equal(found.position[1], [200.0, 0.0])
    assert not found.geographic
    assert len(found.demand.trips) == 0


def test_times_and_capacities_by_hand(found):
    links = dict(zip(found.link_names, range(12), strict=True))
    time, capacity = found.free_flow_time, found.capacity
    # 10 s and 3 s at P, 10 s and 15 s at the signal; two lanes of 1,800, green for 45 %.
    assert time[links["A>B"]] == pytest.approx(38.0)
    assert capacity[links["A>B"]] == pytest.approx(1620.0)
    assert time[links["B>A"]] == pytest.approx(26.0)
    assert capacity[links["B>A"]] == pytest.approx(3600.0)
    assert (time[links["C>A"]], capacity[links["C>A"]]) == (18.0, 1200.0)
    assert (time[links["C>B"]], capacity[links["C>B"]]) == (30.0, pytest.approx(540.0))


def test_u_turns_and_the_turn_that_the_net_lacks_are_forbidden(found):
    names = found.link_names
    forbidden = {(names[first], names[second]) for first, second in found.forbidden}
    back = {
        (f"{tail}>{head}", f"{head}>{tail}") for tail, head in itertools.permutations("ABCD", 2)
    }
    assert forbidden == back | {("C>A", "A>D")}


def test_other_vehicles_may_use_other_lanes(tmp_path):
    pytest.importorskip("sumolib")
    (tmp_path / "tiny.net.xml").write_text(net_xml())
    with pytest.raises(ValueError, match="network trams: no two streets can be reached"):
        sumo_net.read(tmp_path / "tiny.net.xml", name="trams", vehicle_class="tram")
    with pytest.raises(ValueError, match=r"tiny\.net\.xml: no edge allows ship"):
        sumo_net.read(tmp_path / "tiny.net.xml", name="ships", vehicle_class="ship")


def test_a_missing_file_is_an_error(tmp_path):
    pytest.importorskip("sumolib")
    with pytest.raises(FileNotFoundError, match=r"none\.net\.xml: no such file"):
        sumo_net.read(tmp_path / "none.net.xml", name="none")


def test_without_sumolib_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sumolib", None)
    with pytest.raises(ImportError, match=r'pip install "leed_jax\[road\]"'):
        sumo_net.read(tmp_path / "tiny.net.xml", name="tiny")


BERLIN = "dcc30bd0cb98d30ac04f12f49d62bfcb91e056f632aea9c505f1b5a0dccef638"
"""SHA-256 sum of the net behind berlin_adlershof, part of the wheel eclipse-sumo."""


def test_the_net_behind_the_shipped_berlin_gives_the_shipped_berlin():
    pytest.importorskip("sumolib")
    wheel = importlib.util.find_spec("sumo")
    if wheel is None or wheel.origin is None:
        pytest.skip("eclipse-sumo is not installed")
    source = Path(wheel.origin).parent / "tools/game/DRT/osm.net.xml"
    if not source.is_file() or hashlib.sha256(source.read_bytes()).hexdigest() != BERLIN:
        pytest.skip("another version of eclipse-sumo")
    read, expected = sumo_net.read(source, name="berlin"), shipped.load("berlin_adlershof")
    assert (read.num_nodes, read.num_links) == (70, 202)
    assert read.sumo_edges == expected.sumo_edges
    np.testing.assert_array_equal(read.tail, expected.tail)
    np.testing.assert_array_equal(read.head, expected.head)
    np.testing.assert_array_equal(read.capacity, expected.capacity)
    # The shipped tables are rounded to 0.01 s and 1e-6 degrees.
    np.testing.assert_allclose(read.free_flow_time, expected.free_flow_time, rtol=0, atol=0.0051)
    if read.geographic:
        np.testing.assert_allclose(read.position, expected.position, rtol=0, atol=1e-6)
    assert {*map(tuple, read.forbidden)} == {*map(tuple, expected.forbidden)}


# ------------------------------------------------------------------------------ the reduction


def street(name: str) -> Street:
    return Street(tail=name[0], head=name[-1], seconds=1.0, capacity=100.0, sources=(name,))


def reduced(names: list[str], *lacking: tuple[str, str]) -> RoadNetwork:
    """Streets by the letters of their ends; every turn but those lacking."""
    turns = [
        (i, j)
        for i, first in enumerate(names)
        for j, second in enumerate(names)
        if first[-1] == second[0] and (first, second) not in lacking
    ]
    position = {letter: (0.0, 0.0) for name in names for letter in name}
    streets = [street(name) for name in names]
    return reduce.to_network(streets, turns, position, name="letters", geographic=False)


FOUR = ["".join(pair) for pair in itertools.permutations("abcd", 2)]


def test_a_street_that_leads_back_to_its_beginning_is_left_out():
    # A loop by x and y at a, and a street from d to itself.
    assert reduced([*FOUR, "ax", "xy", "ya", "dd"]).link_names == reduced(FOUR).link_names


def test_of_two_parts_the_larger_is_kept():
    one_way = ["df", "fg", "gf", "gh", "hf"]
    assert reduced([*FOUR, *one_way]).nodes == ("a", "b", "c", "d")


def test_streets_between_the_same_junctions_are_kept_apart():
    found = reduced([*FOUR, "am", "mb"])
    assert found.link_names[:2] == ("a>b", "a>b#2")
    np.testing.assert_array_equal(found.free_flow_time[:2], [1.0, 2.0])


def test_every_node_of_a_reduced_network_can_be_reached_from_every_other():
    found = reduced([*FOUR, "am", "mb", "dn", "na"], ("ca", "ab"), ("ca", "am"))
    times = paths.time_from_node(found, np.arange(found.num_nodes))
    assert np.isfinite(times).all()


def test_a_ring_without_a_junction_is_no_network():
    with pytest.raises(ValueError, match="no two streets can be reached from each other"):
        reduced(["ab", "bc", "ca"])
