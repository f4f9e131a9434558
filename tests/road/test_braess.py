"""Braess's paradox in the traffic model, worked by hand.

A vehicle departs every minute. s>a and b>t take 1 min alone and 0.8 min more for every vehicle on
them; s>b and a>t take 7 min, the extra link a>b takes 1 min, whatever happens.

With q vehicles a minute there are n = q tau of them on a link, so tau = 1 + 0.8 q tau and
tau = 1 / (1 - 0.8 q): 5 min if all come (q = 1). If every other vehicle comes, one is alone on the
link, which takes 1.8 min: it has left when the next one enters.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.road import drive, references, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

COUNT = 80
SA, SB, AT, BT, AB = range(5)
EXTRA, UPPER, LOWER = (SA, AB, BT), (SA, AT), (SB, BT)


def braess(extra: bool) -> tuple[RoadNetwork, Fleet]:
    links = [(0, 1, 1.0, 1), (0, 2, 7.0, 0), (1, 3, 7.0, 0), (2, 3, 1.0, 1), (1, 2, 1.0, 0)]
    tail, head, minutes, congests = map(np.array, zip(*links[: 5 if extra else 4], strict=True))
    network = RoadNetwork(
        name="braess_stream",
        nodes=("s", "a", "b", "t"),
        position=np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0], [2.0, 0.0]]),
        tail=tail,
        head=head,
        free_flow_time=60 * minutes.astype(float),
        # x per vehicle = headway / t0 = 0.8
        capacity=np.full(len(tail), 3600 / (0.8 * 60)),
        coefficient=congests.astype(float),
        demand=Demand(np.array([0]), np.array([3]), np.array([60.0])),
        power=1.0,
        time_step=60.0,
        geographic=False,
    )
    vehicles = np.arange(COUNT)
    fleet = Fleet("stream", 0 * vehicles, 0 * vehicles + 3, 60.0 * vehicles, 1.0, 60.0 * COUNT)
    return network, fleet


def minutes(extra: bool, routes: list[tuple[int, ...]]) -> np.ndarray:
    network, fleet = braess(extra)
    roads, rules = traffic.roads(network, fleet.platoon), traffic.rules(network)
    padded = np.pad(drive.pad(routes), ((0, 0), (0, 3 - max(map(len, routes)))), constant_values=-1)
    return np.asarray(drive.drive(roads, rules, drive.trips(fleet, 60.0), jnp.asarray(padded))) / 60


def test_with_the_extra_link_all_take_it_though_all_would_be_faster_without_it():
    everyone = [EXTRA] * COUNT
    used = minutes(True, everyone)
    assert used[50:70] == pytest.approx(5 + 1 + 5, abs=0.1)  # the stream is steady by then
    for other in (UPPER, LOWER):
        alone = minutes(True, [*everyone[:60], other, *everyone[61:]])[60]
        assert alone > 7 + 5 - 0.2 > used[60]
    halves = minutes(False, [UPPER, LOWER] * (COUNT // 2))
    assert halves == pytest.approx(1.8 + 7, abs=1e-3)
    assert halves.mean() < used.mean()


@pytest.mark.slow
def test_best_responses_find_both_equilibria_and_the_one_with_the_extra_link_is_worse():
    means = []
    for extra in (False, True):
        network, fleet = braess(extra)
        found = references.equilibrium(network, fleet)
        assert found.settled
        means.append(found.assignment.mean_seconds)
    assert means[1] > 1.05 * means[0]
