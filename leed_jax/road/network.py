"""A road network: nodes, directed links, forbidden turns, demand.

Units: seconds, metres, vehicles per hour.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

BPR_COEFFICIENT, BPR_POWER = 0.15, 4.0
"""Of the Bureau of Public Roads' curve, tau = t0 (1 + 0.15 (v/c)^4)."""


@dataclass(frozen=True)
class Demand:
    """Trips between nodes."""

    origin: Int[np.ndarray, "R"]
    destination: Int[np.ndarray, "R"]
    trips: Float[np.ndarray, "R"]
    """Vehicles per hour."""


@dataclass(frozen=True)
class RoadNetwork:
    """A directed road network; checked when it is made.

    Raises:
      ValueError: a link, turn or demand row that cannot be; names the row.
    """

    name: str
    nodes: tuple[str, ...]
    """Names, V of them."""
    position: Float[np.ndarray, "V 2"]
    """Longitude and latitude in degrees, or any plane coordinates."""
    tail: Int[np.ndarray, "L"]
    """Node where a link begins."""
    head: Int[np.ndarray, "L"]
    """Node where it ends."""
    free_flow_time: Float[np.ndarray, "L"]
    """Seconds."""
    capacity: Float[np.ndarray, "L"]
    """Vehicles per hour."""
    coefficient: Float[np.ndarray, "L"]
    """b of the cost curve t0 (1 + b x^power); 0: the link never congests."""
    demand: Demand
    forbidden: Int[np.ndarray, "F 2"] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Pairs of links of which the second must not follow the first; U-turns never may."""
    passable: Bool[np.ndarray, "V"] | None = None
    """False: trips may begin and end there but not pass (TNTP's zones); None: all may be passed."""
    power: float = BPR_POWER
    time_step: float = 5.0
    """Seconds, the usual step of a simulation on it."""
    min_speed: float = 0.05
    """Share of the free-flow speed that is left in the worst jam (walking pace)."""
    sumo_edges: tuple[tuple[str, ...], ...] = ()
    """Edges of the SUMO network behind every link, in order, where it came from one."""
    geographic: bool = True
    """Whether positions are longitude and latitude."""
    attribution: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_nodes(self) -> int:
        """V."""
        return len(self.nodes)

    @property
    def num_links(self) -> int:
        """L."""
        return len(self.tail)

    @property
    def out_degree(self) -> int:
        """D, most links that leave a node."""
        return int(np.bincount(self.tail, minlength=self.num_nodes).max())

    @property
    def plane(self) -> Float[np.ndarray, "V 2"]:
        """Positions true to shape: x east, y north, in units of a degree of latitude."""
        if not self.geographic:
            return self.position
        return self.position * [np.cos(np.radians(self.position[:, 1].mean())), 1.0]

    @property
    def link_names(self) -> tuple[str, ...]:
        """``tail>head`` by node names, with ``#2`` and so on behind parallel links."""
        seen: dict[str, int] = {}
        named = []
        for tail, head in zip(self.tail, self.head, strict=True):
            name = f"{self.nodes[tail]}>{self.nodes[head]}"
            seen[name] = seen.get(name, 0) + 1
            named.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
        return tuple(named)

    def replace(self, **changes: Any) -> "RoadNetwork":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def _check(network: RoadNetwork) -> None:
    what, count = f"network {network.name}", network.num_nodes
    if count < 2 or network.num_links < 1:
        raise ValueError(f"{what}: at least 2 nodes and 1 link are needed")
    if len(set(network.nodes)) != count:
        raise ValueError(f"{what}: node names must differ")
    fields: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
        "tail": (network.tail, lambda v: (v >= 0) & (v < count), f"a node, 0..{count - 1}"),
        "head": (network.head, lambda v: (v >= 0) & (v < count), f"a node, 0..{count - 1}"),
        "free_flow_time": (
            network.free_flow_time,
            lambda v: np.isfinite(v) & (v > 0),
            "positive (use one time step for a road without length)",
        ),
        "capacity": (network.capacity, lambda v: v > 0, "positive"),
        "coefficient": (network.coefficient, lambda v: np.isfinite(v) & (v >= 0), "at least 0"),
    }
    for name, (values, good, allowed) in fields.items():
        values = np.asarray(values)
        if values.shape != (network.num_links,):
            raise ValueError(f"{what}: {name} must have {network.num_links} rows")
        bad = np.flatnonzero(~good(values))
        if len(bad):
            raise ValueError(
                f"{what}: link {bad[0]}: {name} must be {allowed}, got {values[bad[0]]}"
            )
    loops = np.flatnonzero(network.tail == network.head)
    if len(loops):
        raise ValueError(f"{what}: link {loops[0]} ends where it begins")
    if np.shape(network.position) != (count, 2) or not np.isfinite(network.position).all():
        raise ValueError(f"{what}: position must be [{count}, 2], finite")
    for row, (before, after) in enumerate(network.forbidden):
        known = 0 <= before < network.num_links and 0 <= after < network.num_links
        if not known or network.head[before] != network.tail[after]:
            raise ValueError(
                f"{what}: forbidden turn {row}: links {before} and {after} do not meet"
            )
    _check_connected(network)
    demand = network.demand
    for row in range(len(demand.trips)):
        pair = demand.origin[row], demand.destination[row]
        if not all(0 <= node < count for node in pair) or pair[0] == pair[1]:
            raise ValueError(
                f"{what}: demand row {row}: origin and destination must be two nodes of "
                f"0..{count - 1}, got {pair[0]} and {pair[1]}"
            )
        if not (np.isfinite(demand.trips[row]) and demand.trips[row] > 0):
            raise ValueError(
                f"{what}: demand row {row}: trips must be positive, got {demand.trips[row]}"
            )


def _check_connected(network: RoadNetwork) -> None:
    ones = np.ones(network.num_links)
    shape = (network.num_nodes, network.num_nodes)
    parts, label = connected_components(coo_matrix((ones, (network.tail, network.head)), shape))
    if parts > 1:
        lost = int(np.flatnonzero(label != label[0])[0])
        raise ValueError(
            f"network {network.name}: disconnected: node {network.nodes[lost]} (row {lost}) is "
            f"not connected to node {network.nodes[0]} (row 0)"
        )
