"""Drivers who all obey one planner: local search on the fleet's total time."""

from collections.abc import Callable

import numpy as np

from leed_jax.road import assignments, conditions
from leed_jax.road.assignments import Assignment, RouteSets, Task
from leed_jax.road.conditions import Conditions

TOLERANCE = 1e-3
"""Mean seconds; what gains less is rounding."""
NOTICEABLE = 0.01
"""Seconds; a vehicle whose time changes by more is tried again."""
SHAKEN = (2, 4)
"""Vehicles that change their routes at random before a descent, least and most."""


def search(
    task: Task,
    sets: RouteSets,
    starts: list[Assignment],
    *,
    rounds: int,
    candidates: int,
    draw: np.random.Generator,
    progress: Callable[[str], None],
) -> Assignment:
    """The best local optimum reached from the starts and from shaking the best one.

    Iterated local search (Lourenco, Martin and Stuetzle 2003): in every round a few vehicles of
    the best assignment change to random routes of their sets, and the descent begins again from
    there. Before that the sets get every vehicle's fastest and cheapest route (with tolls) in the
    traffic of the best, whenever it is a new one.

    Args:
      task: the fleet on its network.
      sets: to choose from; grow.
      starts: at least one.
      rounds: descents after those from the starts.
      candidates: routes of a set that are driven for one vehicle, the best by the estimate.
      draw: of order and changes.
      progress: is told about every start and every new best.
    """
    everyone = set(range(task.fleet.num_vehicles))
    found = []
    for start in starts:
        found.append(descend(task, sets, start, everyone, candidates, draw))
        reached = f"{start.mean_seconds:.2f} s to {found[-1].mean_seconds:.2f} s"
        progress(f"optimum, start {len(found)} of {len(starts)}: {reached}")
    best = min(found, key=lambda assignment: assignment.mean_seconds)
    enriched = None
    for number in range(1, rounds + 1):
        if enriched is not best:
            begin, awake, enriched = best, everyone, best
            now = conditions.record(task, best.routes)
            for toll in (0.0, task.rules.power):
                conditions.enrich(task, sets, now, toll)
        else:
            begin = _shaken(task, sets, best, draw)
            awake = _affected(best, begin)
        reached = descend(task, sets, begin, awake, candidates, draw)
        if reached.mean_seconds < best.mean_seconds - TOLERANCE:
            best = reached
            progress(f"optimum, round {number} of {rounds}: {best.mean_seconds:.2f} s")
    return best


def descend(
    task: Task,
    sets: RouteSets,
    now: Assignment,
    awake: set[int],
    candidates: int,
    draw: np.random.Generator,
) -> Assignment:
    """Where no tried change of a single vehicle's route shortens the total time.

    Vehicles change in random order, each to the route that is best for all. Those in ``awake``
    are tried, and those whose time has changed since they were.
    """
    awake = set(awake)
    while awake:
        found = conditions.record(task, now.routes)
        for vehicle in draw.permutation(sorted(awake)).tolist():
            awake.discard(vehicle)
            after = _improved(task, sets, found, now, vehicle, candidates)
            awake |= _affected(now, after)
            now = after
    return now


def tolled(
    task: Task, sets: RouteSets, start: Assignment, rounds: int, draw: np.random.Generator
) -> Assignment:
    """A rough equilibrium under marginal-cost tolls, the best of the rounds.

    Successive averages: in round k a share 1 / (k + 1) of all vehicles, drawn at random, change
    to the route that is estimated to be the cheapest for all (`conditions.cheapest_route`).
    """
    best, now = start, start
    for number in range(1, rounds + 1):
        found = conditions.record(task, now.routes)
        conditions.enrich(task, sets, found, task.rules.power)
        routes = list(now.routes)
        for vehicle in np.flatnonzero(draw.random(len(routes)) < 1 / (number + 1)).tolist():
            options = sets.of(vehicle)
            cost = conditions.travel_costs(task, found, vehicle, options, task.rules.power)
            routes[vehicle] = options[int(cost.argmin())]
        now = assignments.assign(task, routes)
        best = now if now.mean_seconds < best.mean_seconds else best
    return best


def _improved(
    task: Task,
    sets: RouteSets,
    found: Conditions,
    now: Assignment,
    vehicle: int,
    candidates: int,
) -> Assignment:
    """After a vehicle's change to the route that is best for all; ``now`` if that is its own."""
    options = [route for route in sets.of(vehicle) if route != now.routes[vehicle]]
    if not options:
        return now
    if len(options) > candidates:
        cost = conditions.travel_costs(task, found, vehicle, options, task.rules.power)
        options = [options[index] for index in np.argsort(cost, kind="stable")[:candidates]]
    seconds = assignments.deviations(task, now.routes, [(vehicle, route) for route in options])
    best = int(seconds.mean(axis=1).argmin())
    if seconds[best].mean() >= now.mean_seconds - TOLERANCE:
        return now
    return now.changed(vehicle, options[best], seconds[best])


def _shaken(task: Task, sets: RouteSets, now: Assignment, draw: np.random.Generator) -> Assignment:
    """A few vehicles on random routes of their sets."""
    count = min(int(draw.integers(*SHAKEN, endpoint=True)), len(now.routes))
    routes = now.routes
    for vehicle in draw.choice(len(routes), count, replace=False).tolist():
        options = sets.of(vehicle)
        route = options[int(draw.integers(len(options)))]
        routes = assignments.with_route(routes, vehicle, route)
    return assignments.assign(task, routes)


def _affected(before: Assignment, after: Assignment) -> set[int]:
    """Vehicles whose time differs."""
    differ = np.abs(after.seconds - before.seconds) > NOTICEABLE
    return set(np.flatnonzero(differ).tolist())
