"""The routes that trained teams and plans drive, for figures and for checks elsewhere.

    python -m experiments.road_routes --name berlin_s0 berlin_s1 --methods leed ippo plan \
        --json routes.json

writes ``{fleet: {name: [[link, ...], ...]}}``, one list of links per vehicle, which
``experiments.sumo_check`` and ``experiments.road_loads`` read. ``plan`` is the plan behind a run's
demonstrations.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from leed_jax import checkpoint, demonstrations, episodes, execution, files, rendering, scenarios
from leed_jax.environments import road as environment
from leed_jax.environments.road import RoadEnvironment
from leed_jax.environments.road_settings import RoadSettings
from leed_jax.road import fleets, references, shipped
from leed_jax.road.assignments import Assignment, Route
from leed_jax.types import Policy

PLAN = "plan"
"""Name of the plan behind the demonstrations."""

REFERENCES: Mapping[str, Callable[..., Assignment]] = {
    "ff": references.free_flow,
    "nav": references.navigation,
    "so": references.near_optimum,
}


def driven_routes(env: RoadEnvironment, policy: Policy) -> list[Route]:
    """The links that every vehicle takes from the scored start.

    A vehicle that has not arrived at the time limit goes on by the fastest way at free flow, so
    that every route leads to its destination.

    Args:
      env: with the fleet's own trips; no departure is shifted.
      policy: of the team; a stochastic one is drawn once.
    """

    def place_after(state: Any, time_step: Any, memory: Any, action: Any) -> Any:
        return env.move(state, action)[0].traffic.place

    key = jax.random.key(0)
    played = jax.jit(
        lambda key: episodes.run_one(env.array_env.scored, policy, key, record=place_after)
    )(key)
    places = np.asarray(played.record)[: int(played.length)]
    return [_to_the_end(env, vehicle, places[:, vehicle]) for vehicle in range(places.shape[1])]


def _to_the_end(env: RoadEnvironment, vehicle: int, places: np.ndarray) -> Route:
    """A vehicle's links, from its place after every step, and those that are missing."""
    network = env.network
    # A link never follows itself: every change of place is an entry.
    changed = np.flatnonzero(np.diff(places, prepend=-1))
    route = [int(place) for place in places[changed] if place < network.num_links]
    goal = int(env.fleet.destination[vehicle])
    zone = int(np.searchsorted(np.asarray(env.tables.zones), goal))
    fastest = np.asarray(env.tables.fastest)[:, zone]
    place = route[-1] if route else network.num_links + int(env.fleet.origin[vehicle])
    while not route or network.head[place] != goal:
        place = int(fastest[place])
        route.append(place)
    return tuple(route)


def environment_of(options: Mapping[str, Any], name: str) -> RoadEnvironment:
    """The environment of a scenario ``road/<network>``.

    Args:
      options: all of the scenario's, as in its ``options`` and in ``summary.json``.
      name: of the scenario.

    Raises:
      ValueError: not a scenario of that kind, or an option out of range.
    """
    family, _, network_name = name.partition("/")
    if family != "road":
        raise ValueError(f"scenario must be road/<network>, got {name!r}")
    network = shipped.load(network_name)
    of_fleet = {key: options[key] for key in ("demand", "window", "seed", "kappa")}
    kind = options["kind"]
    fleet = fleets.make(network, kind, options["num_agents"], **of_fleet)
    of_settings = {key: options[key] for key in RoadSettings.__dataclass_fields__}
    seconds = None
    if options["congestion"] == "bpr":
        seconds = fleets.known_references(network, fleet)
    return environment.make(network, fleet, RoadSettings(**of_settings), kind=kind, seconds=seconds)


def of_run(folder: Path, methods: Sequence[str]) -> tuple[RoadEnvironment, dict[str, list[Route]]]:
    """The environment of a results folder, and the routes of the best seed of every method.

    Args:
      folder: ``results/<name>``.
      methods: trained there, or ``plan``.

    Raises:
      FileNotFoundError: no such folder, or no such method in it.
      ValueError: not a run of a road scenario with trips of its own.
    """
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    name, options = summary["scenario"]["name"], summary["scenario"]["options"]
    env = environment_of(options, name)
    if env.settings.trips != "fixed":
        raise ValueError(f"{folder}: trips must be fixed: others have no routes of their own")
    found = {}
    for method in methods:
        if method == PLAN:
            plan = rendering.plan_of(demonstrations.load(folder / "demonstrations.npz"))
            scenario = scenarios.make(name, **options)
            policy = execution.as_policy(execution.make_expert(scenario, plan))
        else:
            result = checkpoint.load_result(folder / "checkpoints" / method)
            result.spec.require(env.array_env.spec, f"{folder}, {method}")
            policy = result.policy()
        found[method] = driven_routes(env, policy)
    return env, found


def of_reference(env: RoadEnvironment, name: str) -> list[Route]:
    """Routes to compare with; the search for ``so`` takes minutes for hundreds of vehicles.

    Args:
      env: network, fleet and model of traffic.
      name: ``ff`` (free flow), ``nav`` (navigation) or ``so`` (the best plan that is found).
    """
    found = REFERENCES[name](env.network, env.fleet, congestion=env.settings.congestion)
    return list(found.routes)


def main(arguments: list[str] | None = None) -> None:
    """Drives the teams and writes their routes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.road_routes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--name", nargs="+", required=True, help="runs, folders of --results; a fleet each")
    add("--results", type=Path, default=Path("results"), help="(default: %(default)s)")
    add("--methods", nargs="+", default=["leed", "ippo"], help="trained ones, and plan")
    add("--references", nargs="*", default=[], choices=sorted(REFERENCES), help="to be added")
    add("--json", type=Path, required=True, help="where the routes go")
    options = parser.parse_args(arguments)
    plans: dict[str, dict[str, list[Route]]] = {}
    try:
        for name in options.name:
            env, found = of_run(options.results / name, options.methods)
            found |= {reference: of_reference(env, reference) for reference in options.references}
            if env.fleet.name in plans:
                raise ValueError(f"name: two runs have the fleet {env.fleet.name}")
            plans[env.fleet.name] = found
            print(f"{name}: {env.fleet.name}: {', '.join(found)}")
    except (OSError, KeyError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    files.write(options.json, json.dumps(plans) + "\n")


if __name__ == "__main__":
    main()
