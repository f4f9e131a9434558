"""Routes driven in SUMO, a microscopic simulator with lanes and signals, as a check of the model.

Needs the extra ``road``: ``pip install "leed_jax[road]"``. SUMO runs as a program of its own,
without display or network; what it reads and writes lies in a temporary folder.

Every platoon becomes a number of cars that enter at the platoon's departure time, one behind
another as SUMO finds room for them, on the lane that suits their route. The time of a car counts
from that moment, so the wait for room is part of it. Cars that have not arrived when the
simulation ends count with the time until then, and are reported.

A car that has stood still for 300 s is lifted over the next edge ("teleport", SUMO's default).
Without that, crossings can lock up and stay locked until the simulation ends, whatever the routes;
with it such jams cost at least 300 s to those who stand first. Teleports are reported.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from leed_jax.road import paths
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

Routes = Sequence[Sequence[int]]
"""Links in order, one sequence per vehicle."""

NETS: Mapping[str, tuple[str, str]] = {
    "berlin_adlershof": (
        "tools/game/DRT/osm.net.xml",
        "dcc30bd0cb98d30ac04f12f49d62bfcb91e056f632aea9c505f1b5a0dccef638",
    )
}
"""Networks whose SUMO net lies in the wheel of eclipse-sumo: where, and its sha256."""

SECONDS_TO_TELEPORT = 300


class SumoError(RuntimeError):
    """SUMO refused what it was given, crashed, or took too long."""


class SumoTimes(NamedTuple):
    """A fleet on its routes in SUMO, once per seed."""

    seeds: tuple[int, ...]
    """Of SUMO's random numbers (drivers' imperfections and speeds)."""
    cars: int
    """Per platoon."""
    seconds: Float[np.ndarray, "S N"]
    """Mean over a platoon's cars, from its departure to arrival or the simulation's end."""
    not_arrived: Int[np.ndarray, "S"]
    """Cars that were not at their destination at the end, those that never got in included."""
    not_entered: Int[np.ndarray, "S"]
    """Cars for which there was never room on their first edge."""
    teleports: Int[np.ndarray, "S"]

    @property
    def mean_seconds(self) -> Float[np.ndarray, "S"]:
        """Over all cars."""
        return self.seconds.mean(axis=1)


def drive(
    network: RoadNetwork,
    fleet: Fleet,
    routes: Routes,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    net_file: Path | None = None,
    end: float = 7200.0,
    vehicles_per_platoon: int | None = None,
    timeout: float = 600.0,
) -> SumoTimes:
    """Travel times in SUMO.

    Args:
      network: made from a SUMO net (``sumo_edges``).
      fleet: who departs where and when.
      routes: links of every vehicle, from its origin to its destination.
      seeds: of SUMO, one simulation each.
      net_file: the SUMO net; by default the one in eclipse-sumo's wheel from which a shipped
        network was made, if its checksum is right.
      end: seconds on the fleet's clock at which a simulation ends.
      vehicles_per_platoon: cars; by default the fleet's platoon size, rounded.
      timeout: seconds of real time that a simulation may take.

    Raises:
      ImportError: SUMO is not installed.
      ValueError: an argument that cannot be; names vehicle and link.
      SumoError: SUMO failed; carries its message.
    """
    if not seeds or min(seeds) < 0:
        raise ValueError(f"seeds must be one or more numbers from 0 on, got {tuple(seeds)}")
    if end <= fleet.departure.max():
        raise ValueError(
            f"end must come after the last departure, {fleet.departure.max():g} s, got {end:g}"
        )
    if vehicles_per_platoon is None:
        cars = cars_per_platoon(fleet, fleet.kappa)
    elif vehicles_per_platoon >= 1:
        cars = vehicles_per_platoon
    else:
        raise ValueError(f"vehicles_per_platoon must be at least 1, got {vehicles_per_platoon}")
    check_routes(network, fleet, routes)
    program = _program()
    net_file = _shipped_net(network, program) if net_file is None else net_file
    seconds, counts = [], []
    with tempfile.TemporaryDirectory(prefix="leed_jax-sumo-") as name:
        folder = Path(name)
        write_routes(folder / "routes.xml", network, fleet, routes, cars)
        for seed in seeds:
            try:
                _run(program, folder, net_file, seed, end, timeout)
            except SumoError as error:
                raise SumoError(_with_link(str(error), network, routes)) from None
            times, *missing = read_trips(folder / "trips.xml", fleet, cars, end)
            seconds.append(times)
            counts.append([*missing, _teleports(folder / "statistics.xml")])
    return SumoTimes(tuple(seeds), cars, np.stack(seconds), *np.array(counts).T)


def cars_per_platoon(fleet: Fleet, sumo_kappa: float = 2.0) -> int:
    """Cars in SUMO for a platoon of a task that is right at ``sumo_kappa`` (`sumo_compare`).

    Raises:
      ValueError: that is less than half a car.
    """
    cars = round(fleet.platoon * sumo_kappa / fleet.kappa)
    if cars < 1:
        raise ValueError(
            f"fleet {fleet.name}: platoon {fleet.platoon:g} * sumo_kappa {sumo_kappa:g} / kappa "
            f"{fleet.kappa:g} must be at least half a car"
        )
    return cars


def check_routes(network: RoadNetwork, fleet: Fleet, routes: Routes) -> None:
    """Raises ``ValueError``, naming vehicle and link, if routes do not serve the fleet."""
    if not network.sumo_edges:
        raise ValueError(f"network {network.name} was not made from a SUMO net: no sumo_edges")
    if len(routes) != fleet.num_vehicles:
        raise ValueError(f"routes must be {fleet.num_vehicles}, one per vehicle, got {len(routes)}")
    names, follows = network.link_names, paths.next_links(network)
    for vehicle, route in enumerate(routes):
        what = f"fleet {fleet.name}: vehicle {vehicle}"
        destination = fleet.destination[vehicle]
        place, node = network.num_links + fleet.origin[vehicle], fleet.origin[vehicle]
        for link in route:
            if node == destination:
                raise ValueError(f"{what}: its route goes on to link {link} from the destination")
            if link < 0 or link not in follows[place]:
                raise ValueError(
                    f"{what}: link {link} must not follow here; allowed at node "
                    f"{network.nodes[node]}: {[int(x) for x in follows[place] if x >= 0]}"
                )
            place, node = link, network.head[link]
        if node != destination:
            last = f"link {place} ({names[place]})" if len(route) else "no link"
            raise ValueError(
                f"{what}: its route ends with {last}, not at node {network.nodes[destination]}"
            )


def write_routes(path: Path, network: RoadNetwork, fleet: Fleet, routes: Routes, cars: int) -> None:
    """SUMO's route file: ``vehicle_3.0`` is the first car of platoon 3."""
    root = ET.Element("routes")
    for vehicle in np.argsort(fleet.departure, kind="stable"):
        route = f"vehicle_{vehicle}"
        edges = " ".join(edge for link in routes[vehicle] for edge in network.sumo_edges[link])
        ET.SubElement(root, "route", id=route, edges=edges)
        for car in range(cars):
            ET.SubElement(
                root,
                "vehicle",
                id=f"{route}.{car}",
                route=route,
                depart=f"{fleet.departure[vehicle]:.2f}",
                departLane="best",
                departSpeed="max",
            )
    ET.ElementTree(root).write(path, encoding="utf-8")


def read_trips(
    path: Path, fleet: Fleet, cars: int, end: float
) -> tuple[Float[np.ndarray, "N"], int, int]:
    """Mean seconds of every platoon, cars not arrived, and those of them that never entered.

    SUMO writes a row for every car that entered (``arrival`` is negative if it was still under
    way), and none for those that never did.
    """
    found = {row.get("id"): row.attrib for row in ET.parse(path).iter("tripinfo")}
    seconds = np.repeat(end - fleet.departure, cars).reshape(-1, cars)
    arrived = 0
    for vehicle in range(fleet.num_vehicles):
        for car in range(cars):
            row = found.get(f"vehicle_{vehicle}.{car}")
            if row is not None and float(row["arrival"]) >= 0:
                seconds[vehicle, car] = float(row["duration"]) + float(row["departDelay"])
                arrived += 1
    return seconds.mean(axis=1), seconds.size - arrived, seconds.size - len(found)


def _teleports(path: Path) -> int:
    row = ET.parse(path).find("teleports")
    if row is None:
        raise SumoError(f"{path.name}: SUMO wrote no number of teleports")
    return int(row.attrib["total"])


def _program() -> Path:
    """SUMO in the wheel of eclipse-sumo, which is found without importing it."""
    spec = importlib.util.find_spec("sumo")
    for place in (spec and spec.submodule_search_locations) or ():
        found = shutil.which("sumo", path=str(Path(place) / "bin"))
        if found is not None:
            return Path(found)
    raise ImportError('SUMO is not installed: pip install "leed_jax[road]"')


def _shipped_net(network: RoadNetwork, program: Path) -> Path:
    if network.name not in NETS:
        raise ValueError(f"net_file must be given, except for {', '.join(NETS)}")
    place, checksum = NETS[network.name]
    path = program.parents[1] / place
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != checksum:
        raise ValueError(
            f"{path} is not the SUMO net that {network.name} was made from: sha256 must be "
            f"{checksum}, got {found}; install eclipse-sumo 1.28 or give net_file"
        )
    return path


def _run(
    program: Path, folder: Path, net_file: Path, seed: int, end: float, timeout: float
) -> None:
    """One simulation of the routes in ``folder``."""
    options = {
        "net-file": net_file.resolve(),
        "route-files": "routes.xml",
        "tripinfo-output": "trips.xml",
        "tripinfo-output.write-unfinished": "true",
        "statistic-output": "statistics.xml",
        "seed": seed,
        "end": end,
        "time-to-teleport": SECONDS_TO_TELEPORT,
        "collision.action": "warn",  # the default would be to teleport
        "xml-validation": "never",  # it would look for schemas on the network
        "no-warnings": "true",
        "no-step-log": "true",
        "duration-log.disable": "true",
    }
    home = program.parents[1]
    projections = str(home / "data" / "proj")
    settings = {"SUMO_HOME": str(home), "PROJ_LIB": projections, "PROJ_DATA": projections}
    try:
        done = subprocess.run(
            [program, *(f"--{name}={value}" for name, value in options.items())],
            cwd=folder,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SumoError(f"SUMO took more than {timeout:g} s") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[-2000:]
        raise SumoError(f"SUMO ended with status {done.returncode}: {said}")


def _with_link(message: str, network: RoadNetwork, routes: Routes) -> str:
    """SUMO's message, with vehicle and link in front where it is about a route."""
    vehicle = re.search(r"vehicle_(\d+)", message)
    edges = re.findall(r"edge '([^']*)'", message)
    if vehicle is None or not edges:
        return message
    number = int(vehicle[1])
    for link in routes[number]:
        if edges[-1] in network.sumo_edges[link]:
            return f"vehicle {number}: link {link} ({network.link_names[link]}): {message}"
    return f"vehicle {number}: {message}"
