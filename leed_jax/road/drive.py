"""A fleet on given routes, to the end: the simulation behind references and checks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax.road import traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.traffic import Roads, Rules, Traffic

MAX_STEPS = 20_000
"""A simulation ends there whatever happens; jams are never that long (`Rules.min_speed`)."""


class Trips(NamedTuple):
    """A fleet on the device."""

    origin: Int[Array, "N"]
    destination: Int[Array, "N"]
    """Nodes."""
    departure: Int[Array, "N"]
    """Steps."""


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
    links, vehicles = roads.head.shape[0], jnp.arange(routes.shape[0])
    routes = jnp.concatenate([routes, jnp.full((routes.shape[0], 1), -1, routes.dtype)], axis=1)

    def lost(pointer: Int[Array, "N"], now: Traffic) -> Array:
        return traffic.deciding(now, trips.departure) & (routes[vehicles, pointer] < 0)

    def goes_on(carry: tuple[Traffic, Int[Array, "N"]]) -> Array:
        now, pointer = carry
        under_way = (now.arrival < 0) & ~lost(pointer, now)
        return under_way.any() & (now.step < MAX_STEPS)

    def step(carry: tuple[Traffic, Int[Array, "N"]]) -> tuple[Traffic, Int[Array, "N"]]:
        now, pointer = carry
        chosen = routes[vehicles, pointer]
        # A vehicle whose route has come to its end stays at that node, off the roads.
        departure = jnp.where(lost(pointer, now), MAX_STEPS + 1, trips.departure)
        entering = traffic.deciding(now, departure)
        after, _ = traffic.advance(
            roads, rules, now, jnp.clip(chosen, 0, links - 1), departure, trips.destination
        )
        return after, pointer + entering.astype(jnp.int32)

    begin = traffic.start(roads, rules, trips.origin), jnp.zeros(len(vehicles), jnp.int32)
    final, _ = jax.lax.while_loop(goes_on, step, begin)
    arrived = final.arrival >= 0
    seconds = final.arrival - trips.departure.astype(jnp.float32) * rules.time_step
    return jnp.where(arrived, seconds, jnp.inf)


def pad(routes: list[tuple[int, ...]]) -> Int[np.ndarray, "N R"]:
    """Routes as an array, padded with -1."""
    width = max(len(route) for route in routes)
    return np.array([[*route, *[-1] * (width - len(route))] for route in routes], np.int32)
