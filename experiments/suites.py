"""The suites of experiments, as data: which cells there are. `suite_runner` runs them."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import suite_search, suite_tasks
from experiments.suite_cells import Cell
from experiments.suite_tasks import MPE, PAPER, STORED

METHODS = ("leed", "ippo", "mappo", "vdn", "qmix", "bc", "dagger", "bc_ppo")
"""Of the suite ``paper``; the first is ours."""


def paper() -> list[Cell]:
    """All methods on all tasks; LEED and IPPO first everywhere, for the first conclusions."""
    first, later = METHODS[:2], METHODS[2:]
    order = [*itertools.product(first, PAPER), *itertools.product(later, PAPER)]
    return [task.cell("paper", method) for method, task in order]


def smoke() -> list[Cell]:
    """Two minutes that go through everything; its numbers mean nothing."""
    tiny = {
        "train.num_envs": 16,
        "train.rollout_steps": 32,
        "train.num_minibatches": 4,
        "train.eval_episodes": 16,
        "num_demonstrations": 16,
        "generation.feedback_episodes": 8,
        "train.network.hidden_sizes": [16],
    }
    tasks = (
        suite_tasks.spread(3, 4096, 2, evaluations=4, **tiny),
        suite_tasks.task("mpe/simple_speaker_listener", 4096, 2, 4, **tiny),
    )
    # BC on the first task alone: it takes the time of a fifth program.
    pairs = [*itertools.product(tasks, ("leed", "ippo")), (tasks[0], "bc")]
    return [task.cell("smoke", method) for task, method in pairs]


ABLATION_TASKS = (
    suite_tasks.spread(3, 409_600, 5, **MPE),
    suite_tasks.overcooked("cramped_room", 204_800, 3),
)
CAUTIOUS = {"train.expert.weight": 1.0, "train.learning_rate": 0.003}
"""With a λ that adapts, for plans that nobody has judged: little weight, PPO's learning rate."""
ABLATIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "methods": {
        "LEED, default": {},
        "IPPO": {"methods": ["ippo"]},
        "BC": {"methods": ["bc"]},
        "kickstarting": {"methods": ["kickstarting"]},
        "DAPG": {"methods": ["dapg"]},
    },
    "labels": {
        "demonstrations": STORED,
        "visited": {"train.expert.labels": "visited"},
    },
    "weight of the expert": {
        "0": {"train.expert.weight": 0.0},
        "1, linear": {"train.expert.weight": 1.0},
        "3, linear": {"train.expert.weight": 3.0},
        "30, linear": {"train.expert.weight": 30.0},
        "10, constant": {"train.expert.schedule": "constant"},
        "10, cosine": {"train.expert.schedule": "cosine"},
        "10, linear over half the run": {"train.expert.decay_fraction": 0.5},
        "10, linear over a tenth": {"train.expert.decay_fraction": 0.1},
        "10, return gap": {"train.expert.schedule": "return_gap"},
        "10, DTW": {"train.expert.schedule": "dtw"},
        "1, return gap, learning rate 0.003": {"train.expert.schedule": "return_gap", **CAUTIOUS},
        "1, DTW, learning rate 0.003": {"train.expert.schedule": "dtw", **CAUTIOUS},
    },
    "room to surpass the expert": {
        "smoothing 0.05": {"train.expert.smoothing": 0.05},
        "smoothing 0.05, half the run": {
            "train.expert.smoothing": 0.05,
            "train.expert.decay_fraction": 0.5,
        },
        "entropy bonus 0.03": {"train.entropy_coefficient": 0.03},
    },
    "quality of demonstrations": {
        "first answer": {"quality": "first"},
        "10 % random instructions": {"quality": "corrupted:0.1"},
        "30 % random instructions": {"quality": "corrupted:0.3"},
        "50 % random instructions": {"quality": "corrupted:0.5"},
        "random plan 0": {"quality": "random:0"},
        "random plan 1": {"quality": "random:1"},
        "random plan 2": {"quality": "random:2"},
        "adversarial": {"quality": "adversarial"},
        "random plan 0, return gap": {
            "quality": "random:0",
            "train.expert.schedule": "return_gap",
        },
        "adversarial, return gap": {
            "quality": "adversarial",
            "train.expert.schedule": "return_gap",
        },
        "adversarial, DTW": {"quality": "adversarial", "train.expert.schedule": "dtw"},
        "adversarial, return gap, learning rate 0.003": {
            "quality": "adversarial",
            "train.expert.schedule": "return_gap",
            "train.learning_rate": 0.003,
        },
        "adversarial, DTW, learning rate 0.003": {
            "quality": "adversarial",
            "train.expert.schedule": "dtw",
            "train.learning_rate": 0.003,
        },
        "adversarial, return gap from 1, learning rate 0.003": {
            "quality": "adversarial",
            "train.expert.schedule": "return_gap",
            **CAUTIOUS,
        },
        "adversarial, DTW from 1, learning rate 0.003": {
            "quality": "adversarial",
            "train.expert.schedule": "dtw",
            **CAUTIOUS,
        },
        "random plan 0, return gap from 1, learning rate 0.003": {
            "quality": "random:0",
            "train.expert.schedule": "return_gap",
            **CAUTIOUS,
        },
    },
    "number of demonstrations, without visited labels": {
        f"{count:,}": {"num_demonstrations": count, **STORED} for count in (1, 4, 16, 64, 256, 1024)
    },
    "plans": {
        "relational, for the return": {"goal": "return"},
        "concrete, for the return": {"goal": "return", "plans": "concrete"},
    },
    "weighting": {
        "return": {"train.expert.weighting": "return"},
        "advantage": {"train.expert.weighting": "advantage"},
    },
    "parameters": {
        "LEED, shared": {"train.parameter_sharing": "all"},
        "LEED, shared, for the return": {"train.parameter_sharing": "all", "goal": "return"},
        "IPPO, shared": {"methods": ["ippo_shared"]},
    },
}
"""By table: what the variants change of LEED's default settings."""
LACKING = {
    "overcooked_v2/cramped_room": (
        # No answers for these goals were recorded there, and no room for the observations.
        *("plans", "1,024", "LEED, shared, for the return"),
        # PPO delivers nothing within the budget, however soon λ lets go.
        *(v for v in ABLATIONS["quality of demonstrations"] if v.endswith("learning rate 0.003")),
    ),
}


def ablations() -> list[Cell]:
    """What every part is worth, one change at a time."""
    cells = []
    for group, variants in ABLATIONS.items():
        for variant, task in itertools.product(variants, ABLATION_TASKS):
            usual = task.settings.get("num_demonstrations", 256)
            # That is the row of the labels.
            same = variants[variant] == {"num_demonstrations": usual, **STORED}
            if same or {group, variant} & set(LACKING.get(task.name, ())):
                continue
            method = variants[variant].get("methods", ["leed"])[0]
            changed = task.changed(variants[variant])
            cells.append(changed.cell("ablations", method, variant, group))
    return cells


def scalability() -> list[Cell]:
    """More and more agents, on particles and on roads.

    Roads begin with 16: the fleet of 8 vehicles is on its best routes when all take the shortest.
    """
    spread = [suite_tasks.spread(n, 409_600, 5, evaluations=25, **MPE) for n in (3, 4, 5, 6, 8)]
    spread += [suite_tasks.spread(n, 204_800, 3, evaluations=10, **MPE) for n in (16, 32)]
    road = [suite_tasks.road(agents, 98_304, 5, evaluations=12) for agents in (16, 32, 64)]
    road += [
        suite_tasks.road(128, 49_152, 3, evaluations=6),
        suite_tasks.road(512, 16_384, 3, evaluations=2),
    ]
    methods = ("leed", "ippo", "ippo_shared")
    return [task.cell("scalability", method) for task in spread + road for method in methods]


SUITES = {
    "paper": paper,
    "smoke": smoke,
    "ablations": ablations,
    "scalability": scalability,
    "search": suite_search.search,
    "released": suite_search.released,
}
"""By name: the cells in the order in which they are run."""


def cells(suite: str, only: str | None = None) -> list[Cell]:
    """The cells of a suite whose place holds ``only``, in order.

    Raises:
      ValueError: no such suite, or no such cell.
    """
    if suite not in SUITES:
        raise ValueError(f"suite must be one of {', '.join(SUITES)}, got {suite!r}")
    every = SUITES[suite]()
    found = [cell for cell in every if only is None or only in f"{cell.place}/"]
    if not found:
        raise ValueError(f"only: no cell of {suite} has {only!r} in its name, {_names(every)}")
    return found


def _names(found: Sequence[Cell]) -> str:
    return f"as {found[0].place} has"
