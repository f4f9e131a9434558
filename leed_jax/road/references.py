"""What a fleet's travel time is measured against: five ways to route it, from worst to bound.

All times are simulated with `traffic`, mean seconds per vehicle from departure to arrival. Every
search is the same again with the same seed on the same machine. All functions raise a
``ValueError`` that names the vehicle if one cannot get where it wants to.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from leed_jax.road import assignments, best_response, local_search, paths
from leed_jax.road.assignments import Assignment, Route, RouteSets, Task
from leed_jax.road.best_response import Equilibrium
from leed_jax.road.fleets import Fleet
from leed_jax.road.navigation import navigate
from leed_jax.road.network import RoadNetwork

Congestion = Literal["bpr", "queue"]
ROUTES = 8
"""Fastest routes at free flow in a vehicle's set to begin with."""
TOLL_ROUNDS = 20
"""Of the rough equilibrium under tolls that the search also starts from."""
MOST_RESPONSE_ROUNDS, MOST_SEARCH_ROUNDS = 60, 400
"""For small fleets."""
USEFUL = 1.05
"""Least ff / so at which a score says something."""


@dataclass(frozen=True)
class References:
    """Mean seconds per vehicle of one fleet."""

    fleet: str
    vehicles: int
    lb: float
    """`lower_bound`: no assignment is faster."""
    so: float
    """`near_optimum`: the best assignment found, so an upper bound of the optimum."""
    ue: float
    """`equilibrium`: nobody gains by another route."""
    nav: float
    """`navigation`: the currently fastest way on at every node; inf if someone drives in circles.
    """
    ff: float
    """`free_flow`: everybody the route that is fastest on empty roads."""
    ue_settled: bool
    """Whether ``ue`` is an equilibrium, or only where best responses were stopped."""
    routes: dict[str, list[Route]]
    """Of every vehicle, by reference: so, ue, nav (as driven), ff."""

    @property
    def useful(self) -> bool:
        """Whether there is enough between free-flow routes and the best plan to be scored."""
        return self.ff / self.so >= USEFUL

    def score(self, seconds: float) -> float:
        """1 for the best plan known, 0 for free-flow routes; nan where these are equally good."""
        return (self.ff - seconds) / (self.ff - self.so) if self.ff > self.so else float("nan")

    def __str__(self) -> str:
        """A row of a table."""
        times = "  ".join(f"{name} {getattr(self, name):.1f}" for name in ("lb", "so", "ue"))
        settled = "" if self.ue_settled else "*"
        return (
            f"{self.fleet}  N {self.vehicles}  {times}{settled}  nav {self.nav:.1f}  "
            f"ff {self.ff:.1f}  ff/so {self.ff / self.so:.2f}  ue/so {self.ue / self.so:.3f}"
        )


def references(
    network: RoadNetwork,
    fleet: Fleet,
    *,
    rounds: int | None = None,
    seed: int = 0,
    congestion: Congestion = "bpr",
    progress: Callable[[str], None] | None = None,
) -> References:
    """All five for one fleet.

    Args:
      network: that the fleet drives on.
      fleet: who drives where and when.
      rounds: of `near_optimum`.
      seed: of the searches for ``ue`` and ``so``.
      congestion: the model of traffic.
      progress: is told what is found.

    Raises:
      ValueError: a vehicle has no route to its destination that passes no node twice.
    """
    tell = progress or _silence
    task = assignments.prepare(network, fleet, congestion)
    sets = RouteSets(task, ROUTES)
    ff = _free_flow(task, sets)
    nav = navigate(task)
    tell(f"free-flow {ff.mean_seconds:.2f} s, navigation {nav.mean_seconds:.2f} s")
    ue = _equilibrium(task, sets, ff, None, seed, tell)
    so = _near_optimum(task, sets, [ff, ue.assignment], rounds, seed, tell)
    found = {"so": so, "ue": ue.assignment, "nav": nav, "ff": ff}
    return References(
        fleet=fleet.name,
        vehicles=fleet.num_vehicles,
        lb=float(_lower_bound(task).mean()),
        so=so.mean_seconds,
        ue=ue.assignment.mean_seconds,
        nav=nav.mean_seconds,
        ff=ff.mean_seconds,
        ue_settled=ue.settled,
        routes={name: list(assignment.routes) for name, assignment in found.items()},
    )


def free_flow(network: RoadNetwork, fleet: Fleet, *, congestion: Congestion = "bpr") -> Assignment:
    """Everybody drives the route that is fastest on empty roads, one for each pair of nodes.

    Ties are not split: of equally fast routes all take the same, so where many share a pair it is
    worse than what drivers would do who know nothing but free-flow times.
    """
    task = assignments.prepare(network, fleet, congestion)
    return _free_flow(task, RouteSets(task, 1))


def navigation(network: RoadNetwork, fleet: Fleet, *, congestion: Congestion = "bpr") -> Assignment:
    """Everybody takes, at every node, the link that is the fastest way on at present.

    Present are the travel times of the step that has just ended, the same for all who decide in a
    step; nobody foresees anything, and all who are at a node with one destination go the same way.
    """
    return navigate(assignments.prepare(network, fleet, congestion))


def equilibrium(
    network: RoadNetwork,
    fleet: Fleet,
    *,
    rounds: int | None = None,
    seed: int = 0,
    congestion: Congestion = "bpr",
    progress: Callable[[str], None] | None = None,
) -> Equilibrium:
    """Nobody gains by another route: best responses, one vehicle at a time, from free-flow routes.

    A user equilibrium in pure strategies of the N vehicles, each of which knows what all others
    drive. "Nobody gains" is checked by driving every route of the vehicle's set: the fastest at
    free flow and those that were the fastest in some traffic on the way. There can be several
    equilibria, whose times differ by some percent, and best responses can go round in circles:
    then ``settled`` is False.

    Args:
      network: that the fleet drives on.
      fleet: who drives where and when.
      rounds: in which every vehicle responds once, at most; 60, fewer for more than 213 vehicles,
        unless given.
      seed: of the order in which they do.
      congestion: the model of traffic.
      progress: is told about every round.
    """
    task = assignments.prepare(network, fleet, congestion)
    sets = RouteSets(task, ROUTES)
    return _equilibrium(task, sets, _free_flow(task, sets), rounds, seed, progress or _silence)


def near_optimum(
    network: RoadNetwork,
    fleet: Fleet,
    *,
    rounds: int | None = None,
    seed: int = 0,
    congestion: Congestion = "bpr",
    progress: Callable[[str], None] | None = None,
) -> Assignment:
    """The least total time that a local search finds: an upper bound of the system optimum.

    Descents by exact changes of single vehicles from free-flow routes, from the equilibrium and
    from a rough equilibrium under marginal-cost tolls; then ``rounds`` more from the best one
    with a few routes changed at random. Vehicles drive routes that pass no node twice and do not
    wait; a plan with detours as delay might be better.

    Args:
      network: that the fleet drives on.
      fleet: who drives where and when.
      rounds: 400 for up to 32 vehicles, fewer for more, unless given.
      seed: of all draws.
      congestion: the model of traffic.
      progress: is told about every start and every improvement.
    """
    tell = progress or _silence
    task = assignments.prepare(network, fleet, congestion)
    sets = RouteSets(task, ROUTES)
    ff = _free_flow(task, sets)
    ue = _equilibrium(task, sets, ff, None, seed, tell)
    return _near_optimum(task, sets, [ff, ue.assignment], rounds, seed, tell)


def lower_bound(
    network: RoadNetwork, fleet: Fleet, *, congestion: Congestion = "bpr"
) -> Float[np.ndarray, "N"]:
    """Seconds of every vehicle on its fastest route if it were alone on the road.

    Its own platoon still counts on the links that it drives. Nobody is faster in any assignment,
    since others can only slow it down.
    """
    return _lower_bound(assignments.prepare(network, fleet, congestion))


def _free_flow(task: Task, sets: RouteSets) -> Assignment:
    return assignments.assign(task, [sets.of(v)[0] for v in range(task.fleet.num_vehicles)])


def _equilibrium(
    task: Task,
    sets: RouteSets,
    start: Assignment,
    rounds: int | None,
    seed: int,
    progress: Callable[[str], None],
) -> Equilibrium:
    return best_response.settle(
        task,
        sets,
        start,
        rounds=_rounds(task, MOST_RESPONSE_ROUNDS) if rounds is None else rounds,
        candidates=_candidates(task),
        draw=np.random.default_rng([seed, 0]),
        progress=progress,
    )


def _near_optimum(
    task: Task,
    sets: RouteSets,
    starts: list[Assignment],
    rounds: int | None,
    seed: int,
    progress: Callable[[str], None],
) -> Assignment:
    draw = np.random.default_rng([seed, 1])
    tolled = local_search.tolled(task, sets, starts[0], TOLL_ROUNDS, draw)
    return local_search.search(
        task,
        sets,
        [*starts, tolled],
        rounds=_rounds(task, MOST_SEARCH_ROUNDS) if rounds is None else rounds,
        candidates=_candidates(task),
        draw=draw,
        progress=progress,
    )


def _lower_bound(task: Task) -> Float[np.ndarray, "N"]:
    slowed = task.network.replace(free_flow_time=task.alone)
    return paths.time_from_node(slowed, task.zones)[task.fleet.origin, task.zone]


def _candidates(task: Task) -> int:
    """Routes per vehicle that are driven in a search: simulations of large fleets cost more."""
    return 8 if task.fleet.num_vehicles <= 128 else 4


def _rounds(task: Task, most: int) -> int:
    """So many that a search takes seconds for 16 vehicles and minutes for 512."""
    return max(10, min(most, 12_800 // task.fleet.num_vehicles))


def _silence(message: str) -> None:
    """Tells nobody."""
