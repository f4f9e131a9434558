"""Road networks in the TNTP format of the collection Transportation Networks for Research.

The format is described at https://github.com/bstabler/TransportationNetworks. It leaves units to
every network's README; what was assumed for the five that `fetch` knows is in `ASSUMED`. Tolls
and lengths are read past: cost is time here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leed_jax.road import layout, paths
from leed_jax.road.network import BPR_POWER, Demand, RoadNetwork

COLUMNS = (
    "init node",
    "term node",
    "capacity",
    "length",
    "free flow time",
    "b",
    "power",
    "speed",
    "toll",
    "link type",
)
ATTRIBUTION = (
    "Transportation Networks for Research Core Team, "
    "https://github.com/bstabler/TransportationNetworks; for academic research purposes only"
)


@dataclass(frozen=True)
class Assumed:
    """What the files of a network of the collection do not say."""

    time_unit_seconds: float
    """A unit of free-flow time."""
    time_step: float
    """Seconds; no more than the shortest link, or nearly so."""
    why: str
    """Where the unit comes from."""
    geographic: bool = False


ASSUMED: Mapping[str, Assumed] = {
    "SiouxFalls": Assumed(
        60.0,
        60.0,
        "README: 0.01 h, but often viewed as if they were minutes; viewed so here, as in most "
        "papers; coordinates are artificial",
        geographic=True,
    ),
    "EMA": Assumed(3600.0, 30.0, "README: hours; capacity is taken per hour"),
    "Friedrichshain": Assumed(
        3.0,
        5.0,
        "not stated; with 3 s every link takes whole seconds, and lengths in metres give speeds "
        "that gather at 30 and 50 km/h",
    ),
    "Anaheim": Assumed(60.0, 5.0, "README: minutes"),
    "ChicagoSketch": Assumed(
        60.0,
        15.0,
        "README: minutes; its toll and distance weights are left out; the README recommends to "
        "double the demand for congestion",
    ),
}
"""By the names of ``tntp_manifest.json``. Capacity and trips are taken per hour everywhere."""


def read(
    net_file: str | Path,
    trips_file: str | Path | None = None,
    node_file: str | Path | None = None,
    *,
    name: str,
    time_unit_seconds: float,
    time_step: float = 5.0,
    geographic: bool = False,
    attribution: str = "",
) -> RoadNetwork:
    """A network from TNTP files.

    Links with free-flow time 0 (connectors of zones) take one step and never congest. Nodes below
    FIRST THRU NODE are not `RoadNetwork.passable`. Trips within a zone are left out. TNTP gives
    no turn rules; the package's own exclude U-turns.

    Args:
      net_file: links, ``*_net.tntp``.
      trips_file: demand, ``*_trips.tntp``; None: no demand.
      node_file: coordinates, ``*_node.tntp``; None: nodes are placed by the times between them.
      name: of the network.
      time_unit_seconds: seconds per unit of free-flow time.
      time_step: seconds, the usual step of a simulation on it.
      geographic: whether the coordinates are longitude and latitude.
      attribution: of the data.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a line that cannot be read or does not fit; names file and line.
    """
    if not (math.isfinite(time_unit_seconds) and time_unit_seconds > 0):
        raise ValueError(f"time_unit_seconds must be positive, got {time_unit_seconds}")
    net_file = Path(net_file)
    facts, lines = _sections(net_file)
    nodes, zones, first_through = (
        _fact(net_file, facts, key)
        for key in ("NUMBER OF NODES", "NUMBER OF ZONES", "FIRST THRU NODE")
    )
    links, power = _links(net_file, lines, nodes)
    declared = _fact(net_file, facts, "NUMBER OF LINKS")
    if declared != len(links):
        raise ValueError(f"{net_file}: NUMBER OF LINKS is {declared}, but there are {len(links)}")
    trips, where = ({}, []) if trips_file is None else _trips(Path(trips_file), zones)
    pairs = np.array(list(trips), np.int64).reshape(-1, 2) - 1
    position = np.zeros((nodes, 2)) if node_file is None else _nodes(Path(node_file), nodes)
    capacity, free_flow, coefficient = links[:, 2], links[:, 4], links[:, 5]
    try:
        network = RoadNetwork(
            name=name,
            nodes=tuple(str(node + 1) for node in range(nodes)),
            position=position,
            tail=links[:, 0].astype(np.int64) - 1,
            head=links[:, 1].astype(np.int64) - 1,
            free_flow_time=np.where(free_flow > 0, free_flow * time_unit_seconds, time_step),
            capacity=capacity,
            coefficient=np.where(free_flow > 0, coefficient, 0.0),
            demand=Demand(pairs[:, 0], pairs[:, 1], np.array(list(trips.values()), float)),
            passable=None if first_through <= 1 else np.arange(nodes) >= first_through - 1,
            power=power,
            time_step=time_step,
            geographic=geographic,
            attribution=attribution,
        )
    except ValueError as error:
        raise ValueError(f"{net_file}: {error}") from None
    row = paths.unreachable_row(network)
    if row is not None:
        origin, destination = pairs[row] + 1
        raise ValueError(f"{where[row]}: zone {destination} cannot be reached from zone {origin}")
    return network if node_file is not None else layout.placed(network)


def _sections(path: Path) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The metadata of a file, and its other lines behind where they are; without comments."""
    facts: dict[str, str] = {}
    lines = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("~")[0].strip()
        tag = re.match(r"<([^>]+)>\s*(.*)", line.strip())
        if tag:
            facts[tag.group(1).strip().upper()] = tag.group(2).strip()
        elif text:
            lines.append((f"{path}:{number}", text))
    return facts, lines


def _fact(path: Path, facts: Mapping[str, str], key: str) -> int:
    """A whole number of the metadata."""
    value = facts.get(key, "")
    if not value.isdecimal():
        raise ValueError(f"{path}: <{key}> must be a whole number, got {value!r}")
    return int(value)


def _links(path: Path, lines: list[tuple[str, str]], nodes: int) -> tuple[np.ndarray, float]:
    """The table [L, 10] of `COLUMNS`, and the power of the links that congest."""
    if not lines:
        raise ValueError(f"{path}: no links")
    rows, power = [], None
    for where, text in lines:
        values = text.rstrip(";").split()
        if len(values) != len(COLUMNS):
            raise ValueError(
                f"{where}: a link has {len(COLUMNS)} columns ({', '.join(COLUMNS)}), "
                f"got {len(values)}"
            )
        # Speed, toll and type are read past, whatever they are.
        row = [_number(where, *pair) for pair in zip(COLUMNS[:7], values[:7], strict=True)]
        for column in (0, 1):
            if row[column] not in range(1, nodes + 1):
                raise ValueError(
                    f"{where}: {COLUMNS[column]} must be a node, 1..{nodes}, got {values[column]}"
                )
        if row[0] == row[1]:
            raise ValueError(f"{where}: the link ends where it begins, at node {values[0]}")
        if row[2] <= 0:
            raise ValueError(f"{where}: capacity must be positive, got {values[2]}")
        for column in (4, 5, 6):
            if row[column] < 0:
                raise ValueError(
                    f"{where}: {COLUMNS[column]} must be at least 0, got {values[column]}"
                )
        if row[4] > 0 and row[5] > 0:
            power = row[6] if power is None else power
            if row[6] != power or power == 0:
                raise ValueError(
                    f"{where}: power must be positive and the same for all links that congest "
                    f"({power:g} before), got {values[6]}"
                )
        rows.append(row)
    return np.array(rows), BPR_POWER if power is None else power


def _trips(path: Path, zones: int) -> tuple[dict[tuple[int, int], float], list[str]]:
    """Trips between zones, from 1, and where each was found."""
    facts, lines = _sections(path)
    trips: dict[tuple[int, int], float] = {}
    where_found = []
    total, origin = 0.0, None
    for where, text in lines:
        header = re.fullmatch(r"origin\s+(\S+)", text, re.IGNORECASE)
        if header:
            origin = _zone(where, "origin", header.group(1), zones)
            continue
        if origin is None:
            raise ValueError(f"{where}: trips before the first line 'Origin <zone>'")
        for destination, flow in _entries(where, text):
            pair = origin, _zone(where, "destination", destination, zones)
            value = _number(where, "flow", flow)
            if value < 0:
                raise ValueError(f"{where}: flow must be at least 0, got {flow}")
            if pair in trips:
                raise ValueError(f"{where}: trips from {pair[0]} to {pair[1]} a second time")
            total += value
            if value > 0 and pair[0] != pair[1]:
                trips[pair] = value
                where_found.append(where)
    declared = facts.get("TOTAL OD FLOW")
    if declared and not math.isclose(
        _number(str(path), "<TOTAL OD FLOW>", declared), total, rel_tol=1e-3
    ):
        raise ValueError(f"{path}: <TOTAL OD FLOW> is {declared}, but the trips sum to {total:g}")
    return trips, where_found


def _entries(where: str, text: str) -> Iterator[tuple[str, str]]:
    """The entries ``destination : flow;`` of a line."""
    if not text.endswith(";"):
        raise ValueError(f"{where}: 'destination : flow;' expected, got {text[-40:]!r}")
    for entry in text.split(";")[:-1]:
        destination, colon, flow = (part.strip() for part in entry.partition(":"))
        if not colon:
            raise ValueError(f"{where}: 'destination : flow;' expected, got {entry.strip()!r}")
        yield destination, flow


def _nodes(path: Path, nodes: int) -> np.ndarray:
    """Coordinates [V, 2]."""
    _, lines = _sections(path)
    position = np.full((nodes, 2), np.nan)
    for where, text in lines:
        values = text.rstrip(";").split()
        if values[:1] and values[0].lower() == "node":
            continue
        if len(values) != 3:
            raise ValueError(f"{where}: 'node x y ;' expected, got {len(values)} columns")
        node = _zone(where, "node", values[0], nodes)
        position[node - 1] = [_number(where, *pair) for pair in zip("xy", values[1:], strict=True)]
    missing = np.flatnonzero(np.isnan(position[:, 0]))
    if len(missing):
        raise ValueError(f"{path}: node {missing[0] + 1} has no coordinates")
    return position


def _zone(where: str, what: str, text: str, count: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= count:
        raise ValueError(f"{where}: {what} must be one of 1..{count}, got {text!r}")
    return int(text)


def _number(where: str, what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {what} must be a number, got {text!r}")
    return value
