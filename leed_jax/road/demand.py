"""Demand for networks that have none: a gravity model. It is synthetic, not observed."""

import numpy as np

from leed_jax.road import paths
from leed_jax.road.network import Demand, RoadNetwork


def gravity(network: RoadNetwork, zones: int, trips_per_hour: float, seed: int = 0) -> Demand:
    """Trips between some nodes: the more capacity at both ends and the nearer, the more trips.

    T(i, j) is proportional to C_i C_j exp(-t_ij / t), with C the capacity of the links at a node,
    t_ij the free-flow time and t its mean over all pairs. For ``network.replace(demand=...)``.

    Args:
      network: where nodes that may be passed become zones.
      zones: number of nodes with demand, drawn evenly.
      trips_per_hour: vehicles per hour, all together.
      seed: of the draw.

    Raises:
      ValueError: an argument out of range.
    """
    allowed = np.arange(network.num_nodes)
    if network.passable is not None:
        allowed = np.flatnonzero(network.passable)
    if not 2 <= zones <= len(allowed):
        raise ValueError(f"zones must be 2..{len(allowed)}, got {zones}")
    if not (np.isfinite(trips_per_hour) and trips_per_hour > 0):
        raise ValueError(f"trips_per_hour must be positive, got {trips_per_hour}")
    drawn = np.sort(np.random.default_rng(seed).choice(allowed, zones, replace=False))
    times = paths.time_from_node(network, drawn)[drawn]
    reached = np.isfinite(times) & ~np.eye(zones, dtype=bool)
    if not reached.any():
        raise ValueError(f"network {network.name}: no zone can be reached from another")
    ends = np.concatenate([network.tail, network.head])
    size = np.bincount(ends, np.tile(network.capacity, 2), network.num_nodes)[drawn]
    mean = times[reached].mean()
    pull = size[:, None] * size * np.exp(-np.where(reached, times, np.inf) / mean)
    origin, destination = np.nonzero(reached)
    weight = pull[reached]
    return Demand(
        origin=drawn[origin],
        destination=drawn[destination],
        trips=trips_per_hour * weight / weight.sum(),
    )
