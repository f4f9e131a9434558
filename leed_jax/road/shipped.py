"""Networks from folders of CSV files, among them those that come with the package.

Where the shipped files came from and what their licences allow is in the ``SOURCE.md`` beside each
of them and in ``docs/road-networks.md``.
"""

import csv
import dataclasses
import difflib
import importlib.resources
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np

from leed_jax.road import layout, paths
from leed_jax.road.network import BPR_COEFFICIENT, BPR_POWER, Demand, RoadNetwork

WHOLE = ("from", "to", "origin", "destination", "link_in", "link_out")
"""Columns that hold numbers of nodes and links."""
OSM = "map data (c) OpenStreetMap contributors, ODbL 1.0"


@dataclass(frozen=True)
class _Shipped:
    """What the files of a shipped network do not say."""

    time_step: float = 5.0
    min_speed: float = 0.05
    attribution: str = OSM


SHIPPED: Mapping[str, _Shipped] = {
    "ow": _Shipped(60.0, attribution="Ortuzar and Willumsen's exercise, from sumo-rl (MIT)"),
    # Links of no length carry up to 4,000 vehicles at 0.01 min each: 40 times a step of a minute.
    "braess": _Shipped(60.0, 0.01, attribution="Braess's example, written by this project"),
    "berlin_adlershof": _Shipped(attribution=f"SUMO (EPL-2.0 OR GPL-2.0-or-later), {OSM}"),
    "luxembourg_main": _Shipped(attribution=f"LuST (MIT), {OSM}"),
    "luxembourg_full": _Shipped(attribution=f"LuST (MIT), {OSM}"),
}


def load(name: str) -> RoadNetwork:
    """A network that comes with the package.

    Raises:
      ValueError: no such network; lists those there are.
    """
    if name not in SHIPPED:
        near = difflib.get_close_matches(name, SHIPPED, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no network {name!r}; shipped: {', '.join(SHIPPED)}{hint}")
    facts = SHIPPED[name]
    return read_folder(data_folder(name), name).replace(**dataclasses.asdict(facts))


def data_folder(name: str) -> Traversable:
    """Where the files of a shipped network lie."""
    return importlib.resources.files("leed_jax") / "road" / "data" / name


def read_folder(folder: str | Path | Traversable, name: str) -> RoadNetwork:
    """A network from ``nodes.csv``, ``links.csv``, ``od.csv`` and ``forbidden_turns.csv`` (if any).

    Nodes and links are numbered 0, 1, ... in their first column. A link has
    ``free_flow_time_s`` and ``capacity_veh_h``, or ``free_flow_time_min`` and
    ``slope_min_per_veh_h``: linear cost t0 + slope q, with the flow q of an hour. On a link with
    t0 = 0 there is no time to turn a flow into vehicles on the road: there the slope counts for
    every vehicle that is on the link at the same time, and t0 is one step.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a row cannot be read, or does not fit; names file and row.
    """
    place = Path(folder) if isinstance(folder, str) else folder
    nodes = _table(place / "nodes.csv", ("node",))
    links = _table(place / "links.csv", ("link", "from", "to"))
    demand = _table(place / "od.csv", ("origin", "destination", "trips_per_h"))
    turns_file = place / "forbidden_turns.csv"
    turns = _table(turns_file, ("link_in", "link_out")) if turns_file.is_file() else {}
    tail, head = (np.array(links[column]).astype(np.int64) for column in ("from", "to"))
    linear = "slope_min_per_veh_h" in links
    _require(
        place / "links.csv",
        links,
        ("free_flow_time_min",) if linear else ("free_flow_time_s", "capacity_veh_h"),
    )
    if linear:
        time, capacity, coefficient = _linear(links)
    else:
        time, capacity = (
            np.array(links[column], float) for column in ("free_flow_time_s", "capacity_veh_h")
        )
        coefficient = np.full(len(time), BPR_COEFFICIENT)
    geographic = "lon" in nodes
    named = nodes.get("name", nodes["node"])
    position = (
        np.array([nodes["lon"], nodes["lat"]], float).T if geographic else np.zeros((len(named), 2))
    )
    network = RoadNetwork(
        name=name,
        nodes=tuple(named),
        position=position,
        tail=tail,
        head=head,
        free_flow_time=time,
        capacity=capacity,
        coefficient=coefficient,
        demand=Demand(
            np.array(demand["origin"]).astype(np.int64),
            np.array(demand["destination"]).astype(np.int64),
            np.array(demand["trips_per_h"], float),
        ),
        forbidden=np.array(list(turns.values())).astype(np.int64).T.reshape(-1, 2),
        power=1.0 if linear else BPR_POWER,
        sumo_edges=tuple(tuple(edges.split()) for edges in links.get("sumo_edges", ())),
        geographic=geographic,
    )
    paths.require_reachable(network)
    return network if geographic else layout.placed(network)


def _linear(links: Mapping[str, list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Free-flow seconds, vehicles per hour and coefficient of t0 + slope q = t0 (1 + b q/c)."""
    minutes = np.array(links["free_flow_time_min"], float)
    slope = np.array(links["slope_min_per_veh_h"], float)
    sloped = np.where(slope > 0, slope, 1.0)
    capacity = np.where(minutes > 0, minutes / sloped, 60 / sloped)
    coefficient = (slope > 0).astype(float)
    return 60 * np.where(minutes > 0, minutes, 1.0), np.where(slope > 0, capacity, 1e9), coefficient


def _table(path: Path | Traversable, columns: tuple[str, ...]) -> dict[str, list[str]]:
    """The columns of a CSV file, those named among them; numbers are checked to be numbers."""
    with path.open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows, header = list(reader), list(reader.fieldnames or ())
    _require(path, header, columns)
    for number, row in enumerate(rows):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} has another number of columns than the header")
        for column, value in row.items():
            if column in ("node", "link") and value.strip() != str(number):
                raise ValueError(
                    f"{path}: row {number}: {column} must be {number}, the row's number, "
                    f"got {value!r}"
                )
            if column in WHOLE and not re.fullmatch(r"\s*[0-9]+\s*", value):
                raise ValueError(
                    f"{path}: row {number}: {column} must be a whole number, got {value!r}"
                )
            if column in ("lon", "lat") or column.endswith(("_s", "_h", "_min", "_m")):
                try:
                    float(value)
                except ValueError:
                    raise ValueError(
                        f"{path}: row {number}: {column} must be a number, got {value!r}"
                    ) from None
    return {column: [row[column] for row in rows] for column in header}


def _require(path: Path | Traversable, found: Container[str], columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in found]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}")
