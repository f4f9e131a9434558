"""Fleets: who drives where, and when."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from leed_jax.road import paths, shipped
from leed_jax.road.network import RoadNetwork

KIND = re.compile(r"table|(pairs|hub)([1-9][0-9]*)")


@dataclass(frozen=True)
class Fleet:
    """N vehicles; each stands for ``platoon`` real ones that drive as one."""

    name: str
    origin: Int[np.ndarray, "N"]
    """Nodes."""
    destination: Int[np.ndarray, "N"]
    departure: Float[np.ndarray, "N"]
    """Seconds."""
    platoon: float
    """w, demand / N."""
    window: float
    """Seconds within which all depart."""
    kappa: float = 1.0
    """Factor on all capacities; only platoon / kappa matters."""

    def __post_init__(self) -> None:
        for name in ("destination", "departure"):
            rows, count = len(getattr(self, name)), len(self.origin)
            if rows != count:
                raise ValueError(f"fleet {self.name}: {name} must have {count} rows, got {rows}")
        for vehicle, (origin, destination) in enumerate(
            zip(self.origin, self.destination, strict=True)
        ):
            if origin == destination:
                raise ValueError(f"fleet {self.name}: vehicle {vehicle} is where it wants to go")
        if not (np.isfinite(self.departure) & (self.departure >= 0)).all():
            vehicle = int(np.argmin(np.isfinite(self.departure) & (self.departure >= 0)))
            raise ValueError(
                f"fleet {self.name}: vehicle {vehicle}: departure must be at least 0 s"
            )
        for name, value in (("platoon", self.platoon), ("kappa", self.kappa)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"fleet {self.name}: {name} must be positive, got {value}")

    @property
    def num_vehicles(self) -> int:
        """N."""
        return len(self.origin)

    @property
    def demand(self) -> float:
        """Real vehicles, D = w N."""
        return self.platoon * self.num_vehicles


def make(
    network: RoadNetwork,
    kind: str,
    num_vehicles: int,
    *,
    demand: float,
    window: float,
    seed: int = 0,
    kappa: float = 1.0,
) -> Fleet:
    """A fleet drawn from the network's demand; the shipped one where there is one of that name.

    Args:
      network: with demand.
      kind: "table" draws origin and destination from the whole table; "pairs4" from its 4
        heaviest pairs; "hub3" from the rows of its 3 strongest destinations (any number for 4, 3).
      num_vehicles: N.
      demand: D, real vehicles that the fleet stands for.
      window: seconds; departures are whole time steps, uniform in [0, window].
      seed: of the draw.
      kappa: factor on all capacities.

    Raises:
      ValueError: an argument out of range.
    """
    if num_vehicles < 1:
        raise ValueError(f"num_agents must be at least 1, got {num_vehicles}")
    for field, value, least in (("demand", demand, 1e-9), ("window", window, 0.0)):
        if not (np.isfinite(value) and value >= least):
            raise ValueError(f"{field} must be at least {least:g}, got {value}")
    name = f"{kind}_n{num_vehicles}_s{seed}"
    found = read_shipped(network.name).get(name)
    if found is not None and (found.demand, found.window) == (demand, window):
        return _with_kappa(found, kappa)
    table = network.demand
    keep = demand_rows(network, kind)
    draw = np.random.default_rng(seed)
    share = table.trips[keep] / table.trips[keep].sum()
    rows = draw.choice(keep, num_vehicles, p=share)
    step = network.time_step
    departure = step * draw.integers(0, int(window // step) + 1, num_vehicles)
    return Fleet(
        name=name,
        origin=table.origin[rows],
        destination=table.destination[rows],
        departure=departure.astype(float),
        platoon=demand / num_vehicles,
        window=window,
        kappa=kappa,
    )


def demand_rows(network: RoadNetwork, kind: str) -> Int[np.ndarray, "R"]:
    """Rows of the network's demand that a kind of fleet draws from, see `make`."""
    match = KIND.fullmatch(kind)
    if match is None:
        raise ValueError(f"kind must be table, pairs<k> or hub<k>, got {kind!r}")
    table = network.demand
    if not len(table.trips):
        raise ValueError(f"network {network.name} has no demand to draw a fleet from")
    if match.group(1) == "pairs":
        return np.argsort(-table.trips, kind="stable")[: int(match.group(2))]
    if match.group(1) == "hub":
        attracted = np.bincount(table.destination, table.trips, network.num_nodes)
        hubs = np.argsort(-attracted, kind="stable")[: int(match.group(2))]
        return np.flatnonzero(np.isin(table.destination, hubs))
    return np.arange(len(table.trips))


def require_reachable(network: RoadNetwork, fleet: Fleet) -> None:
    """Raises ``ValueError`` naming the first vehicle that cannot get where it wants to."""
    for field, nodes in (("origin", fleet.origin), ("destination", fleet.destination)):
        bad = np.flatnonzero((nodes < 0) | (nodes >= network.num_nodes))
        if len(bad):
            raise ValueError(
                f"fleet {fleet.name}: vehicle {bad[0]}: {field} must be a node of "
                f"0..{network.num_nodes - 1}, got {nodes[bad[0]]}"
            )
    zones, index = np.unique(fleet.destination, return_inverse=True)
    reach = np.isfinite(paths.time_from_node(network, zones))[fleet.origin, index]
    if not reach.all():
        raise ValueError(
            f"fleet {fleet.name}: vehicle {int(np.argmin(reach))} cannot reach its destination"
        )


def read_shipped(network_name: str) -> dict[str, Fleet]:
    """Fleets that come with a shipped network, by name; none for others."""
    if network_name not in shipped.SHIPPED:
        return {}
    folder = shipped.data_folder(network_name) / "fleets"
    return read(folder) if folder.is_dir() else {}


def read(folder: Path | Traversable) -> dict[str, Fleet]:
    """Fleets from ``fleets.csv`` and ``references.json`` of a folder."""
    facts = {entry["fleet"]: entry for entry in read_references(folder)}
    rows: dict[str, list[list[float]]] = {}
    with (folder / "fleets.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = [float(row[key]) for key in ("origin", "destination", "departure_s")]
            rows.setdefault(row["fleet"], []).append(values)
    fleets = {}
    for name, values in rows.items():
        origin, destination, departure = np.array(values).T
        fleets[name] = Fleet(
            name=name,
            origin=origin.astype(np.int64),
            destination=destination.astype(np.int64),
            departure=departure,
            platoon=facts[name]["platoon"],
            window=facts[name]["window_s"],
            kappa=facts[name]["kappa"],
        )
    return fleets


def read_references(folder: Path | Traversable) -> list[dict[str, Any]]:
    """What is known about the fleets of a folder: demand, window, mean seconds per reference."""
    return json.loads((folder / "references.json").read_text(encoding="utf-8"))


def known_references(network: RoadNetwork, fleet: Fleet) -> Mapping[str, float] | None:
    """Mean seconds per vehicle by reference (lb, so, ue, nav, ff) of a shipped fleet, else None."""
    if fleet.name not in read_shipped(network.name):
        return None
    found = read_shipped(network.name)[fleet.name]
    same = all(
        np.array_equal(getattr(found, name), getattr(fleet, name))
        for name in ("origin", "destination", "departure")
    )
    if not same or found.platoon / found.kappa != fleet.platoon / fleet.kappa:
        return None
    folder = shipped.data_folder(network.name) / "fleets"
    entries = {entry["fleet"]: entry["mean_seconds"] for entry in read_references(folder)}
    return entries[fleet.name]


def _with_kappa(fleet: Fleet, kappa: float) -> Fleet:
    """The shipped fleet under another factor on capacities."""
    return Fleet(**{**fleet.__dict__, "kappa": kappa})
