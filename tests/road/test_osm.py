"""GraphML files as OSMnx saves them: four junctions by hand, and what is refused."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from leed_jax.road import osm
from leed_jax.road.network import RoadNetwork

KEYS = {
    "crs": "graph",
    "x": "node",
    "y": "node",
    "highway": "all",
    "length": "edge",
    "maxspeed": "edge",
    "lanes": "edge",
    "oneway": "edge",
    "travel_time": "edge",
}
NODES = {
    "1": {"x": "13.50", "y": "52.40"},
    "2": {"x": "13.60", "y": "52.40", "highway": "traffic_signals"},
    "3": {"x": "13.55", "y": "52.45"},
    "4": {"x": "13.55", "y": "52.42"},
    "9": {"x": "13.55", "y": "52.40"},
}
"""1 to 4 are all joined to each other, 9 is a bend of the road between 1 and 2."""
PLAIN = {"length": "100", "highway": "residential", "oneway": "False"}


def edges() -> dict[tuple[str, str], dict[str, str]]:
    pairs = [*itertools.permutations("1234", 2), ("1", "9"), ("9", "1"), ("9", "2"), ("2", "9")]
    return {pair: dict(PLAIN) for pair in pairs if set(pair) != {"1", "2"}}


def graphml(facts: dict[tuple[str, str], dict[str, str]], **graph: str) -> str:
    def data(values: dict[str, str]) -> str:
        return "".join(f'<data key="{key}_">{value}</data>' for key, value in values.items())

    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    lines.append('<graphml xmlns="http://graphml.graphdrawing.org/xmlns">')
    lines += [f'<key id="{k}_" for="{v}" attr.name="{k}"/>' for k, v in KEYS.items()]
    lines.append(f'<graph edgedefault="directed">{data({"crs": "epsg:4326", **graph})}')
    lines += [f'<node id="{node}">{data(values)}</node>' for node, values in NODES.items()]
    lines += [
        f'<edge source="{tail}" target="{head}" id="0">{data(values)}</edge>'
        for (tail, head), values in facts.items()
    ]
    return "\n".join([*lines, "</graph></graphml>"])


def read(folder: Path, text: str) -> RoadNetwork:
    (folder / "map.graphml").write_text(text)
    return osm.read(folder / "map.graphml", name="map")


def with_edge(**values: str) -> dict[tuple[str, str], dict[str, str]]:
    """The edges, the one from 3 to 4 with other data."""
    changed = edges()
    changed["3", "4"] |= values
    return {pair: {k: v for k, v in facts.items() if v} for pair, facts in changed.items()}


def link(network: RoadNetwork, name: str = "3>4") -> tuple[float, float]:
    """Free-flow time and capacity."""
    index = network.link_names.index(name)
    return float(network.free_flow_time[index]), float(network.capacity[index])


def test_a_map_by_hand(tmp_path):
    found = read(tmp_path, graphml(edges()))
    assert found.nodes == ("1", "2", "3", "4")
    assert found.num_links == 12
    assert found.geographic
    assert "OpenStreetMap" in found.attribution
    np.testing.assert_array_equal(found.position[0], [13.5, 52.4])
    # 100 m at the 30 km/h assumed for residential streets, 3 s at the junction.
    assert link(found) == (pytest.approx(15.0), 1200.0)
    # Two pieces joined at the bend, which delays nobody; 15 s at the signal, green for 45 %.
    assert link(found, "1>2") == (pytest.approx(39.0), pytest.approx(540.0))


@pytest.mark.parametrize(
    ("values", "seconds", "capacity"),
    [
        ({"maxspeed": "50"}, 7.2 + 3, 1200),
        ({"maxspeed": "30 mph"}, 360 / 48.28032 + 3, 1200),
        ({"maxspeed": "['50', '20 mph']"}, 360 / 32.18688 + 3, 1200),
        ({"maxspeed": "walk"}, 12 + 3, 1200),
        ({"travel_time": "8.5", "maxspeed": "50"}, 8.5 + 3, 1200),
        ({"lanes": "4"}, 15, 2400),  # of both directions
        ({"lanes": "1"}, 15, 1200),
        ({"lanes": "['3', '2']", "oneway": "True"}, 15, 2400),
        ({"highway": "secondary_link"}, 7.2 + 3, 1800),
        ({"highway": "['residential', 'secondary']"}, 15, 1200),
        ({"highway": ""}, 7.2 + 3, 1400),
        ({"highway": "busway"}, 7.2 + 3, 1400),
    ],
)
def test_what_an_edge_says_and_what_is_assumed(tmp_path, values, seconds, capacity):
    found = read(tmp_path, graphml(with_edge(**values)))
    assert link(found) == (pytest.approx(seconds), pytest.approx(capacity))


def test_a_projected_map_has_plane_coordinates(tmp_path):
    assert not read(tmp_path, graphml(edges(), crs="epsg:32633")).geographic


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            graphml(with_edge(length="")),
            r"map\.graphml: edge \d+ \(3 to 4\): length must be a number, got None",
        ),
        (graphml(with_edge(length="0")), r"\(3 to 4\): length must be positive, got 0"),
        (graphml(with_edge(length="nan")), r"\(3 to 4\): length must be a number, got 'nan'"),
        (graphml(with_edge(travel_time="-1")), r"\(3 to 4\): travel_time must be positive, got -1"),
        (graphml(edges() | {("4", "5"): PLAIN}), r"edge 14: node '5' is not in the file"),
        (
            graphml(edges()).replace('<data key="x_">13.50</data>', ""),
            r"map\.graphml: node 1: x must be a number, got None",
        ),
        (graphml(edges()).replace('"directed"', '"undirected"'), "no directed <graph> in it"),
        ("<svg></svg>", "no directed <graph> in it"),
        ("<graphml><graph>", r"map\.graphml: no element found"),
        (graphml({("1", "3"): PLAIN}), "no two streets can be reached from each other"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_the_element(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_entities_are_not_expanded(tmp_path):
    bomb = '<!DOCTYPE graphml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><graphml>&b;</graphml>'
    with pytest.raises(ValueError, match=r"a document type \(graphml\) is not allowed"):
        read(tmp_path, bomb)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.graphml: no such file"):
        osm.read(tmp_path / "none.graphml", name="none")
