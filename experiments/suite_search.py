"""The suite that looks for LEED's default settings, and the one of its last candidate."""

import itertools
from collections.abc import Mapping
from typing import Any

from experiments import suite_tasks
from experiments.suite_cells import Cell
from experiments.suite_tasks import MPE, PAPER, STORED, Task

SEARCH_TASKS = (
    suite_tasks.spread(3, 204_800, 3, evaluations=8, **MPE),
    suite_tasks.overcooked("cramped_room", 204_800, 3),
)
SEARCH: Mapping[str, Mapping[str, Any]] = {
    "weight 3": {"train.expert.weight": 3.0},
    "weight 10": {"train.expert.weight": 10.0},
    "weight 30": {"train.expert.weight": 30.0},
    "weight 10, both labels": {"train.expert.weight": 10.0, "train.expert.labels": "both"},
    "weight 10, cosine": {"train.expert.weight": 10.0, "train.expert.schedule": "cosine"},
    "weight 10 to 0.3": {"train.expert.weight": 10.0, "train.expert.final_weight": 0.3},
    "weight 10, smoothing 0.05": {"train.expert.weight": 10.0, "train.expert.smoothing": 0.05},
}
"""Candidates for LEED's default; on the demonstrations alone where nothing is said of labels."""
RATES = tuple(itertools.product((0.001, 0.003, 0.01), ("leed", "ippo", "mappo", "bc")))
RATE_KITCHEN = suite_tasks.overcooked("cramped_room", 409_600, 3)
"""PPO alone delivers nothing there in half as many steps."""
OVER_HALF = {"train.expert.decay_fraction": 0.5}
POLYNOMIAL = {"train.expert.schedule": "polynomial"}
HELD = {"train.kl_coefficient": 3.0}
RELEASES: Mapping[str, Mapping[str, Any]] = {
    "linear": {},
    "linear over half the run": OVER_HALF,
    "linear, divergence": HELD,
    "linear over half the run, divergence": OVER_HALF | HELD,
    "polynomial": POLYNOMIAL,
    "polynomial, divergence": POLYNOMIAL | HELD,
}
"""Candidates for the way in which the expert lets go."""
RELEASE_TASKS = (*SEARCH_TASKS, PAPER[-1])
"""On the first two hardly any room is left above what can be learnt of the plan."""

FAMILIES = ("simple_spread, N = 3", "cramped_room", "N = 16", "2s3z", "simple_tag")
RELEASED_TASKS = tuple(task for task in PAPER if task.name.endswith(FAMILIES))
"""Of every family: on these the last candidate was no better, and the others were not run."""


def search() -> list[Cell]:
    """The budgeted search for one default, on two tasks; it is then used unchanged on all others.

    IPPO twice, with the usual discount and that of `MPE`, which all methods are given there.
    """
    # The first round, with the learning rate that PPO wants.
    first = {**STORED, "train.learning_rate": 0.003}
    cells = [
        task.changed(first, changes).cell("search", "leed", variant)
        for variant, changes in SEARCH.items()
        for task in SEARCH_TASKS
    ]
    spread = SEARCH_TASKS[0]
    usual = Task(spread.name, {k: v for k, v in spread.settings.items() if k not in MPE})
    cells.append(usual.cell("search", "ippo", "ippo, discount 0.99"))
    cells.append(spread.cell("search", "ippo", "ippo, discount 0.9"))
    # The second round: a learning rate for every method that has none published.
    for (rate, method), task in itertools.product(RATES, (spread, RATE_KITCHEN)):
        changed = task.changed({"train.learning_rate": rate})
        cells.append(changed.cell("search", method, f"{method}, {rate:g}", "learning rate"))
    # The third round, also for those that learn from rewards alone.
    for (variant, changes), task in itertools.product(RELEASES.items(), RELEASE_TASKS):
        cells.append(task.changed(changes).cell("search", "leed", variant, "release"))
    for method, task in itertools.product(("ippo", "mappo"), (spread, RATE_KITCHEN)):
        changed = task.changed(HELD)
        cells.append(changed.cell("search", method, f"{method}, divergence", "release"))
    return cells


def released() -> list[Cell]:
    """LEED with the third round's last candidate for the default, beside ``paper``."""
    changed = [task.changed(POLYNOMIAL, HELD) for task in RELEASED_TASKS]
    return [task.cell("released", "leed", "released") for task in changed]
