"""The suites of experiments, as data: which cells there are. `suite_runner` runs them.

Budgets and network sizes per task are chosen for two CPU cores; what is not named is the package's
default, on every task. Equal budgets for all methods of a task.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.suite_cells import Cell
from leed_jax.optimization.value_based_presets import PRESETS

METHODS = ("leed", "ippo", "mappo", "vdn", "qmix", "bc", "dagger", "bc_ppo")
"""Of the suite ``paper``; the first is ours."""
GRU = {"train.network.kind": "gru", "train.expert.batch_size": 8}
"""SMAX is partially observable: recurrent networks; batches of demonstrations are episodes then."""
VALUE_BASED = ("vdn", "qmix")
"""They have JaxMARL's published settings for a family of tasks instead of ours for PPO."""
VALUE_BASED_CHANGES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mpe": ("mpe", {}),
    # Width of all other methods: the published 512 would take hours on two cores.
    "smax": ("smax", {"train.network.hidden_sizes": [64]}),
    # The network of all other methods. Observations are large: half as many steps to remember.
    "overcooked_v2": (
        "overcooked",
        {"train.network.kind": "mlp", "train.value_based.replay_steps": 50_000},
    ),
    # Nothing is published for roads; episodes are longer, and many agents take room.
    "road": (
        "mpe",
        {"train.rollout_steps": 128, "train.gamma": 1.0, "train.value_based.replay_steps": 32_768},
    ),
}
"""By family of scenarios: the family of the published settings, and what is other here."""
ROAD = {"options": {"seed": "0"}, "train.gamma": 1.0, "num_demonstrations": 64}


class Task(NamedTuple):
    """A scenario with its settings for all methods."""

    name: str
    settings: Mapping[str, Any]


def _task(scenario: str, steps: int, seeds: int, evaluations: int = 40, **more: Any) -> Task:
    agents = more.get("num_agents")
    name = scenario if agents is None else f"{scenario}, N = {agents}"
    settings = {"scenario": scenario, "seeds": seeds, "train.total_steps": steps}
    settings |= {"train.eval_every_steps": max(1, steps // evaluations)}
    return Task(name, settings | more)


def _spread(agents: int, steps: int, seeds: int, **more: Any) -> Task:
    return _task("mpe/simple_spread", steps, seeds, num_agents=agents, **more)


def _smax(name: str, steps: int) -> Task:
    # Rollouts of 64 steps, between the two settings that were tried. With 64 demonstrations instead
    # of the usual 256, LEED ends lower on 2s3z: 0.74 won instead of 0.79.
    return _task(f"smax/{name}", steps, 5, 24, **GRU, **{"train.rollout_steps": 64})


def _overcooked(layout: str, steps: int, seeds: int) -> Task:
    # An episode has 400 steps: 32 of them per evaluation, or evaluating would cost most of it.
    more = {"num_demonstrations": 64, "train.eval_episodes": 32}
    return _task(f"overcooked_v2/{layout}", steps, seeds, 32, **more)


def _road(agents: int, steps: int, seeds: int, **more: Any) -> Task:
    return _task("road/berlin_adlershof", steps, seeds, num_agents=agents, **(ROAD | more))


MPE = {"train.gamma": 0.9, "train.gae_lambda": 1.0}
"""On MPE, all PPO methods: the discount of JaxMARL's published VDN and QMIX there, and no
bootstrapping, since the critics' bias is what hurts on simple_spread (see `search`)."""

# Not simple_speaker_listener: its agents differ, and MAPPO, VDN and QMIX share their parameters.
PAPER = (
    _spread(3, 1_000_000, 5, **MPE),
    _spread(6, 1_000_000, 5, **MPE),
    _overcooked("cramped_room", 819_200, 5),
    _overcooked("counter_circuit", 409_600, 5),
    _road(16, 204_800, 10, **{"train.eval_every_steps": 8192}),
    _road(64, 204_800, 5, **{"train.eval_every_steps": 8192}),
    _smax("3m", 393_216),
    _smax("2s3z", 98_304),
    _task("mpe/simple_tag", 409_600, 5, 40, **MPE),
)


def paper() -> list[Cell]:
    """All methods on all tasks; LEED and IPPO first everywhere, for the first conclusions."""
    first, later = METHODS[:2], METHODS[2:]
    order = [*itertools.product(first, PAPER), *itertools.product(later, PAPER)]
    return [_cell("paper", task, method) for method, task in order]


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
        _spread(3, 4096, 2, evaluations=4, **tiny),
        _task("mpe/simple_speaker_listener", 4096, 2, 4, **tiny),
    )
    # BC on the first task alone: it takes the time of a fifth program.
    pairs = [*itertools.product(tasks, ("leed", "ippo")), (tasks[0], "bc")]
    return [_cell("smoke", task, method) for task, method in pairs]


ABLATION_TASKS = (_spread(3, 409_600, 5, **MPE), _overcooked("cramped_room", 204_800, 3))
STORED = {"train.expert.labels": "demonstrations"}
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
    # No answers for these goals were recorded there, and no room for the observations.
    "overcooked_v2/cramped_room": ("plans", "1,024", "LEED, shared, for the return"),
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
            changed = Task(task.name, {**task.settings, **variants[variant]})
            method = variants[variant].get("methods", ["leed"])[0]
            cells.append(_cell("ablations", changed, method, variant, group))
    return cells


def scalability() -> list[Cell]:
    """More and more agents, on particles and on roads."""
    spread = [_spread(n, 409_600, 5, evaluations=25, **MPE) for n in (3, 4, 5, 6, 8)]
    spread += [_spread(n, 204_800, 3, evaluations=10, **MPE) for n in (16, 32)]
    road = [_road(agents, 98_304, 5, evaluations=12) for agents in (16, 32, 64)]
    road += [_road(128, 49_152, 3, evaluations=6), _road(512, 16_384, 3, evaluations=2)]
    methods = ("leed", "ippo", "ippo_shared")
    return [_cell("scalability", task, method) for task in spread + road for method in methods]


SEARCH_TASKS = (
    _spread(3, 204_800, 3, evaluations=8, **MPE),
    _overcooked("cramped_room", 204_800, 3),
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
RATE_KITCHEN = _overcooked("cramped_room", 409_600, 3)
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


def search() -> list[Cell]:
    """The budgeted search for one default, on two tasks; it is then used unchanged on all others.

    IPPO twice, with the usual discount and that of `MPE`, which all methods are given there.
    """
    # The first round, with the learning rate that PPO wants.
    first = {**STORED, "train.learning_rate": 0.003}
    cells = [
        _cell("search", Task(task.name, {**task.settings, **first, **changes}), "leed", variant)
        for variant, changes in SEARCH.items()
        for task in SEARCH_TASKS
    ]
    spread = SEARCH_TASKS[0]
    usual = Task(spread.name, {k: v for k, v in spread.settings.items() if k not in MPE})
    cells.append(_cell("search", usual, "ippo", "ippo, discount 0.99"))
    cells.append(_cell("search", spread, "ippo", "ippo, discount 0.9"))
    # The second round: a learning rate for every method that has none published.
    for (rate, method), task in itertools.product(RATES, (spread, RATE_KITCHEN)):
        changed = Task(task.name, {**task.settings, "train.learning_rate": rate})
        cells.append(_cell("search", changed, method, f"{method}, {rate:g}", "learning rate"))
    # The third round, also for those that learn from rewards alone.
    for (variant, changes), task in itertools.product(RELEASES.items(), RELEASE_TASKS):
        changed = Task(task.name, {**task.settings, **changes})
        cells.append(_cell("search", changed, "leed", variant, "release"))
    for method, task in itertools.product(("ippo", "mappo"), (spread, RATE_KITCHEN)):
        changed = Task(task.name, {**task.settings, **HELD})
        cells.append(_cell("search", changed, method, f"{method}, divergence", "release"))
    return cells


def released() -> list[Cell]:
    """LEED with the third round's candidate for the default, on all tasks of ``paper``."""
    held = [Task(task.name, {**task.settings, **POLYNOMIAL, **HELD}) for task in PAPER]
    return [_cell("released", task, "leed", "released") for task in held]


def _cell(suite: str, task: Task, method: str, variant: str | None = None, group: str = "") -> Cell:
    settings = {**task.settings, "methods": [method]}
    if method in VALUE_BASED:
        settings |= _value_based(task.settings)
    return Cell(suite, task.name, variant or method, settings, group)


def _value_based(task: Mapping[str, Any]) -> dict[str, Any]:
    published, changes = VALUE_BASED_CHANGES[task["scenario"].partition("/")[0]]
    settings: dict[str, Any] = {"train.num_minibatches": 1}
    for name, value in PRESETS[published].items():
        if dataclasses.is_dataclass(value):
            nested = dataclasses.asdict(value)  # pyright: ignore[reportArgumentType]
            settings |= {f"train.{name}.{key}": item for key, item in nested.items()}
        else:
            settings[f"train.{name}"] = value
    settings |= changes
    # Places that are never filled take memory all the same.
    name = "train.value_based.replay_steps"
    return {**settings, name: min(settings[name], task["train.total_steps"])}


SUITES = {
    "paper": paper,
    "smoke": smoke,
    "ablations": ablations,
    "scalability": scalability,
    "search": search,
    "released": released,
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
