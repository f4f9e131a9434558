"""Road networks from OpenStreetMap, in GraphML files as OSMnx saves them."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leed_jax.road import assumptions, reduce
from leed_jax.road.network import RoadNetwork
from leed_jax.road.reduce import Street

ATTRIBUTION = "map data (c) OpenStreetMap contributors, ODbL 1.0"
MILE = 1.609344
"""Kilometres."""


def read(graphml: str | Path, *, name: str) -> RoadNetwork:
    """The road network of a GraphML file, without demand.

    Nodes have ``x`` and ``y``, and ``highway`` "traffic_signals" at signals; edges have
    ``length`` in metres and may have ``highway``, ``lanes``, ``oneway``, ``maxspeed`` (km/h, or
    with "mph") and ``travel_time`` in seconds. Where an edge has several values, the lowest of
    numbers and the smallest class of road count. Free-flow time is ``travel_time``, else length /
    ``maxspeed``, else length / the assumed limit of the class, plus a delay at the end
    (`assumptions.control_delay`); a junction is a node with three or more neighbours. One lane is
    assumed where none are given; ``lanes`` of two-way roads are those of both directions.
    What is left is the largest part strongly connected without U-turns, with nodes that offer no
    choice merged.

    Args:
      graphml: the file.
      name: of the network.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file; names the element.
    """
    path = Path(graphml)
    root = _parsed(path)
    keys = {
        key.get("id", ""): (key.get("for", ""), key.get("attr.name", ""))
        for key in root.findall("{*}key")
    }
    graph = root.find("{*}graph")
    if graph is None or graph.get("edgedefault") != "directed":
        raise ValueError(f"{path}: no directed <graph> in it")
    crs = _data(graph, keys).get("crs", "4326")
    nodes = {node.get("id", ""): _data(node, keys) for node in graph.findall("{*}node")}
    position = {
        node: (
            _number(f"{path}: node {node}", facts, "x"),
            _number(f"{path}: node {node}", facts, "y"),
        )
        for node, facts in nodes.items()
    }
    edges = [
        (edge.get("source", ""), edge.get("target", ""), _data(edge, keys))
        for edge in graph.findall("{*}edge")
    ]
    neighbours: dict[str, set[str]] = defaultdict(set)
    for number, (tail, head, _) in enumerate(edges):
        for node in (tail, head):
            if node not in nodes:
                raise ValueError(f"{path}: edge {number}: node {node!r} is not in the file")
        neighbours[tail].add(head)
        neighbours[head].add(tail)
    streets = []
    for number, (tail, head, facts) in enumerate(edges):
        where = f"{path}: edge {number} ({tail} to {head})"
        signal = "traffic_signals" in nodes[head].get("highway", "")
        junction = len(neighbours[head] - {head}) > 2
        streets.append(_street(where, tail, head, facts, signal, junction))
    leaving: dict[str, list[int]] = defaultdict(list)
    for number, street in enumerate(streets):
        leaving[street.tail].append(number)
    return reduce.to_network(
        streets,
        [(first, after) for first, street in enumerate(streets) for after in leaving[street.head]],
        position,
        name=name,
        geographic="4326" in crs,
        attribution=ATTRIBUTION,
    )


class _NoDoctype(ElementTree.TreeBuilder):
    """Refuses document types: entities declared in them can blow up without limit."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Called before anything in the document type is read."""
        raise ValueError(f"a document type ({name}) is not allowed")


def _parsed(path: Path) -> ElementTree.Element:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        return ElementTree.parse(path, parser).getroot()
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _data(element: ElementTree.Element, keys: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The values of an element's ``data`` by name."""
    kind = element.tag.rpartition("}")[2]
    found = {}
    for data in element.findall("{*}data"):
        where, name = keys.get(data.get("key", ""), ("", ""))
        if where in (kind, "all"):
            found[name] = (data.text or "").strip()
    return found


def _street(
    where: str, tail: str, head: str, facts: Mapping[str, Any], signal: bool, junction: bool
) -> Street:
    """An edge with what is said and what is assumed about it."""
    kinds = re.findall(r"[a-z_]+", facts.get("highway", "")) or [assumptions.OTHER_ROAD]
    classes = [assumptions.road_class(kind) for kind in kinds]
    road = min(classes, key=lambda kind: assumptions.SATURATION_FLOW[kind])
    length = _number(where, facts, "length")
    if length <= 0:
        raise ValueError(f"{where}: length must be positive, got {length:g}")
    if facts.get("travel_time"):
        driving = _number(where, facts, "travel_time")
        if driving <= 0:
            raise ValueError(f"{where}: travel_time must be positive, got {driving:g}")
    else:
        limit = _speed(facts.get("maxspeed", "")) or assumptions.SPEED_LIMIT[road]
        driving = 3.6 * length / limit
    numbers = re.findall(r"\d+(?:\.\d+)?", facts.get("lanes", ""))
    lanes = min((float(number) for number in numbers), default=0.0)
    if facts.get("oneway", "").lower() not in ("true", "yes", "1"):
        lanes = lanes // 2
    return Street(
        tail=tail,
        head=head,
        seconds=driving + assumptions.control_delay(signal, junction),
        capacity=assumptions.capacity(road, max(lanes, 1.0), signal),
        sources=(where,),
    )


def _speed(text: str) -> float | None:
    """Kilometres per hour, the lowest of what is given; None: no number."""
    found = re.findall(r"(\d+(?:\.\d+)?)\s*(mph)?", text)
    speeds = [float(number) * (MILE if unit else 1.0) for number, unit in found]
    return min((speed for speed in speeds if speed > 0), default=None)


def _number(where: str, facts: Mapping[str, str], key: str) -> float:
    try:
        value = float(facts[key])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {key} must be a number, got {facts.get(key)!r}")
    return value
