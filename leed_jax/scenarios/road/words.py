"""The road task in words: roads, routes and vehicles for the prompt, and what became of a plan."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from leed_jax.environments.road import RoadEnvironment
from leed_jax.instructions import Choice, Command, Number, Vocabulary
from leed_jax.quoting import named, quoted
from leed_jax.road import routes, trace
from leed_jax.road.fleets import Fleet
from leed_jax.road.routes import Choices
from leed_jax.road.trace import Trace
from leed_jax.scenarios import EVERYONE

MAX_INSTRUCTIONS = 40
SHOWN_LINKS = 10
"""Congested roads that feedback lists."""
SHOWN_MEETINGS = 3
"""Roads per vehicle on which feedback tells whom it met."""


class Names:
    """What intersections and roads are called in prompts and answers."""

    def __init__(self, env: RoadEnvironment) -> None:
        self.places, self.roads = list(env.network.nodes), list(env.network.link_names)
        # In texts; a network of one's own may call them anything.
        self.nodes, self.links = ([named(n) for n in own] for own in (self.places, self.roads))

    def route(self, env: RoadEnvironment, route: Sequence[int]) -> list[str]:
        """The intersections of a route, its start first."""
        network = env.network
        return [self.nodes[network.tail[route[0]]], *(self.nodes[network.head[i]] for i in route)]


def vocabulary(
    agents: tuple[str, ...],
    names: Names,
    nodes: Int[np.ndarray, "M"],
    avoidable: Sequence[int],
    horizon: int,
) -> Vocabulary:
    """What a vehicle can be told."""
    places = tuple(names.places[node] for node in nodes)
    roads = tuple(names.roads[link] for link in avoidable)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "MoveTo",
                "drive to an intersection, by the fastest way if it is not the next one; finished "
                "on arriving there. List the intersections to pass in order, without the start; "
                "after the last one the vehicle drives to its destination the fastest way",
                (
                    Choice(
                        "intersection",
                        places,
                        f'as in {{"command": "MoveTo", "intersection": {quoted(places[0])}}}',
                        shown=f"the name of an intersection above, such as {quoted(places[0])}",
                    ),
                ),
            ),
            Command(
                "AvoidLink",
                "drive to the destination by the fastest way for free roads that does not use the "
                "given road; never finished",
                (
                    Choice(
                        "road",
                        roads,
                        f'which road, as in {{"command": "AvoidLink", "road": {quoted(roads[0])}}}',
                    ),
                ),
            ),
            Command(
                "FollowRoute",
                "drive to the destination by one of the listed routes of this vehicle's start and "
                "destination; never finished",
                (
                    Number(
                        "route",
                        low=1,
                        high=routes.COUNT,
                        resolution=1,
                        meaning="its number in the list; above the last number, the last route",
                    ),
                ),
            ),
        ),
        conditions=(),
        horizon=horizon,
        max_instructions=MAX_INSTRUCTIONS,
        timed=False,
    )


def task(env: RoadEnvironment, choices: Choices, names: Names, group: Sequence[int]) -> str:
    """The task and the roads that matter, for the vehicles of ``group``."""
    fleet = env.fleet
    count, most = fleet.num_vehicles, choices.seconds.shape[1]
    shape = ", ".join(str(number) for number in range(1, most + 1))
    return f"""\
{count} vehicles drive through a road network at the same time, each from its own start to its own \
destination. Choose their routes so that the mean travel time per vehicle is as small as possible.

Each vehicle stands for a platoon of {fleet.platoon:g} cars that drive as one. All vehicles that \
are on a road at the same time drive at the same speed, and the more they are, the slower all of \
them are, those that were there before included. There is no waiting: at an intersection a vehicle \
takes the next road at once, and it cannot turn back. Departure times are fixed. A vehicle that \
has arrived leaves the roads.

The team's score is minus the mean travel time per vehicle, in seconds from departure to arrival.

Intersections have names. Roads, as from>to, with the seconds to drive it if there are {shape} \
vehicles on it all the time:
{_roads(choices, names, group, fleet)}"""


def _roads(choices: Choices, names: Names, group: Sequence[int], fleet: Fleet) -> str:
    pairs = _pairs(fleet, group)
    links = {link for pair in pairs for route in choices.pairs[pair] for link in route}
    return "\n".join(
        f"{names.links[link]} " + " ".join(f"{seconds:.0f}" for seconds in choices.seconds[link])
        for link in sorted(links)
    )


def _pairs(fleet: Fleet, group: Sequence[int]) -> list[tuple[int, int]]:
    return sorted({(int(fleet.origin[i]), int(fleet.destination[i])) for i in group})


def describe(env: RoadEnvironment, choices: Choices, names: Names, group: Sequence[int]) -> str:
    """Routes by pair of start and destination, and the vehicles of ``group``."""
    fleet = env.fleet
    lines = [
        "Routes: for every start and destination the fastest ones for a vehicle alone on the "
        "roads; intersection@seconds says when it is there, counted from its departure."
    ]
    for origin, destination in _pairs(fleet, group):
        lines.append(f"{names.nodes[origin]} to {names.nodes[destination]}:")
        for number, route in enumerate(choices.pairs[origin, destination], 1):
            clock = np.cumsum(choices.seconds[list(route), 0])
            passed = names.route(env, route)
            steps = [f"{n}@{t:.0f}" for n, t in zip(passed[1:], clock, strict=True)]
            lines.append(f"{number}. {passed[0]} {' '.join(steps)}")
    lines.append("Vehicles, with their departures:")
    lines += [
        f"vehicle_{i}: {names.nodes[fleet.origin[i]]} to {names.nodes[fleet.destination[i]]} "
        f"at {fleet.departure[i]:.0f} s"
        for i in group
    ]
    others = [i for i in range(fleet.num_vehicles) if i not in set(group)]
    if others:
        lines.append(
            f"{len(others)} other vehicles are given their routes at the same time, by others who "
            "see the same kind of list."
        )
    seen = trace.trace(env.network, fleet, [first for first, *_ in choices.of(fleet)], env.rules)
    lines.append(
        f"If every vehicle followed its route 1, the mean travel time would be "
        f"{seen.seconds.mean():.0f} s. {_worst_roads(names, seen, _lost(env, choices, seen))}"
    )
    return "\n".join(lines)


ADVICE = """\
Find the roads on which several vehicles would be at the same time (departure plus the seconds of \
the route), and spread the vehicles over other routes so that few are slowed down; check the roads \
of the new routes in the same way. Vehicles that use the same road at different times do not \
disturb each other. A detour is worth it where it costs less than the congestion it avoids, for \
all vehicles together."""

GOALS = {
    "learnable": f"""\
Your plan is executed to produce demonstrations. One small policy per vehicle is then trained to \
do what its vehicle did; every fixed route can be learnt. In the demonstrations departures vary by \
a few seconds. {ADVICE}""",
    "return": f"Make the mean travel time as small as you can. {ADVICE}",
}

PLAN_REQUEST = "Write one plan for these vehicles; every episode has the same vehicles."


def feedback(
    env: RoadEnvironment, choices: Choices, names: Names, driven: Sequence[Sequence[int]]
) -> dict[str, str]:
    """Per vehicle how long it took, where it lost time and with whom; the worst roads for all.

    Args:
      env: the environment.
      choices: routes of the fleet, and seconds of a vehicle alone.
      names: of intersections and roads.
      driven: the links that every vehicle took.
    """
    fleet = env.fleet
    seen = trace.trace(env.network, fleet, [tuple(route) for route in driven], env.rules)
    lost = _lost(env, choices, seen)
    own = choices.of(fleet)
    said = {EVERYONE: _worst_roads(names, seen, lost)}
    for i in range(fleet.num_vehicles):
        best = choices.seconds[list(own[i][0]), 0].sum()
        if np.isfinite(seen.seconds[i]):
            text = f"took {seen.seconds[i]:.0f} s (alone on its route 1: {best:.0f} s)"
        else:
            text = f"had not arrived at the time limit, {env.horizon * seen.step:.0f} s"
        said[f"vehicle_{i}"] = text + _meetings(names, seen.link, lost, i)
    return said


def _lost(env: RoadEnvironment, choices: Choices, seen: Trace) -> Float[np.ndarray, "S N"]:
    """Seconds of every step that a vehicle loses to others on the same link."""
    alone = env.network.free_flow_time / choices.seconds[:, 0]
    slowed = 1 - seen.speed / alone
    mine = slowed[np.arange(len(seen.link))[:, None], seen.link]
    return np.where(seen.link >= 0, seen.step * mine, 0.0)


def _worst_roads(names: Names, seen: Trace, lost: Float[np.ndarray, "S N"]) -> str:
    """The roads on which most time was lost, with their users."""
    links = seen.speed.shape[1]
    on = seen.link >= 0
    total = np.bincount(seen.link[on], lost[on], minlength=links)
    most = seen.count.max(0)
    lines = [
        f"All vehicles together lost {round(total.sum())} s to others on the same road; most on:"
    ]
    for link in np.argsort(-total, kind="stable")[:SHOWN_LINKS]:
        if total[link] < 1:
            break
        users = []
        for vehicle in np.flatnonzero((seen.link == link).any(0)):
            times = np.flatnonzero(seen.link[:, vehicle] == link) * seen.step
            users.append(f"vehicle_{vehicle} ({times[0]:.0f}-{times[-1] + seen.step:.0f} s)")
        lines.append(
            f"- {names.links[link]}: {total[link]:.0f} s lost, up to {most[link]} at once; used by "
            + ", ".join(users)
        )
    return "\n".join(lines)


def _meetings(
    names: Names, link: Int[np.ndarray, "S N"], lost: Float[np.ndarray, "S N"], vehicle: int
) -> str:
    """Where a vehicle lost most time, and who was on the same road then."""
    mine = link[:, vehicle]
    used = np.unique(mine[mine >= 0])
    cost = {int(road): lost[mine == road, vehicle].sum() for road in used}
    worst = sorted((road for road in used if cost[road] >= 1), key=lambda road: -cost[road])
    parts = []
    for road in worst[:SHOWN_MEETINGS]:
        together = (link[mine == road] == road).any(0)
        others = [f"vehicle_{other}" for other in np.flatnonzero(together) if other != vehicle]
        parts.append(f"{cost[road]:.0f} s on {names.links[road]} with {', '.join(others)}")
    return f"; lost {'; '.join(parts)}" if parts else "; lost nothing to others"
