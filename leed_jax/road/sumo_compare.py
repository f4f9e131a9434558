"""Plans in the model beside the same plans in SUMO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax.road import drive as model
from leed_jax.road import paths, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork
from leed_jax.road.sumo import Routes, cars_per_platoon, drive

FREE_FLOW = "free_flow"
"""The plan of `compare` to which the others are related."""
KAPPAS = (1.0, 2.0)
"""Factors on the capacities under which `compare` asks the model, besides ``sumo_kappa``."""


@dataclass(frozen=True)
class Comparison:
    """A plan in the model and in SUMO, for the same number of cars."""

    fleet: str
    plan: str
    cars: int
    """Per platoon."""
    model_seconds: Mapping[float, float]
    """Mean per car in the model by kappa, a platoon standing for `cars` cars."""
    sumo_seconds: tuple[float, ...]
    """Mean per car for every SUMO seed."""
    not_arrived: tuple[int, ...]
    """Cars, for every SUMO seed; they count with the time until the simulation's end."""
    teleports: tuple[int, ...]
    """For every SUMO seed."""
    ratios: tuple[float, ...]
    """`sumo_seconds` over those of the free-flow plan under the same SUMO seed."""


def compare(
    network: RoadNetwork,
    fleet: Fleet,
    plans: Mapping[str, Routes],
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    sumo_kappa: float = 2.0,
    net_file: Path | None = None,
    end: float = 7200.0,
) -> list[Comparison]:
    """Plans in the model and in SUMO, and all of them against free-flow shortest routes.

    At kappa 1 the model overstates congestion at least twofold on networks from SUMO or
    OpenStreetMap; kappa 2 is nearer (and still too much for 16 platoons within a minute). Only
    platoon / kappa matters to the model: a fleet with platoons of 4 at kappa 1 is the same task as
    one with platoons of 8 at kappa 2, so in SUMO it is compared with platoons of 8 cars:
    platoon * sumo_kappa / fleet.kappa, rounded. ``model_seconds[sumo_kappa]`` is therefore what
    the task itself says (but for the rounding).

    Args:
      network: made from a SUMO net.
      fleet: who departs where and when.
      plans: routes of all vehicles by name. Free-flow shortest routes are always added, as
        `FREE_FLOW`.
      seeds: of SUMO.
      sumo_kappa: the factor on capacities at which the model is taken to be right.
      net_file: see `drive`.
      end: see `drive`.

    Returns:
      One row per plan, free flow first.

    Raises:
      ImportError: SUMO is not installed.
      ValueError: an argument that cannot be.
      SumoError: SUMO failed.
    """
    if FREE_FLOW in plans:
        raise ValueError(f"no plan may be called {FREE_FLOW}: those routes are always added")
    plans = {FREE_FLOW: free_flow_routes(network, fleet), **plans}
    cars = cars_per_platoon(fleet, sumo_kappa)
    times = {
        name: drive(
            network,
            fleet,
            routes,
            seeds=seeds,
            net_file=net_file,
            end=end,
            vehicles_per_platoon=cars,
        )
        for name, routes in plans.items()
    }
    expected = {
        kappa: _model_seconds(network, fleet, plans, cars, kappa)
        for kappa in sorted({*KAPPAS, float(sumo_kappa)})
    }
    free = times[FREE_FLOW].mean_seconds
    return [
        Comparison(
            fleet=fleet.name,
            plan=name,
            cars=cars,
            model_seconds={kappa: means[row] for kappa, means in expected.items()},
            sumo_seconds=tuple(found.mean_seconds.tolist()),
            not_arrived=tuple(found.not_arrived.tolist()),
            teleports=tuple(found.teleports.tolist()),
            ratios=tuple((found.mean_seconds / free).tolist()),
        )
        for row, (name, found) in enumerate(times.items())
    ]


def free_flow_routes(network: RoadNetwork, fleet: Fleet) -> list[tuple[int, ...]]:
    """The fastest route of every vehicle on empty roads."""
    pairs = list(zip(fleet.origin.tolist(), fleet.destination.tolist(), strict=True))
    best = {pair: paths.shortest_routes(network, *pair, 1)[0] for pair in set(pairs)}
    return [best[pair] for pair in pairs]


def _model_seconds(
    network: RoadNetwork, fleet: Fleet, plans: Mapping[str, Routes], platoon: float, kappa: float
) -> list[float]:
    """Mean seconds of every plan."""
    routes = model.pad([tuple(route) for plan in plans.values() for route in plan])
    seconds = _drive_all(
        traffic.roads(network, platoon, kappa),
        traffic.rules(network),
        model.trips(fleet, network.time_step),
        jax.numpy.asarray(routes.reshape(len(plans), fleet.num_vehicles, -1)),
    )
    return np.asarray(seconds).mean(axis=1).tolist()


@jax.jit(static_argnums=1)
def _drive_all(
    roads: traffic.Roads, rules: traffic.Rules, trips: model.Trips, routes: Int[Array, "P N R"]
) -> Float[Array, "P N"]:
    return jax.vmap(lambda plan: model.drive(roads, rules, trips, plan))(routes)
