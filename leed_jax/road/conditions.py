"""What a vehicle would find on the roads while a fleet drives, and its fastest routes through it.

These times are estimates, a first sorting of routes: a vehicle that changes its route changes the
traffic, and that is left out. What counts is always driven (`assignments.deviations`).
"""

import heapq
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax.road import assignments, drive, traffic
from leed_jax.road.assignments import Route, RouteSets, Task
from leed_jax.road.traffic import Roads, Rules, Traffic

BLOCK = 64
"""Steps that are driven at a time: one program, however long a fleet is on the road."""


class Conditions(NamedTuple):
    """Every link at every time."""

    time_step: float
    """Seconds."""
    seconds: Float[np.ndarray, "L S"]
    """That a link takes if entered at the beginning of a step; free flow in the last column."""


def record(task: Task, routes: Sequence[Route]) -> Conditions:
    """The roads while all vehicles drive their routes."""
    plan = jnp.asarray(assignments.table(routes))
    carry = traffic.start(task.roads, task.rules, task.trips.origin), jnp.zeros_like(plan[:, 0])
    blocks = []
    while not blocks or np.asarray(carry[0].arrival).min() < 0:
        carry, block = _drive_on(task.roads, task.rules, task.trips, plan, carry)
        blocks.append(np.asarray(block, float))
    state = np.concatenate(blocks).T
    free, step = task.network.free_flow_time, task.rules.time_step
    if task.rules.congestion == "queue":
        headway = np.asarray(task.roads.headway, float)[:, None]
        begins = step * np.arange(state.shape[1])
        seconds = np.maximum(free[:, None], state + headway - begins)
    else:
        seconds = _times_at_speeds(state, free, step)
    return Conditions(step, np.concatenate([seconds, free[:, None]], axis=1))


def travel_costs(
    task: Task, conditions: Conditions, vehicle: int, routes: Sequence[Route], toll: float
) -> Float[np.ndarray, "Q"]:
    """Estimated seconds, toll included (`cheapest_route`), of a vehicle on each of Q routes."""
    free, times = task.network.free_flow_time, conditions.seconds
    time = np.full(len(routes), float(task.trips.departure[vehicle]) * conditions.time_step)
    cost = np.zeros(len(routes))
    for link in assignments.table(routes).T:
        column = np.minimum(_columns(time, conditions), times.shape[1] - 1)
        taken = np.where(link >= 0, times[link, column], 0.0)
        time = time + taken
        cost = cost + taken + toll * np.where(link >= 0, taken - free[link], 0.0)
    return cost


def cheapest_route(task: Task, conditions: Conditions, vehicle: int, toll: float) -> Route:
    """The estimated cheapest route of a vehicle: A* with the free-flow time to go.

    Cost of a link: its seconds, plus ``toll`` times its delay against free flow. Without toll it
    is the fastest route. What a vehicle costs the others on a BPR link is power times its own
    delay (Pigou's toll: n dtau/dn = p (tau - t0)), so with ``toll = power`` it is roughly the
    route that costs all together least.
    """
    free, head = task.network.free_flow_time, task.network.head
    destination, zone = int(task.fleet.destination[vehicle]), int(task.zone[vehicle])
    start = task.network.num_links + int(task.fleet.origin[vehicle])
    departure = float(task.trips.departure[vehicle]) * conditions.time_step
    last, arrived = conditions.seconds.shape[1] - 1, task.network.num_links
    # Estimated cost of the whole route, cost and time on entering a link, the link, the one before.
    queue = [(float(task.togo[link, zone]), 0.0, departure, link, -1) for link in task.turns[start]]
    heapq.heapify(queue)
    before: dict[int, int] = {}
    while arrived not in before:
        _, cost, time, link, previous = heapq.heappop(queue)
        if link in before:
            continue
        before[link] = previous
        if link == arrived:
            break
        column = min(math.ceil(time / conditions.time_step - traffic.TOLERANCE), last)
        taken = float(conditions.seconds[link, column])
        time, cost = time + taken, cost + taken + toll * (taken - float(free[link]))
        if head[link] == destination:
            heapq.heappush(queue, (cost, cost, time, arrived, link))
            continue
        for onward in task.turns[link]:
            if onward not in before:
                whole = cost + float(task.togo[onward, zone])
                heapq.heappush(queue, (whole, cost, time, onward, link))
    route = [before[arrived]]
    while before[route[-1]] >= 0:
        route.append(before[route[-1]])
    return tuple(reversed(route))


def enrich(task: Task, sets: RouteSets, conditions: Conditions, toll: float) -> None:
    """Adds every vehicle's cheapest route in this traffic to its set."""
    for vehicle in range(task.fleet.num_vehicles):
        sets.add(vehicle, cheapest_route(task, conditions, vehicle, toll))


def _columns(time: Float[np.ndarray, "Q"], conditions: Conditions) -> Int[np.ndarray, "Q"]:
    """The step in which one who reaches a link at a time drives on it."""
    # The step's speed holds for what is left of the one before, too: credit.
    return np.ceil(time / conditions.time_step - traffic.TOLERANCE).astype(int)


@partial(jax.jit, static_argnames="rules")
def _drive_on(
    roads: Roads,
    rules: Rules,
    trips: drive.Trips,
    plan: Int[Array, "N R"],
    carry: tuple[Traffic, Int[Array, "N"]],
) -> tuple[tuple[Traffic, Int[Array, "N"]], Float[Array, "K L"]]:
    """K steps on routes. Of every step the speeds in it; with queues the last exits before."""

    def step(
        carry: tuple[Traffic, Int[Array, "N"]], _: None
    ) -> tuple[tuple[Traffic, Int[Array, "N"]], Float[Array, "L"]]:
        now, pointer = carry
        deciding = traffic.deciding(now, trips.departure)
        chosen = jnp.take_along_axis(plan, pointer[:, None], axis=1)[:, 0]
        after, flow = traffic.advance(roads, rules, now, chosen, trips.departure, trips.destination)
        state = now.last_exit if rules.congestion == "queue" else flow.speed
        return (after, pointer + deciding.astype(jnp.int32)), state

    return jax.lax.scan(step, carry, None, length=BLOCK)


def _times_at_speeds(
    speed: Float[np.ndarray, "L S"], free: Float[np.ndarray, "L"], step: float
) -> Float[np.ndarray, "L S"]:
    """Seconds to the end of a link for who enters it when a step begins."""
    times = step * np.arange(speed.shape[1] + 1)
    seconds = np.empty_like(speed)
    for link, whole in enumerate(free):
        # What one who never leaves the link drives until each time, in seconds of free flow;
        # behind the last step the road is free.
        driven = np.concatenate([[0.0], np.cumsum(step * speed[link])])
        known = [*driven, driven[-1] + whole], [*times, times[-1] + whole]
        seconds[link] = np.interp(driven[:-1] + whole, *known) - times[:-1]
    return seconds
