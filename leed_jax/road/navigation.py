"""Drivers who follow a navigation system that knows the present speeds and nothing else."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.road import drive, traffic
from leed_jax.road.assignments import Assignment, Task
from leed_jax.road.traffic import Roads, Rules, Traffic

BLOCK = 64
"""Steps that are driven at a time: one program, however long a fleet is on the road."""


def present_times(
    roads: Roads, rules: Rules, now: Traffic, speed: Float[Array, "L"]
) -> Float[Array, "L"]:
    """Seconds that every link takes at the beginning of a step.

    Args:
      roads: the network.
      rules: the step's length and the curve.
      now: where all vehicles are.
      speed: share of free flow at which the links were driven in the step before; not used with
        queues, where it is the time that a vehicle would take that enters now.
    """
    if rules.congestion == "queue":
        begins = now.step.astype(jnp.float32) * rules.time_step
        return jnp.maximum(roads.free_flow_time, now.last_exit + roads.headway - begins)
    return roads.free_flow_time / speed


def time_to_go(
    roads: Roads, times: Float[Array, "L"], ends: Bool[Array, "L Z"]
) -> Float[Array, "L Z"]:
    """Seconds from entering a link to each of Z destinations if times stay; inf: no way.

    Bellman and Ford's sweeps over the turns that are allowed.

    Args:
      roads: the network.
      times: of the links.
      ends: whether a link ends at the destination.
    """
    links = ends.shape[0]
    turns = roads.next_link[:links]
    last = jnp.where(ends, times[:, None], jnp.inf)

    def goes_on(carry: tuple[Array, Array]) -> Array:
        before, now = carry
        return (now < before).any()

    def sweep(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        _, now = carry
        onward = jnp.where((turns >= 0)[:, :, None], now[turns], jnp.inf).min(1)
        return now, jnp.minimum(last, times[:, None] + onward)

    return jax.lax.while_loop(goes_on, sweep, (jnp.full_like(last, jnp.inf), last))[1]


def navigate(task: Task) -> Assignment:
    """The fleet when everyone takes the link that is the fastest way on at present.

    All who are at a node in a step decide at the same time and from the same times, those of the
    step before (`present_times`), whatever the others decide. Of equally fast links: the first
    one of the node.
    """
    ends = jnp.asarray(task.network.head[:, None] == task.zones)
    zone = jnp.asarray(task.zone, jnp.int32)
    speed = jnp.ones_like(task.roads.free_flow_time)
    carry = traffic.start(task.roads, task.rules, task.trips.origin), speed
    routes: list[list[int]] = [[] for _ in task.zone]
    under_way = True
    while under_way and int(carry[0].step) < drive.MAX_STEPS:
        carry, chosen = _drive_on(task.roads, task.rules, task.trips, ends, zone, carry)
        chosen = np.asarray(chosen)
        for step, vehicle in zip(*np.nonzero(chosen >= 0), strict=True):
            routes[vehicle].append(int(chosen[step, vehicle]))
        under_way = np.asarray(carry[0].arrival).min() < 0
    arrival = np.asarray(carry[0].arrival, np.float64)
    departure = np.asarray(task.trips.departure) * task.rules.time_step
    seconds = np.where(arrival >= 0, arrival - departure, np.inf)
    return Assignment(tuple(tuple(route) for route in routes), seconds)


@partial(jax.jit, static_argnames="rules")
def _drive_on(
    roads: Roads,
    rules: Rules,
    trips: drive.Trips,
    ends: Bool[Array, "L Z"],
    zone: Int[Array, "N"],
    carry: tuple[Traffic, Float[Array, "L"]],
) -> tuple[tuple[Traffic, Float[Array, "L"]], Int[Array, "K N"]]:
    """K steps in which those at a node go the currently fastest way; links taken, -1: none."""

    def step(
        carry: tuple[Traffic, Float[Array, "L"]], _: None
    ) -> tuple[tuple[Traffic, Float[Array, "L"]], Int[Array, "N"]]:
        now, speed = carry
        togo = time_to_go(roads, present_times(roads, rules, now, speed), ends)
        options = roads.next_link[now.place]
        onward = jnp.where(options >= 0, togo[options, zone[:, None]], jnp.inf)
        best = jnp.argmin(onward, axis=1)
        chosen = jnp.take_along_axis(options, best[:, None], axis=1)[:, 0]
        after, flow = traffic.advance(roads, rules, now, chosen, trips.departure, trips.destination)
        deciding = traffic.deciding(now, trips.departure)
        return (after, flow.speed), jnp.where(deciding, chosen, -1)

    return jax.lax.scan(step, carry, None, length=BLOCK)
