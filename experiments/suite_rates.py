"""Seconds of the methods of a suite, taken side by side, task by task, on one machine.

    python -m experiments.suite_rates --suite paper

The cells of a suite run for hours, one after the other, and a machine is not the same all day; what
they took is no ground for a comparison. Here the compiled updates of all methods of a task take
turns in one process, a single seed each, every other round in the opposite order. The medians go to
``docs/results/suites/<suite>/rates.json``, of which `experiments.report` makes its seconds. Tasks
that are measured are skipped.
"""

import argparse
import datetime
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rich.console

from experiments import speed_parts, suite_cells, suite_files, suite_runner, suite_tasks, suites
from experiments.speed_timing import Program
from experiments.suite_cells import Cell
from leed_jax import arguments, execution, random_plans, scenarios, summary
from leed_jax.config import TrainConfig

FILE, COMMAND = "rates.json", "experiments.suite_rates"
STAGES = {"bc_ppo": "ippo"}
"""Methods that clone first and then go on as another one: not measured, but made of the two."""
CLONING = "bc"
ROUNDS = 5
ROUND_SECONDS = 1.0
"""At least, of every method in every round."""


class Rate(NamedTuple):
    """What a single seed of a method costs on a task."""

    seconds_per_step: float
    """Of training, per environment step; of methods without steps, as if they took those."""
    compile_seconds: float
    """Tracing and compiling the update, without a cache."""


def path(published: Path, suite: str) -> Path:
    """Where the rates of a suite lie."""
    return suite_files.path(published, suite, FILE)


def load(published: Path, suite: str) -> dict[str, dict[str, Rate]]:
    """Rates by task and method; empty where nothing was measured.

    Raises:
      ValueError: the file is not one of these; names it.
    """
    where = path(published, suite)
    try:
        tasks = suite_files.tasks(where)
        return {
            task: {
                method: Rate(one["seconds_per_step"], one["compile_seconds"])
                for method, one in found["methods"].items()
            }
            for task, found in tasks.items()
        }
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{where}: not a file of rates: {error!r}") from error


def spent(
    rates: Mapping[str, Rate], method: str, env_steps: float, cloning_steps: float
) -> float | None:
    """Seconds of training of a single seed, without compilation; None where not measured.

    Args:
      rates: of one task.
      method: a method, measured or made of two that are.
      env_steps: taken by it.
      cloning_steps: the size of the updates that took no steps.
    """
    needed = {STAGES.get(method, method): env_steps, CLONING: cloning_steps}
    found = [(rates.get(name), steps) for name, steps in needed.items() if steps > 0]
    if any(rate is None for rate, _ in found):
        return None
    return sum(rate.seconds_per_step * steps for rate, steps in found if rate is not None)


def measure(cells: Sequence[Cell], rounds: int = ROUNDS) -> dict[str, Any]:
    """Times the methods of one task in turns.

    Args:
      cells: of one task, a method each.
      rounds: how often each has its turn.

    Returns:
      JSON: per method the rate, and what the rounds say beside those of the first method.
    """
    programs = {cell.method: _program(cell) for cell in cells}
    calls = {name: _calls(program) for name, program in programs.items()}
    for program in programs.values():
        program.seconds.clear()
    for index in range(rounds):
        for name in list(programs)[:: -1 if index % 2 else 1]:
            programs[name].time(calls[name])
    rate = {
        name: np.array(program.seconds) / program.env_steps for name, program in programs.items()
    }
    first = rate[cells[0].method]
    return {
        name: {
            "seconds_per_step": float(np.median(each)),
            "compile_seconds": programs[name].compile_seconds,
            f"times_{cells[0].method}": float(np.median(each / first)),
            "rounds": each.tolist(),
        }
        for name, each in rate.items()
    }


def _program(cell: Cell) -> Program:
    """The compiled update of a cell's method, beyond the start in which it only collects."""
    config = suite_cells.config(cell)
    scenario = scenarios.make(
        config.scenario, **arguments.scenario_options(config.num_agents, config.options)
    )
    plan = random_plans.random_plan(scenario.vocabulary, seed=0)
    # How fast an update is does not depend on what the episodes are worth.
    demos = execution.demonstrate(scenario, plan, num_episodes=config.num_demonstrations)
    expert = execution.make_expert(scenario, plan)
    built = speed_parts.of_method(
        scenario.env, config.train, cell.method, demos, ["step"], expert=expert
    )
    program = built["step"]
    for _ in range(_quiet_updates(cell.method, config.train)):
        program.call()
    return program


def _quiet_updates(method: str, config: TrainConfig) -> int:
    """Updates before the first gradient step of methods that fill a memory first."""
    if method not in suite_tasks.VALUE_BASED:
        return 0
    starts = config.value_based.learning_starts
    return math.ceil(starts / config.steps_per_update)


def _calls(program: Program) -> int:
    """Calls of a round."""
    program.time(1)
    return max(1, math.ceil(ROUND_SECONDS / max(program.seconds[-1], 1e-6)))


def by_task(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """The cells whose methods are measured, by task."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.method not in STAGES:
            found.setdefault(cell.task, []).append(cell)
    return found


def run(suite: str, published: Path, only: str | None, console: rich.console.Console) -> Path:
    """Measures what is missing, and writes after every task; returns the file."""
    where = path(published, suite)
    known = suite_files.tasks(where)
    for task, cells in by_task(suites.cells(suite, only)).items():
        if task in known:
            continue
        began = time.perf_counter()
        known[task] = {
            "device": summary.device(),
            "date": datetime.date.today().isoformat(),
            "methods": measure(cells),
        }
        suite_files.write(where, f"python -m {COMMAND} --suite {suite}", known)
        console.print(f"{task}: {time.perf_counter() - began:.0f} s", highlight=False)
        for name, each in known[task]["methods"].items():
            of_first = each[f"times_{cells[0].method}"]
            console.print(f"  {name:16} {of_first:.2f} times {cells[0].method}", highlight=False)
    return where


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {COMMAND}", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--suite", choices=("paper", "scalability", "smoke"), default="paper")
    parser.add_argument("--only", help="Only cells that have this in their folder's name.")
    parser.add_argument("--folder", type=Path, default=suite_runner.SuiteConfig("paper").folder)
    given = parser.parse_args(arguments)
    console = rich.console.Console()
    console.print(str(run(given.suite, given.folder, given.only, console)), highlight=False)


if __name__ == "__main__":
    main()
