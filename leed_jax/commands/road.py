"""``leed road``: networks there are, and reference solutions."""

import argparse
import difflib
import json
import sys
from pathlib import Path
from typing import Any

from leed_jax import files
from leed_jax.commands.tables import print_table
from leed_jax.road import fetch, fleets, shipped
from leed_jax.road.network import RoadNetwork

MEANS = ("lb", "so", "ue", "nav", "ff")
"""Mean seconds per vehicle: lower bound, near-optimum, equilibrium, navigation, free flow."""

_DEFAULT = f"default: ${fetch.FOLDER_VARIABLE}, else ~/.cache/leed_jax/tntp"


def add(commands: Any) -> None:
    """Adds the command and its own ones to a parser's."""
    road = commands.add_parser("road", help="road networks and reference solutions")
    road.set_defaults(parser=road)
    actions = road.add_subparsers(metavar="COMMAND")

    listing = actions.add_parser("list", help="road networks there are")
    listing.add_argument("--folder", type=Path, help=f"of fetched ones; {_DEFAULT}")
    listing.set_defaults(action=_list)

    fetching = actions.add_parser("fetch", help="download a network that may not be shipped")
    fetching.add_argument("name", help=f"one of {', '.join(fetch.manifest()['networks'])}")
    fetching.add_argument("--folder", type=Path, help=f"where to put it; {_DEFAULT}")
    fetching.add_argument(
        "--from", dest="url", help="a mirror or a folder with a copy (default: GitHub)"
    )
    fetching.set_defaults(action=_fetch)

    reference = actions.add_parser(
        "reference",
        help="what a fleet takes at free-flow, navigated, in equilibrium and near the optimum",
        description="Mean seconds per vehicle of reference solutions: lb (everybody alone on the "
        "road, a bound), so (best found for all together), ue (nobody gains by changing alone), "
        "nav (always the currently fastest route), ff (fastest routes of empty roads).",
    )
    add_option = reference.add_argument
    add_option("network", help="from `leed road list`, or a folder with its CSV files")
    add_option(
        "--kind", default="hub3", help="of fleet: table, pairs<k>, hub<k> (default: %(default)s)"
    )
    add_option("--num-agents", type=int, default=16, help="vehicles (default: %(default)s)")
    add_option(
        "--demand", type=float, default=64.0, help="real vehicles they are (default: %(default)g)"
    )
    add_option(
        "--window", type=float, default=60.0, help="s, all depart in it (default: %(default)g)"
    )
    add_option("--seed", type=int, nargs="+", default=[0], help="a fleet for each (default: 0)")
    add_option(
        "--kappa", type=float, default=1.0, help="times all capacities (default: %(default)g)"
    )
    add_option("--folder", type=Path, help=f"of fetched networks; {_DEFAULT}")
    add_option("--json", type=Path, help="file for the results")
    reference.set_defaults(action=_reference)


def _list(options: argparse.Namespace) -> None:
    rows = [("network", "nodes", "links", "trips/h", "how", "source and licence")]
    for name in shipped.SHIPPED:
        network = shipped.load(name)
        trips = f"{network.demand.trips.sum():,.0f}"
        counts = str(network.num_nodes), str(network.num_links), trips
        rows.append((name, *counts, "shipped", network.attribution))
    folder = options.folder or fetch.default_folder()
    for name, facts in fetch.manifest()["networks"].items():
        counts = str(facts["nodes"]), str(facts["links"]), f"{facts['trips']:,.0f}"
        how = "fetched" if (folder / name).is_dir() else "to fetch"
        rows.append((name, *counts, how, "TransportationNetworks: academic research only"))
    print_table(rows, left=(0, 4, 5))


def _fetch(options: argparse.Namespace) -> None:
    place = fetch.fetch(options.name, options.folder, options.url)
    print(fetch.notice(options.name), file=sys.stderr)
    print(place)


def _reference(options: argparse.Namespace) -> None:
    from leed_jax.road.references import references

    network = _network(options.network, options.folder)
    rows: list[tuple[str, ...]] = [("seed", *MEANS, "ff/so", "ue/so")]
    results: list[dict[str, Any]] = []
    settled = True
    for number, seed in enumerate(options.seed, 1):
        fleet = fleets.make(
            network,
            options.kind,
            options.num_agents,
            demand=options.demand,
            window=options.window,
            seed=seed,
            kappa=options.kappa,
        )
        print(f"{network.name} {fleet.name} ({number}/{len(options.seed)})", file=sys.stderr)
        found = references(network, fleet)
        means = {key: float(getattr(found, key)) for key in MEANS}
        settled &= bool(found.ue_settled)
        mark = "" if found.ue_settled else "*"
        cells = [f"{means[key]:.1f}{mark if key == 'ue' else ''}" for key in MEANS]
        shares = [f"{means[key] / means['so']:.3f}" for key in ("ff", "ue")]
        rows.append((str(seed), *cells, *shares))
        results.append(
            {
                "network": network.name,
                "fleet": fleet.name,
                "seed": seed,
                "demand": fleet.demand,
                "window_s": fleet.window,
                "kappa": fleet.kappa,
                "mean_seconds": means,
                "ue_settled": bool(found.ue_settled),
            }
        )
    print_table(rows, left=())
    if not settled:
        print("* had not settled: not an equilibrium")
    if options.json is not None:
        files.write(options.json, json.dumps(results, indent=1) + "\n")


def _network(name: str, folder: Path | None) -> RoadNetwork:
    """A shipped network, a fetched one, or one from a folder of CSV files."""
    if name in shipped.SHIPPED:
        return shipped.load(name)
    to_fetch = fetch.manifest()["networks"]
    if name in to_fetch:
        return fetch.load_tntp(name, folder)
    if Path(name).is_dir():
        return shipped.read_folder(Path(name), Path(name).resolve().name)
    known = [*shipped.SHIPPED, *to_fetch]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"no network and no folder {name!r}; there are {', '.join(known)}{hint}")
