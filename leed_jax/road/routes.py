"""Routes worth offering to a vehicle: the fastest ones that are not all alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from leed_jax.road import paths
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

COUNT = 5
"""Routes per pair of origin and destination, at most."""
MAX_OVERLAP = 0.7
"""Share of a route's time that it may have in common with a faster one of the list."""
SEARCHED = (15, 30, 60)
"""Fastest routes among which the list is looked for, more only where it is not full: it mostly is
after 15, and the time of the search grows faster than their number."""

Route = tuple[int, ...]
"""Links, in order."""


class Choices(NamedTuple):
    """What a fleet can choose from."""

    pairs: dict[tuple[int, int], list[Route]]
    """By origin and destination, fastest first."""
    seconds: Float[np.ndarray, "L K"]
    """Travel time of a link with 1, 2, ... K vehicles of the fleet on it."""

    def of(self, fleet: Fleet) -> list[list[Route]]:
        """The routes of every vehicle."""
        ends = zip(fleet.origin.tolist(), fleet.destination.tolist(), strict=True)
        return [self.pairs[pair] for pair in ends]

    def corridor(self) -> Int[np.ndarray, "C"]:
        """Links of all these routes."""
        found = {link for routes in self.pairs.values() for route in routes for link in route}
        return np.array(sorted(found))


def choices(network: RoadNetwork, fleet: Fleet, most: int = 4) -> Choices:
    """Routes by the time that a vehicle alone takes, its own platoon's congestion included.

    The k-th route of a pair is the next fastest (simple, turns observed) that shares at most
    `MAX_OVERLAP` of its time with each of the k - 1 before it; at most `COUNT`, fewer where the
    last number of `SEARCHED` fastest hold no more.

    Args:
      network: where.
      fleet: who.
      most: K, vehicles up to which travel times are tabulated.
    """
    seconds = link_seconds(network, fleet, most)
    alone = network.replace(free_flow_time=seconds[:, 0])
    pairs = {}
    ends = zip(fleet.origin.tolist(), fleet.destination.tolist(), strict=True)
    for origin, destination in sorted(set(ends)):
        kept: list[Route] = []
        for searched in SEARCHED:
            found = paths.shortest_routes(alone, origin, destination, searched)
            kept = _unlike(found, seconds[:, 0])
            if len(kept) == COUNT or len(found) < searched:
                break
        pairs[origin, destination] = kept
    return Choices(pairs, seconds)


def link_seconds(network: RoadNetwork, fleet: Fleet, most: int) -> Float[np.ndarray, "L K"]:
    """Travel time of every link with 1, 2, ... ``most`` vehicles on it all the way."""
    relative = fleet.platoon * 3600 / (fleet.kappa * network.capacity * network.free_flow_time)
    x = relative[:, None] * np.arange(1, most + 1)
    slowed = 1 + network.coefficient[:, None] * x**network.power
    return network.free_flow_time[:, None] * np.minimum(slowed, 1 / network.min_speed)


def _unlike(found: Sequence[Route], seconds: Float[np.ndarray, "L"]) -> list[Route]:
    """The first `COUNT` routes that share little with those before them."""
    kept: list[Route] = []
    for route in found:
        if all(_overlap(route, other, seconds) <= MAX_OVERLAP for other in kept):
            kept.append(route)
            if len(kept) == COUNT:
                break
    return kept


def _overlap(route: Route, other: Sequence[int], seconds: Float[np.ndarray, "L"]) -> float:
    common = sorted(set(route) & set(other))
    return float(seconds[common].sum() / seconds[list(route)].sum())
