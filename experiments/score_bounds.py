"""What a task is scored by in suites, and which scores are called 0 and 1.

0 is the uniformly random policy (legal actions), 1 the best reference that we know; methods may
exceed 1. The one place where these numbers stand.
"""

from typing import NamedTuple

from leed_jax.comparisons import Bounds

RETURN = "team_return"
WON = Bounds(0.0, 1.0, "no battle won, as random actions do; all battles won")
ROAD = Bounds(0.0, 1.0, "all on their shortest routes; the best plan known (docs/road-networks.md)")
SPREAD = (
    "random actions; every agent to the nearest free landmark by the instruction executor, with "
    "keep_distance 0.3 (512 scored starts each)"
)
RECORDED = "random actions; the recorded plan (512 episodes, docs/scenarios.md)"


class Score(NamedTuple):
    """The metric of a task, high is good, and its bounds."""

    metric: str
    bounds: Bounds | None


SCORES = {
    "mpe/simple_spread, N = 3": Score(RETURN, Bounds(-83.5, -23.6, SPREAD)),
    "mpe/simple_spread, N = 4": Score(RETURN, Bounds(-131.1, -39.3, SPREAD)),
    "mpe/simple_spread, N = 5": Score(RETURN, Bounds(-185.8, -58.2, SPREAD)),
    "mpe/simple_spread, N = 6": Score(RETURN, Bounds(-250.8, -80.6, SPREAD)),
    "mpe/simple_spread, N = 8": Score(RETURN, Bounds(-391.8, -138.8, SPREAD)),
    "mpe/simple_spread, N = 16": Score(RETURN, Bounds(-1296.6, -568.8, SPREAD)),
    "mpe/simple_spread, N = 32": Score(RETURN, Bounds(-4589.0, -2595.6, SPREAD)),
    "mpe/simple_tag": Score("catches", Bounds(0.06, 2.5, RECORDED)),
    "overcooked_v2/cramped_room": Score("deliveries", Bounds(0.03, 13.0, RECORDED)),
    "overcooked_v2/counter_circuit": Score("deliveries", Bounds(0.0, 12.16, RECORDED)),
}
"""By the task's name; a family's where it is not listed."""
FAMILIES = {"smax": Score("won", WON), "road": Score("score", ROAD)}


def of_task(task: str) -> Score:
    """The task's score; the team return without bounds where nothing is known."""
    return SCORES.get(task) or FAMILIES.get(task.partition("/")[0], Score(RETURN, None))
