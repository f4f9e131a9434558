"""Selfish drivers: every vehicle in turn changes to its best route until none gains."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from leed_jax.road import assignments, conditions
from leed_jax.road.assignments import Assignment, Route, RouteSets, Task
from leed_jax.road.conditions import Conditions

TOLERANCE = 0.01
"""Seconds; who gains less stays."""


class Equilibrium(NamedTuple):
    """Where best responses came to."""

    assignment: Assignment
    settled: bool
    """Whether nobody gains by changing to another route of the sets."""


def settle(
    task: Task,
    sets: RouteSets,
    now: Assignment,
    *,
    rounds: int,
    candidates: int,
    draw: np.random.Generator,
    progress: Callable[[str], None],
) -> Equilibrium:
    """Best responses from ``now``, one vehicle at a time in random order.

    At the beginning of a round every set gets the route that is fastest in the present traffic.
    A vehicle changes to the route of its set with which it arrives earliest, all others' routes
    given. It ends when no vehicle has changed in a round in which all routes were tried.

    Args:
      task: the fleet on its network.
      sets: to choose from; grow.
      now: to begin with.
      rounds: at most.
      candidates: routes of a set that are driven, the best by the estimate first; when a round
        changes nothing, the next one tries all.
      draw: of the order.
      progress: is told about every round.
    """
    limit: int | None = candidates
    for number in range(1, rounds + 1):
        found = conditions.record(task, now.routes)
        conditions.enrich(task, sets, found, toll=0.0)
        changes = 0
        for vehicle in draw.permutation(len(now.routes)).tolist():
            options = _promising(task, sets, found, now, vehicle, limit)
            if not options:
                continue
            seconds = assignments.deviations(task, now.routes, [(vehicle, r) for r in options])
            best = int(seconds[:, vehicle].argmin())
            if seconds[best, vehicle] < now.seconds[vehicle] - TOLERANCE:
                now = now.changed(vehicle, options[best], seconds[best])
                changes += 1
        progress(f"equilibrium, round {number}: {changes} changes, {now.mean_seconds:.2f} s")
        if not changes and limit is None:
            return Equilibrium(now, True)
        limit = candidates if changes else None
    return Equilibrium(now, False)


def _promising(
    task: Task,
    sets: RouteSets,
    found: Conditions,
    now: Assignment,
    vehicle: int,
    limit: int | None,
) -> list[Route]:
    """Other routes that could be faster for a vehicle, at most ``limit``, the best estimates.

    Nothing can be gained on a route that takes longer alone on the road than the present one
    takes in traffic.
    """
    within = now.seconds[vehicle] - TOLERANCE
    options = [
        route
        for route in sets.of(vehicle)
        if route != now.routes[vehicle] and task.alone[list(route)].sum() < within
    ]
    if limit is None or len(options) <= limit:
        return options
    cost = conditions.travel_costs(task, found, vehicle, options, toll=0.0)
    return [options[index] for index in np.argsort(cost, kind="stable")[:limit]]
