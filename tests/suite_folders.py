"""Published cells of suites as a run would leave them, for tests of tables and figures."""

import dataclasses
import json
from pathlib import Path

from experiments import suite_cells, suites
from experiments.suite_cells import Cell
from leed_jax import loggers

STEPS = (0, 100, 200, 400)
TASKS = ("mpe/simple_spread, N = 3", "smax/3m")
LEVELS = {
    # By seed: the scores at STEPS.
    "mpe/simple_spread, N = 3": {
        "leed": [(-90, -50, -40, -30), (-90, -50, -40, -32), (-90, -50, -40, -34)],
        "ippo": [(-90, -80, -70, -50), (-90, -80, -60, -54), (-90, -80, -70, -52)],
        "bc": [(-90, -50, -40, -33)] * 3,
    },
    "smax/3m": {
        "leed": [(0.0, 0.5, 0.6, 0.9)] * 2,
        "ippo": [(0.0, 0.0, 0.2, 0.5)] * 2,
        "bc": [(0.0, 0.5, 0.6, 0.8)] * 2,
    },
}


def cell(task: str, method: str, suite: str = "paper") -> Cell:
    known = {each.task: each.settings for each in suites.cells("paper")}
    return Cell(suite, task, method, {**known[task], "methods": [method]})


def write(root: Path, task: str, method: str, suite: str = "paper", group: str = "", **about):
    """A finished cell; returns its folder. ``about`` replaces the variant's name."""
    each = cell(task, method, suite)._replace(group=group, **about)
    folder = root / each.place
    folder.mkdir(parents=True)
    fields = {**dataclasses.asdict(suite_cells.config(each)), "results": "results"}
    (folder / "config.json").write_text(
        json.dumps(
            {
                "config": loggers.jsonable(fields),
                "cell": each.describe(),
                "device": "toy",
                "processor": "fast",
                "versions": {"jax": "1"},
            }
        )
    )
    (folder / "metrics.jsonl").write_text("".join(suite_cells.thinned(list(lines(task, method)))))
    (folder / "summary.json").write_text(json.dumps(_summary(task, method)))
    return folder


def lines(task, method):
    for seed, values in enumerate(LEVELS[task][method]):
        for index, (steps, value) in enumerate(zip(STEPS, values, strict=True)):
            yield {
                "method": method,
                "seed": seed,
                "env_steps": 0 if method == "bc" else steps,
                "updates": index,
                "seconds": steps / 10,
                "team_return": float(value),
                "agent_return": [0.0],
                "success": {"won": float(value)},
                "loss": {},
            }


def _summary(task, method):
    seeds = len(LEVELS[task][method])
    final = {"iqm": float(LEVELS[task][method][0][-1]), "low": 0.0, "high": 0.0}
    return {
        "scenario": {"name": task.partition(",")[0], "options": {}},
        "llm": {"seconds": 0.0, "calls": 2, "prompt_tokens": None},
        "demonstrations": {
            "episodes": 4,
            "steps": 60,
            "team_return_mean": -28.0,
            "success": {"won": 0.85},
        },
        "methods": {
            method: {
                "seeds": seeds,
                "env_steps": 0 if method == "bc" else STEPS[-1],
                "team_return": final,
                "success": {"won": final},
                "env_steps_per_second": None if method == "bc" else 10.0,
                "train_seconds": 40.0,
            }
        },
    }


def paper(root: Path) -> None:
    """All methods on both tasks."""
    for task in TASKS:
        for method in LEVELS[task]:
            write(root, task, method)
