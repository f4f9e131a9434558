"""What the plans behind a suite's demonstrations score, on the starts of its evaluations.

    python -m experiments.suite_plans --suite paper

Demonstrations are executed from random starts, and on roads with shifted departures, so their mean
is not what learners are to be compared with. Here the plan acts, as a policy, from the very starts
that every evaluation of the task has. The scores go to ``docs/results/suites/<suite>/plans.json``,
of which `experiments.report` makes the column beside LEED's. Tasks that are there are skipped.
"""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.console

import leed_jax as leed
from experiments import score_bounds, suite_cells, suite_files, suite_runner, suites
from experiments.suite_cells import Cell
from leed_jax import arguments, execution, instructions, summary
from leed_jax.optimization import programs

FILE, COMMAND = "plans.json", "experiments.suite_plans"


def path(published: Path, suite: str) -> Path:
    """Where the plans' scores of a suite lie."""
    return suite_files.path(published, suite, FILE)


def load(published: Path, suite: str) -> dict[str, float]:
    """By task the mean score of its plan; empty where nothing was measured.

    Raises:
      ValueError: the file is not one of these; names it.
    """
    where = path(published, suite)
    try:
        tasks = suite_files.tasks(where)
        return {task: float(found["score"]) for task, found in tasks.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: not a file of plans' scores: {error!r}") from error


def measure(cell: Cell) -> dict[str, Any]:
    """The plan that a cell's demonstrations come from, played where the cell is evaluated.

    Raises:
      ValueError: it has several plans.
    """
    config = suite_cells.config(cell)
    scenario = leed.make(
        config.scenario, **arguments.scenario_options(config.num_agents, config.options)
    )
    generated = leed.generate_plans(
        scenario,
        config.model,
        plans=config.plans,
        goal=config.goal,  # pyright: ignore[reportArgumentType]
        config=config.generation,
    )
    (plan,) = generated.plans.values()
    found = leed.evaluate_policy(
        scenario,
        execution.as_policy(execution.make_expert(scenario, plan)),
        num_episodes=config.train.eval_episodes,
        seed=programs.EVALUATION_SEED,
        name="plan",
    )
    scores = {"team_return": float(found.team_return.mean())}
    scores |= {name: float(values.mean()) for name, values in found.success.items()}
    metric = score_bounds.of_task(cell.task).metric
    return {
        "metric": metric,
        "score": scores[metric],
        "episodes": found.num_episodes,
        "scores": scores,
        "instructions": instructions.to_mapping(plan),
        "device": summary.device(),
        "date": datetime.date.today().isoformat(),
    }


def run(suite: str, published: Path, only: str | None, console: rich.console.Console) -> Path:
    """Measures what is missing, and writes after every task; returns the file."""
    where = path(published, suite)
    known = suite_files.tasks(where)
    for cell in suites.cells(suite, only):
        if cell.method != "leed" or cell.task in known:
            continue
        known[cell.task] = measure(cell)
        suite_files.write(where, f"python -m {COMMAND} --suite {suite}", known)
        said = known[cell.task]
        console.print(f"{cell.task}: {said['metric']} {said['score']:.3f}", highlight=False)
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
