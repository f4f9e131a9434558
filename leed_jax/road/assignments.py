"""Routes for a whole fleet and how long they take, many such assignments at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax.road import drive, fleets, paths, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

Route = tuple[int, ...]
"""Links in order."""

FEW = 8
"""Assignments in the smaller of the two batch sizes; each size is compiled once."""


@dataclass(frozen=True)
class Task:
    """A fleet on a network, prepared for many simulations."""

    network: RoadNetwork
    fleet: Fleet
    rules: traffic.Rules
    roads: traffic.Roads
    trips: drive.Trips
    turns: tuple[tuple[int, ...], ...]
    """Links that may be taken from every place (`paths.next_links`)."""
    zones: Int[np.ndarray, "Z"]
    """Nodes that are somebody's destination."""
    zone: Int[np.ndarray, "N"]
    """Which of them a vehicle wants to reach."""
    togo: Float[np.ndarray, "L Z"]
    """Free-flow seconds from entering a link to every zone (`paths.time_from_link`)."""
    alone: Float[np.ndarray, "L"]
    """Seconds on a link that no other vehicle is on."""


@dataclass(frozen=True)
class Assignment:
    """A route for every vehicle and what it takes when all drive theirs."""

    routes: tuple[Route, ...]
    seconds: Float[np.ndarray, "N"]
    """From departure to arrival; inf: did not arrive."""

    @property
    def mean_seconds(self) -> float:
        """Per vehicle."""
        return float(self.seconds.mean())

    def changed(self, vehicle: int, route: Route, seconds: Float[np.ndarray, "N"]) -> "Assignment":
        """The same with another route for one vehicle, and all vehicles' times then."""
        return Assignment(with_route(self.routes, vehicle, route), seconds)


class RouteSets:
    """Routes to choose from. Vehicles of one pair of origin and destination share theirs."""

    def __init__(self, task: Task, count: int) -> None:
        """Begins with the ``count`` fastest routes at free flow.

        Raises:
          ValueError: some vehicle has no route that passes no node twice.
        """
        self._network = task.network
        origin, destination = task.fleet.origin.tolist(), task.fleet.destination.tolist()
        self._pair = list(zip(origin, destination, strict=True))
        # A dictionary keeps the order, so that a search is the same on every run.
        self._routes: dict[tuple[int, int], dict[Route, None]] = {
            pair: dict.fromkeys(paths.shortest_routes(task.network, *pair, count))
            for pair in sorted(set(self._pair))
        }

    def of(self, vehicle: int) -> list[Route]:
        """The routes that a vehicle may choose from, those at free flow first."""
        return list(self._routes[self._pair[vehicle]])

    def add(self, vehicle: int, route: Route) -> None:
        """One more to choose from, unless it passes a node twice."""
        nodes = {int(self._network.tail[route[0]]), *self._network.head[list(route)].tolist()}
        if len(nodes) > len(route):
            self._routes[self._pair[vehicle]][route] = None


def prepare(
    network: RoadNetwork, fleet: Fleet, congestion: Literal["bpr", "queue"] = "bpr"
) -> Task:
    """The fleet on the network with the network's own step and curve.

    Raises:
      ValueError: a vehicle cannot reach its destination.
    """
    fleets.require_reachable(network, fleet)
    rules = traffic.rules(network, congestion)
    roads = traffic.roads(network, fleet.platoon, fleet.kappa)
    zones, zone = np.unique(fleet.destination, return_inverse=True)
    speed = traffic.speed(roads, rules, jnp.ones(network.num_links, jnp.int32))
    return Task(
        network=network,
        fleet=fleet,
        rules=rules,
        roads=roads,
        trips=drive.trips(fleet, rules.time_step),
        turns=tuple(
            tuple(link for link in row if link >= 0) for row in paths.next_links(network).tolist()
        ),
        zones=zones,
        zone=zone,
        togo=paths.time_from_link(network, zones),
        alone=network.free_flow_time / np.asarray(speed, float),
    )


def with_route(routes: Sequence[Route], vehicle: int, route: Route) -> tuple[Route, ...]:
    """The routes with one vehicle's changed."""
    return (*routes[:vehicle], route, *routes[vehicle + 1 :])


def assign(task: Task, routes: Sequence[Route]) -> Assignment:
    """All vehicles on these routes."""
    return Assignment(tuple(routes), deviations(task, routes, [(0, routes[0])])[0])


def deviations(
    task: Task, routes: Sequence[Route], changes: Sequence[tuple[int, Route]]
) -> Float[np.ndarray, "C N"]:
    """Seconds of all N vehicles for each of C changes of one vehicle to another route.

    All changes are simulated side by side, in batches that fit into memory.

    Args:
      task: the fleet on its network.
      routes: what all others drive, one route per vehicle.
      changes: vehicle and the route that it takes instead.
    """
    both = table((*routes, *(route for _, route in changes)))
    plan, others = both[: len(routes)], both[len(routes) :]
    vehicles = np.array([vehicle for vehicle, _ in changes])
    seconds = np.empty((len(changes), len(routes)))
    done = 0
    while done < len(changes):
        left = len(changes) - done
        size = FEW if left <= 2 * FEW else _many(len(routes))
        rows = np.arange(min(size, left))
        batch = np.repeat(plan[None], size, axis=0)
        batch[rows, vehicles[done + rows]] = others[done + rows]
        found = _drive(task.roads, task.rules, task.trips, batch)
        seconds[done + rows] = np.asarray(found)[rows]
        done += len(rows)
    return seconds


def table(routes: Iterable[Route]) -> Int[np.ndarray, "Q R"]:
    """Routes padded with -1 to a width that is a multiple of 16, so that few shapes occur."""
    padded = drive.pad(list(routes))
    return np.pad(padded, ((0, 0), (0, -padded.shape[1] % 16)), constant_values=-1)


@partial(jax.jit, static_argnames="rules")
def _drive(
    roads: traffic.Roads, rules: traffic.Rules, trips: drive.Trips, plans: Int[Array, "B N R"]
) -> Float[Array, "B N"]:
    return jax.vmap(lambda routes: drive.drive(roads, rules, trips, routes))(plans)


def _many(vehicles: int) -> int:
    """Assignments in the larger batch: on a CPU no more than its cache holds."""
    together = 2**12 if jax.default_backend() == "cpu" else 2**20
    return min(1024, max(FEW, 2 ** int(np.log2(max(1, together // vehicles)))))
