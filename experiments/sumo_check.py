"""Do routes that are good in the model hold up in SUMO?

    python -m experiments.sumo_check --fleets hub3_n16_s0 hub3_n16_s1 --routes plans.json \
        --seeds 5 --json sumo.json

``plans.json`` holds the links of every vehicle, ``{fleet: {plan: [[link, ...], ...]}}``. Every
plan is compared with free-flow shortest routes in SUMO, under the same SUMO seeds.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.table

from leed_jax import files, statistics, versions
from leed_jax.road import fleets, shipped, sumo, sumo_compare
from leed_jax.road.sumo_compare import Comparison

Plans = dict[str, dict[str, list[list[int]]]]
"""By fleet and name: the links of every vehicle."""


def read_plans(path: Path) -> Plans:
    """The routes in a file.

    Raises:
      ValueError: it is not JSON of that layout; says where.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must be {{fleet: {{plan: [[link, ...], ...]}}}}")
    for fleet, plans in found.items():
        if not isinstance(plans, dict):
            raise ValueError(f"{path}: {fleet}: must be {{plan: [[link, ...], ...]}}")
        for plan, routes in plans.items():
            lists = isinstance(routes, list) and all(isinstance(route, list) for route in routes)
            if not lists or not all(type(link) is int for route in routes for link in route):
                raise ValueError(f"{path}: {fleet}: {plan}: must be one list of links per vehicle")
    return found


def summarise(rows: Iterable[Comparison]) -> dict[str, dict[str, Any]]:
    """Every plan's ratio to free flow in SUMO: mean over fleets, interval, worst fleet.

    The interval is the 95 % bootstrap over fleets; a fleet's ratio is its mean over SUMO seeds.
    """
    ratios: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.plan != sumo_compare.FREE_FLOW:
            ratios.setdefault(row.plan, {})[row.fleet] = float(np.mean(row.ratios))
    found = {}
    for plan, by_fleet in ratios.items():
        values = np.array(list(by_fleet.values()))
        low, high = statistics.bootstrap_interval(values, np.mean)
        worst = max(by_fleet, key=by_fleet.__getitem__)
        found[plan] = {
            "fleets": len(values),
            "ratio": float(np.mean(values)),
            "low": low,
            "high": high,
            "worst_fleet": worst,
            "worst_ratio": by_fleet[worst],
        }
    return found


def table(rows: Sequence[Comparison]) -> rich.table.Table:
    """One line per fleet and plan."""
    models = [f"model, kappa {kappa:g} \\[s]" for kappa in rows[0].model_seconds]
    shown = rich.table.Table(
        *(
            "fleet",
            "plan",
            "cars",
            *models,
            "SUMO \\[s]",
            "/ free flow",
            "not arrived",
            "teleports",
        ),
        caption="SUMO: mean over its seeds, [95 % bootstrap interval]; cars: per platoon; "
        "not arrived and teleports: all seeds together",
    )
    for row in rows:
        shown.add_row(
            row.fleet,
            row.plan,
            str(row.cars),
            *(f"{seconds:.1f}" for seconds in row.model_seconds.values()),
            _mean_and_interval(row.sumo_seconds, 1),
            _mean_and_interval(row.ratios, 3) if row.plan != sumo_compare.FREE_FLOW else "1",
            str(sum(row.not_arrived)),
            str(sum(row.teleports)),
        )
    return shown


def _mean_and_interval(values: tuple[float, ...], digits: int) -> str:
    low, high = statistics.bootstrap_interval(np.array(values), np.mean)
    return f"{np.mean(values):.{digits}f} \\[{low:.{digits}f}, {high:.{digits}f}]"


def words(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The summary in sentences."""
    return "\n".join(
        f"{plan}: {entry['ratio']:.3f} of free flow in SUMO (mean of {entry['fleets']} fleets, "
        f"95 % bootstrap interval {entry['low']:.3f} to {entry['high']:.3f}); worst: "
        f"{entry['worst_fleet']}, {entry['worst_ratio']:.3f}"
        for plan, entry in summary.items()
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.sumo_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", default="berlin_adlershof", help="a shipped network")
    parser.add_argument("--net-file", type=Path, help="its SUMO net, where the wheel has none")
    parser.add_argument("--fleets", nargs="+", required=True, help="its shipped fleets")
    parser.add_argument("--routes", type=Path, help="plans as JSON; without: free flow alone")
    parser.add_argument("--seeds", type=int, default=5, help="how many, 0, 1, ...; of SUMO")
    parser.add_argument(
        "--sumo-kappa", type=float, default=2.0, help="see road.sumo_compare.compare"
    )
    parser.add_argument("--end", type=float, default=7200.0, help="simulated seconds at most")
    parser.add_argument("--json", type=Path, help="where raw results go")
    return parser


def check(options: argparse.Namespace) -> tuple[list[Comparison], dict[str, Any]]:
    """Rows, and all of it as it is saved.

    Raises:
      ImportError: SUMO is not installed.
      ValueError: an unknown fleet or network, or routes that do not fit.
    """
    network = shipped.load(options.network)
    known = fleets.read_shipped(options.network)
    plans = read_plans(options.routes) if options.routes else {}
    for name in [*options.fleets, *plans]:
        if name not in known:
            raise ValueError(f"no fleet {name!r}; shipped: {', '.join(known) or 'none'}")
    rows = []
    for name in options.fleets:
        rows += sumo_compare.compare(
            network,
            known[name],
            plans.get(name, {}),
            seeds=range(options.seeds),
            sumo_kappa=options.sumo_kappa,
            net_file=options.net_file,
            end=options.end,
        )
        print(f"{name}: driven in SUMO", file=sys.stderr)
    return rows, {
        "network": options.network,
        "sumo_kappa": options.sumo_kappa,
        "seeds": list(range(options.seeds)),
        "end": options.end,
        "versions": {name: versions.installed(name) for name in ("leed_jax", "eclipse-sumo")},
        "rows": [dataclasses.asdict(row) for row in rows],
        "summary": summarise(rows),
    }


def main(arguments: list[str] | None = None) -> None:
    """Drives, prints the table and writes the raw results."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        rows, result = check(options)
    except (ImportError, OSError, ValueError, sumo.SumoError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    rich.console.Console().print(table(rows))
    print(words(result["summary"]))
    if options.json is not None:
        files.write(options.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
