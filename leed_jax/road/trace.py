"""What happens on the roads while a fleet drives given routes, step by step."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax.road import drive, traffic
from leed_jax.road.drive import Trips
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork
from leed_jax.road.traffic import Roads, Rules

ROUTE_BLOCK, STEP_BLOCK = 16, 128
"""Routes and times are padded to multiples, so that few programs are compiled."""


class Trace(NamedTuple):
    """On the host; S steps until the last arrival."""

    link: Int[np.ndarray, "S N"]
    """Link that every vehicle is on, -1 for none."""
    speed: Float[np.ndarray, "S L"]
    """Share of free flow."""
    seconds: Float[np.ndarray, "N"]
    """Travel time; infinite for a route that does not lead to the destination."""
    step: float
    """Seconds of a step."""

    @property
    def count(self) -> Int[np.ndarray, "S L"]:
        """Vehicles on every link."""
        steps, links = self.speed.shape
        flat = self.link + links * np.arange(steps)[:, None]
        present = np.bincount(flat[self.link >= 0], minlength=steps * links)
        return present.reshape(steps, links)


def trace(
    network: RoadNetwork,
    fleet: Fleet,
    routes: Sequence[tuple[int, ...]],
    rules: Rules | None = None,
) -> Trace:
    """Drives ``routes``, one per vehicle, and keeps what happened.

    A vehicle whose route ends before its destination leaves the roads there.

    Args:
      network: where.
      fleet: who, when, and what a vehicle stands for.
      routes: links in order.
      rules: of the traffic; the network's own if not given.
    """
    rules = traffic.rules(network) if rules is None else rules
    roads, trips = traffic.roads(network, fleet.platoon, fleet.kappa), drive.trips(
        fleet, rules.time_step
    )  # fmt: skip
    padded = drive.pad([route or (-1,) for route in routes])
    extra = -padded.shape[1] % ROUTE_BLOCK
    padded = jnp.asarray(np.pad(padded, ((0, 0), (0, extra)), constant_values=-1))
    seconds = np.asarray(_seconds(roads, rules, trips, padded), np.float64)
    begun = fleet.departure + np.where(np.isfinite(seconds), seconds, 0.0)
    steps = int(np.ceil(begun.max() / rules.time_step)) + 1
    steps += -steps % STEP_BLOCK
    link, speed = _record(roads, rules, trips, padded, steps)
    link, speed = np.asarray(link), np.asarray(speed)
    last = int(np.flatnonzero((link >= 0).any(1)).max(initial=0)) + 1
    return Trace(link[:last], speed[:last], seconds, rules.time_step)


_seconds = jax.jit(drive.drive, static_argnums=1)


@functools.partial(jax.jit, static_argnums=(1, 4))
def _record(
    roads: Roads, rules: Rules, trips: Trips, routes: Int[Array, "N R"], steps: int
) -> tuple[Int[Array, "S N"], Float[Array, "S L"]]:
    def step(now: drive.OnRoute, _: None) -> Any:
        after, flow, on = drive.step(roads, rules, trips, routes, now)
        return after, (jnp.where(on, after.traffic.place, -1), flow.speed)

    return jax.lax.scan(step, drive.start(roads, rules, trips), None, length=steps)[1]
