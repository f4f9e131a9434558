"""Where a fleet drives under different plans: maps of the load of every link, side by side.

    python -m experiments.road_loads --name berlin_s0 --methods leed ippo --figure loads.png
    python -m experiments.road_loads --network berlin_adlershof --fleet hub3_n16_s0 \
        --routes routes.json --figure loads.png --json loads.json

Beside free flow, navigation and the best plan found stand the teams of a results folder (their
best seeds), or the plans in a file of routes (``experiments.road_routes``).
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments import results, road_routes, sumo_check
from leed_jax import files
from leed_jax.environments import road as environment
from leed_jax.environments.road import RoadEnvironment
from leed_jax.road import fleets, shipped, trace
from leed_jax.road.assignments import Route
from leed_jax.scenarios.road import drawing

LABELS = {"ff": "free flow", "nav": "navigation", "so": "best plan found", "plan": "plan"}
BARS = {
    "peak_occupancy": "most vehicles at once, relative to the road at capacity",
    "vehicle_seconds": "time that all vehicles spend on the road together [s]",
}
"""What can be shown, and the words at the colour bar."""
QUANTILE = 0.98
"""Of the loads of all used links in all panels: the darkest colour. Few jams dwarf all others."""
MAX_COLUMNS = 3
PANEL_INCHES = 3.6
ROW_INCHES = 0.5
"""Of a row's titles."""
BAR_INCHES = 0.9


class Load(NamedTuple):
    """What the links carry while a fleet drives given routes."""

    seconds: float
    """Mean travel time per vehicle; inf where one does not arrive."""
    score: float
    """0 for free flow, 1 for the best plan; nan where these are not known or equally good."""
    peak_occupancy: Float[np.ndarray, "L"]
    """Most vehicles at once, relative to what is on the link at capacity (x of the cost curve)."""
    vehicle_seconds: Float[np.ndarray, "L"]
    """Time that all vehicles spend on the link together, in whole steps."""


def of_routes(env: RoadEnvironment, plans: Mapping[str, Sequence[Route]]) -> dict[str, Load]:
    """The load of every plan.

    Scores are relative to the fleet's known references, else to the plans ``ff`` and ``so``.

    Args:
      env: network, fleet and model of traffic.
      plans: by name, links of every vehicle.
    """
    seen = {
        name: trace.trace(env.network, env.fleet, list(map(tuple, routes)), env.rules)
        for name, routes in plans.items()
    }
    means = {name: float(found.seconds.mean()) for name, found in seen.items()}
    slow, fast = ({**means, **env.seconds}.get(name, math.nan) for name in ("ff", "so"))
    apart = slow - fast if slow > fast else math.nan
    per_vehicle = np.asarray(env.tables.roads.occupancy, float)
    return {
        name: Load(
            seconds=means[name],
            score=(slow - means[name]) / apart,
            peak_occupancy=found.count.max(0) * per_vehicle,
            vehicle_seconds=found.count.sum(0) * found.step,
        )
        for name, found in seen.items()
    }


def figure(env: RoadEnvironment, loads: Mapping[str, Load], what: str = "peak_occupancy") -> Figure:
    """Maps side by side, all on one colour scale.

    Args:
      env: network and fleet.
      loads: from `of_routes`.
      what: a key of `BARS`.
    """
    values = {name: getattr(load, what) for name, load in loads.items()}
    used = np.concatenate([value[value > 0] for value in values.values()])
    full = float(np.quantile(used, QUANTILE))
    columns = min(len(loads), MAX_COLUMNS)
    rows = math.ceil(len(loads) / columns)
    width, height = PANEL_INCHES * columns, (PANEL_INCHES + ROW_INCHES) * rows + BAR_INCHES
    drawn = Figure(figsize=(width, height), dpi=130)
    drawn.set_layout_engine("constrained")
    panels = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, load) in zip(panels, loads.items(), strict=False):
        lines = drawing.roads(axes, env.network, values[name], full=full)
        drawing.destinations(axes, env.network, env.fleet.destination)
        drawing.small_print(axes, env.network.attribution)
        label = LABELS.get(name) or results.label(name)
        score = "" if math.isnan(load.score) else f", score {load.score:.2f}"
        late = "not all arrive" if math.isinf(load.seconds) else f"{load.seconds:.1f} s{score}"
        axes.set_title(f"{label}\n{late}", fontsize=10)
    for unused in panels[len(loads) :]:
        unused.set_axis_off()
    bar = drawn.colorbar(
        lines, ax=list(panels), location="bottom", extend="max", shrink=0.6, aspect=40, pad=0.02
    )
    bar.ax.set_xlim(0, full)
    bar.set_label(BARS[what], fontsize=9)
    fleet = env.fleet
    drawn.suptitle(
        f"{env.network.name}, {fleet.name}: {fleet.num_vehicles} vehicles, "
        f"{fleet.demand:g} cars; mean travel time per vehicle"
    )
    return drawn


def as_json(env: RoadEnvironment, loads: Mapping[str, Load]) -> dict[str, Any]:
    """Loads by plan, with the names of the links."""
    return {
        "network": env.network.name,
        "fleet": env.fleet.name,
        "links": list(env.network.link_names),
        "plans": {
            name: {
                "mean_seconds": load.seconds if math.isfinite(load.seconds) else None,
                "score": load.score if math.isfinite(load.score) else None,
                "peak_occupancy": np.round(load.peak_occupancy, 4).tolist(),
                "vehicle_seconds": np.round(load.vehicle_seconds, 2).tolist(),
            }
            for name, load in loads.items()
        },
    }


def collect(options: argparse.Namespace) -> tuple[RoadEnvironment, dict[str, Sequence[Route]]]:
    """The environment and all plans that the command line asks for.

    Raises:
      FileNotFoundError: a run, a method or a file is missing.
      ValueError: an unknown network or fleet, or routes that are none.
    """
    found: dict[str, Sequence[Route]] = {}
    if options.name is not None:
        env, driven = road_routes.of_run(options.results / options.name, options.methods)
        found |= driven
    else:
        network = shipped.load(options.network)
        known = fleets.read_shipped(options.network)
        if options.fleet not in known:
            raise ValueError(f"no fleet {options.fleet!r}; shipped: {', '.join(known) or 'none'}")
        fleet = known[options.fleet]
        seconds = fleets.known_references(network, fleet)
        env = environment.make(network, fleet, seconds=seconds)
    if options.routes is not None:
        plans = sumo_check.read_plans(options.routes).get(env.fleet.name, {})
        found |= {name: [tuple(route) for route in plan] for name, plan in plans.items()}
    for name, routes in found.items():
        if len(routes) != env.fleet.num_vehicles:
            raise ValueError(
                f"{name}: must have {env.fleet.num_vehicles} routes, one per vehicle, got "
                f"{len(routes)}"
            )
    plans = dict(found)
    for name in options.references:
        print(f"{env.fleet.name}: {LABELS[name]}", file=sys.stderr)
        plans[name] = plans.get(name) or road_routes.of_reference(env, name)
    # From the worst to the best that is known, the teams and plans between them.
    order = {"ff": 0, "nav": 1, "so": 3}
    return env, dict(sorted(plans.items(), key=lambda item: order.get(item[0], 2)))


def main(arguments: list[str] | None = None) -> None:
    """Draws the figure and writes the loads."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.road_loads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--results", type=Path, default=Path("results"), help="(default: %(default)s)")
    add("--methods", nargs="+", default=["leed"], help="of the run, and plan (default: leed)")
    add("--network", default="berlin_adlershof", help="of --fleet (default: %(default)s)")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--name", help="a run, a folder of --results")
    which.add_argument("--fleet", help="a shipped fleet of --network")
    add("--routes", type=Path, help="further plans as JSON, {fleet: {plan: [[link, ...], ...]}}")
    names = list(road_routes.REFERENCES)
    add("--references", nargs="*", default=names, choices=names, help="(default: all)")
    add("--load", default="peak_occupancy", choices=list(BARS), help="(default: %(default)s)")
    add("--figure", type=Path, required=True, help="a PNG file")
    add("--json", type=Path, help="where the loads go")
    options = parser.parse_args(arguments)
    try:
        env, plans = collect(options)
    except (OSError, KeyError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    loads = of_routes(env, plans)
    with files.whole(options.figure) as partial, partial.open("wb") as file:
        FigureCanvasAgg(figure(env, loads, options.load)).print_png(file)
    if options.json is not None:
        files.write(options.json, json.dumps(as_json(env, loads), indent=1) + "\n")
    for name, load in loads.items():
        print(f"{name}: {load.seconds:.2f} s, score {load.score:.3f}")


if __name__ == "__main__":
    main()
