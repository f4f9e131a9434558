"""A fleet on given routes, to the end: the simulation behind references and checks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.road import traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.traffic import Flow, Roads, Rules, Traffic

MAX_STEPS = 20_000
"""A simulation ends there whatever happens; jams are never that long (`Rules.min_speed`)."""


class Trips(NamedTuple):
    """A fleet on the device."""

    origin: Int[Array, "N"]
    destination: Int[Array, "N"]
    """Nodes."""
    departure: Int[Array, "N"]
    """Steps."""


class OnRoute(NamedTuple):
    """Vehicles that drive given routes."""

    traffic: Traffic
    pointer: Int[Array, "N"]
    """Links of the route that have been entered."""


def trips(fleet: Fleet, time_step: float) -> Trips:
    """The fleet's trips; departures are rounded to whole steps."""
    steps = np.rint(fleet.departure / time_step)
    return Trips(*(jnp.asarray(v, jnp.int32) for v in (fleet.origin, fleet.destination, steps)))


def drive(roads: Roads, rules: Rules, trips: Trips, routes: Int[Array, "N R"]) -> Float[Array, "N"]:
    """Seconds that every vehicle travels on its route, waiting for departure not counted.

    Pure; ``vmap`` over ``routes`` evaluates many assignments at once. Infinite for a vehicle
    whose route does not lead to its destination.

    Args:
      roads: the network, with the platoon's size in it.
      rules: the step's length and the curve.
      trips: origins, destinations, departures.
      routes: links in order, padded with -1 (R of the longest).
    """

    def goes_on(now: OnRoute) -> Array:
        under_way = (now.traffic.arrival < 0) & ~_lost(now, trips, routes)
        return under_way.any() & (now.traffic.step < MAX_STEPS)

    begin = start(roads, rules, trips)
    final = jax.lax.while_loop(
        goes_on, lambda now: step(roads, rules, trips, routes, now)[0], begin
    ).traffic
    arrived = final.arrival >= 0
    seconds = final.arrival - trips.departure.astype(jnp.float32) * rules.time_step
    return jnp.where(arrived, seconds, jnp.inf)


def start(roads: Roads, rules: Rules, trips: Trips) -> OnRoute:
    """All vehicles before the first link of their routes."""
    return OnRoute(traffic.start(roads, rules, trips.origin), jnp.zeros_like(trips.origin))


def step(
    roads: Roads, rules: Rules, trips: Trips, routes: Int[Array, "N R"], now: OnRoute
) -> tuple[OnRoute, Flow, Bool[Array, "N"]]:
    """One step on routes; also the links in it, and which vehicles are on one."""
    # A vehicle whose route has come to its end stays at that node, off the roads.
    departure = jnp.where(_lost(now, trips, routes), MAX_STEPS + 1, trips.departure)
    entering = traffic.deciding(now.traffic, departure)
    on = traffic.active(now.traffic, departure)
    link = jnp.clip(_next(now, routes), 0, roads.head.shape[0] - 1)
    after, flow = traffic.advance(roads, rules, now.traffic, link, departure, trips.destination)
    return OnRoute(after, now.pointer + entering.astype(jnp.int32)), flow, on


def _next(now: OnRoute, routes: Int[Array, "N R"]) -> Int[Array, "N"]:
    """The link that comes next; -1 behind the last one."""
    width = routes.shape[1]
    found = routes[jnp.arange(routes.shape[0]), jnp.minimum(now.pointer, width - 1)]
    return jnp.where(now.pointer < width, found, -1)


def _lost(now: OnRoute, trips: Trips, routes: Int[Array, "N R"]) -> Bool[Array, "N"]:
    """At the end of the route without having arrived."""
    return traffic.deciding(now.traffic, trips.departure) & (_next(now, routes) < 0)


def pad(routes: list[tuple[int, ...]]) -> Int[np.ndarray, "N R"]:
    """Routes as an array, padded with -1."""
    width = max(len(route) for route in routes)
    return np.array([[*route, *[-1] * (width - len(route))] for route in routes], np.int32)
