"""Traffic once more, to check against: plain loops over vehicles in float64.

Written from the description of the model, not from `leed_jax.road.traffic`; slow and simple. And
what both can be tried on: random walks over a network.
"""

import heapq
from collections.abc import Sequence

import numpy as np

from leed_jax.road import paths
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork

Routes = Sequence[Sequence[int]]


def bpr(network: RoadNetwork, fleet: Fleet, routes: Routes) -> list[float]:
    """Seconds of every vehicle from departure to arrival where speed follows occupancy.

    In step k of dt seconds who is at a node enters the next link of its route. With n vehicles on
    a link x = w n / (kappa c t0), c in vehicles per second, and all of them drive at the share
    f = max(f_min, 1 / (1 + b x^p)) of free flow for dt and for what they had left of the step
    before. Who comes to the end of the link before the step ends has the rest left.
    """
    step = network.time_step
    vehicles = range(len(routes))
    departure = [round(float(seconds) / step) for seconds in fleet.departure]
    seconds = [np.inf for _ in vehicles]
    under_way = set(vehicles)
    # Of those on a link: the link and how much of it is to drive.
    driving: dict[int, tuple[int, float]] = {}
    left_over, passed = [0.0 for _ in vehicles], [0 for _ in vehicles]
    k = 0
    while under_way:
        assert k < 100_000
        for i in under_way - set(driving):
            if k >= departure[i]:
                link = int(routes[i][passed[i]])
                passed[i] += 1
                driving[i] = link, float(network.free_flow_time[link])
        on = [link for link, _ in driving.values()]
        for i, (link, remaining) in list(driving.items()):
            per_second = fleet.kappa * float(network.capacity[link]) / 3600
            x = fleet.platoon * on.count(link) / (per_second * network.free_flow_time[link])
            share = max(network.min_speed, 1 / (1 + network.coefficient[link] * x**network.power))
            remaining -= (step + left_over[i]) * share
            driving[i], left_over[i] = (link, remaining), 0.0
            if remaining <= 1e-4 * step:
                del driving[i]
                left = -remaining / share
                if network.head[link] == fleet.destination[i]:
                    seconds[i] = (k + 1) * step - left - departure[i] * step
                    under_way.discard(i)
                else:
                    left_over[i] = left
        k += 1
    return [float(value) for value in seconds]


def queue(network: RoadNetwork, fleet: Fleet, routes: Routes) -> list[float]:
    """The same where links are queues, in continuous time, one entry after another.

    exit = max(entry + t0, last exit + w / (kappa c)); without the second where b = 0.
    """
    departure = [round(float(s) / network.time_step) * network.time_step for s in fleet.departure]
    entries = [(time, i, 0) for i, time in enumerate(departure)]
    heapq.heapify(entries)
    last_exit = [-np.inf] * network.num_links
    seconds = [np.inf] * len(routes)
    while entries:
        time, i, passed = heapq.heappop(entries)
        if passed > 0 and network.head[routes[i][passed - 1]] == fleet.destination[i]:
            seconds[i] = time - departure[i]
            continue
        link = routes[i][passed]
        headway = fleet.platoon / (fleet.kappa * float(network.capacity[link]) / 3600)
        leaves = time + float(network.free_flow_time[link])
        if network.coefficient[link] > 0:
            leaves = max(leaves, last_exit[link] + headway)
        last_exit[link] = leaves
        heapq.heappush(entries, (leaves, i, passed + 1))
    return seconds


def walks(
    network: RoadNetwork, count: int, longest: int, draw: np.random.Generator
) -> list[tuple[int, ...]]:
    """Random walks of at most ``longest`` links that follow the turn rules.

    A walk ends at its destination, which is not where it began and which it passes only once.
    """
    turns = paths.next_links(network)
    found = []
    while len(found) < count:
        place = network.num_links + int(draw.integers(network.num_nodes))
        walk = []
        for _ in range(int(draw.integers(1, longest, endpoint=True))):
            options = turns[place][turns[place] >= 0]
            if not len(options):
                break
            place = int(draw.choice(options))
            walk.append(place)
        if not walk:
            continue
        destination = network.head[walk[-1]]
        first = [network.head[link] == destination for link in walk].index(True)
        if network.tail[walk[0]] != destination:
            found.append(tuple(walk[: first + 1]))
    return found


def walkers(
    network: RoadNetwork, routes: Routes, departure: Sequence[int], platoon: float
) -> Fleet:
    """The fleet that drives the walks; departures in steps."""
    return Fleet(
        name="walkers",
        origin=np.array([network.tail[route[0]] for route in routes]),
        destination=np.array([network.head[route[-1]] for route in routes]),
        departure=network.time_step * np.array(departure, float),
        platoon=platoon,
        window=0.0,
    )
