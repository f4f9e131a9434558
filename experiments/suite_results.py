"""Published cells of a suite as numbers: final scores, curves, costs, all from their JSON alone.

Letters of this file: S seeds, T evaluations of a run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments import results as folders
from experiments import score_bounds, suite_cells, suite_plans, suite_rates, suites
from experiments.results import Curve, Results
from experiments.suite_cells import Summary
from experiments.suite_rates import Rate
from leed_jax import comparisons, statistics
from leed_jax.optimization import methods

ANSWER_SECONDS = 150.0
"""Assumed for an answer of a language model where its recording has no time, as chats have not:
the median of six that were timed (``docs/results/answers``; docs/benchmarks.md)."""


class Outcome(NamedTuple):
    """A cell's numbers."""

    task: str
    variant: str
    group: str
    method: str
    metric: str
    final: Float[np.ndarray, "S"]
    """Score of every seed at the end; NaN where it diverged."""
    steps: Curve
    """Score over environment steps of the learner."""
    seconds: Curve
    """Score over seconds of training, without the language model."""
    demonstrated: float
    """Mean score of the demonstrations that lie beside it."""
    demonstration_steps: int
    """Spent before the first step of the learner; 0 for methods that use none."""
    answer_seconds: float
    """Of the language model, all rounds; 0 for methods that use none."""
    assumed: bool
    """`answer_seconds` is an assumption."""
    env_steps: int
    train_seconds: float
    planned: float = float("nan")
    """Score of the plan itself on the starts of the evaluations; NaN where not measured."""
    measures: Mapping[str, float] = {}
    """The scenario's other measures at the end of training, IQM over seeds."""
    side_by_side: bool = False
    """Seconds are those of `suite_rates`, of a single seed, and not what the cell took."""

    @property
    def interval(self) -> statistics.Interval:
        """IQM over seeds."""
        return folders.over_seeds(self.final)

    @property
    def normalised(self) -> Float[np.ndarray, "S"]:
        """Final scores between the task's bounds; of a seed without a number the lowest, 0.

        Raises:
          ValueError: the task has no bounds.
        """
        bounds = score_bounds.of_task(self.task).bounds
        if bounds is None:
            raise ValueError(f"{self.task}: no bounds in experiments/score_bounds.py")
        return np.nan_to_num(comparisons.normalised(self.final, bounds), nan=0.0)

    @property
    def area(self) -> Float[np.ndarray, "S"]:
        """Normalised area under the curve over environment steps; the final score without steps."""
        bounds = score_bounds.of_task(self.task).bounds
        if bounds is None or self.steps.x.size < 2:
            return self.normalised
        values = np.nan_to_num(comparisons.normalised(self.steps.values, bounds), nan=0.0)
        return comparisons.area_under_curve(self.steps.x, values)

    def reaches(self, target: float) -> tuple[float | None, float | None]:
        """Environment steps and seconds to a score that is held, all costs counted."""
        if not np.isfinite(target) or self.steps.x.size == 0:
            return None, None
        found = [
            statistics.steps_to_threshold(curve.x, curve.values, target)
            for curve in (self.steps, self.seconds)
        ]
        costs = (self.demonstration_steps, self.answer_seconds)
        steps, seconds = (
            None if value is None else value + cost
            for value, cost in zip(found, costs, strict=True)
        )
        return steps, seconds


def uses_demonstrations(method: str) -> bool:
    """Whether a method by this name is given the expert."""
    found = methods.METHODS.get(method)
    return found is not None and (found.uses_expert or getattr(found, "before", None) is not None)


def outcome(cell: Summary, rates: Mapping[str, Rate] | None = None) -> Outcome:
    """The numbers of a published cell; seconds by the task's rates, where it has any.

    Raises:
      ValueError: it was never measured by the score of its task, which would look like a score of
        nothing.
    """
    about, method = cell.cell, cell.cell.method
    metric = score_bounds.of_task(about.task).metric
    raw = Results(Path(), cell.config, cell.summary, cell.metrics)
    steps, seconds = (folders.curve(raw, method, metric, x) for x in ("env_steps", "seconds"))
    lines = [line for line in cell.metrics if line["method"] == method]
    last = {line["seed"]: folders.read(line, metric) for line in lines}
    if metric != score_bounds.RETURN and not any(metric in line["success"] for line in lines):
        known = ", ".join(lines[-1]["success"])
        raise ValueError(f"{about.place}: no {metric} in metrics.jsonl, which has {known}")
    helped = uses_demonstrations(method)
    llm = cell.summary.get("llm") or {}
    told, calls = llm.get("seconds") or 0.0, llm.get("calls") or 0
    answers = (told or ANSWER_SECONDS * calls) if helped else 0.0
    entry = cell.method
    train_seconds = entry["train_seconds"]
    timed = _timed(raw, method, steps, rates or {})
    if timed is not None:
        seconds, train_seconds = timed, float(timed.x[-1])
    return Outcome(
        task=about.task,
        variant=about.variant,
        group=about.group,
        method=method,
        metric=metric,
        final=np.array(list(last.values()), np.float64),
        steps=steps,
        seconds=seconds,
        demonstrated=_demonstrated(cell, metric),
        demonstration_steps=cell.summary["demonstrations"]["steps"] if helped else 0,
        answer_seconds=answers,
        assumed=helped and not told and calls > 0,
        env_steps=entry["env_steps"],
        train_seconds=train_seconds,
        measures={name: found["iqm"] for name, found in entry["success"].items() if name != metric},
        side_by_side=timed is not None,
    )


def _timed(raw: Results, method: str, steps: Curve, rates: Mapping[str, Rate]) -> Curve | None:
    """The curve over the seconds that a seed takes by the rates; None where they say nothing."""
    if steps.x.size == 0:
        return None
    cloning = np.zeros_like(steps.x)
    if method in suite_rates.STAGES or folders.takes_no_steps(raw, method):
        train = raw.config["config"]["train"]
        updates = folders.curve(raw, method, "team_return", "updates").x
        cloning = updates * train["num_envs"] * train["rollout_steps"] - steps.x
    spent = [suite_rates.spent(rates, method, *each) for each in zip(steps.x, cloning, strict=True)]
    found = [each for each in spent if each is not None]
    return Curve(np.array(found), steps.values) if len(found) == len(spent) else None


def _demonstrated(cell: Summary, metric: str) -> float:
    demonstrations = cell.summary["demonstrations"]
    means = {"team_return": demonstrations.get("team_return_mean")}
    value = (means | demonstrations.get("success", {})).get(metric)
    return float("nan") if value is None else float(value)


def load(published: Path, suite: str) -> list[Outcome]:
    """All finished cells of a suite, in its order: tasks and methods as they are listed there."""
    listed = suites.cells(suite)
    names = [[cell.task for cell in listed], [cell.group for cell in listed]]
    names.append([cell.variant for cell in listed])

    def rank(each: Outcome) -> list[int]:
        parts = zip(names, (each.task, each.group, each.variant), strict=True)
        return [known.index(part) if part in known else len(known) for known, part in parts]

    rates = suite_rates.load(published, suite)
    plans = suite_plans.load(published, suite)
    found = [
        outcome(cell, rates.get(cell.cell.task))._replace(
            planned=plans.get(cell.cell.task, float("nan"))
        )
        for cell in suite_cells.load_all(published, suite)
    ]
    return sorted(found, key=rank)


def tasks(outcomes: list[Outcome]) -> list[str]:
    """Names of the tasks, in order of appearance."""
    return list(dict.fromkeys(each.task for each in outcomes))


def find(outcomes: list[Outcome], task: str, variant: str) -> Outcome | None:
    """The cell of a task and a variant."""
    found = [each for each in outcomes if (each.task, each.variant) == (task, variant)]
    return found[0] if found else None


def best(outcomes: list[Outcome], task: str, *, helped: bool) -> Outcome | None:
    """The baseline of a task with the highest final score, with or without demonstrations.

    LEED itself is no baseline.
    """
    rivals = [
        each
        for each in outcomes
        if each.task == task
        and each.method != "leed"
        and uses_demonstrations(each.method) == helped
        and np.isfinite(each.interval.iqm)
    ]
    return max(rivals, key=lambda each: each.interval.iqm, default=None)


def common(outcomes: list[Outcome], variants: list[str]) -> list[list[np.ndarray]]:
    """Normalised final scores of several variants on the tasks that all of them have.

    Of every task as many seeds as the fewest of all have, so that tasks weigh alike. Scores below
    0 count as 0, as do seeds that diverged: how far below differs by task, and says little.
    """
    cells = {v: [find(outcomes, task, v) for task in tasks(outcomes)] for v in variants}
    shared = [
        index
        for index, task in enumerate(tasks(outcomes))
        if score_bounds.of_task(task).bounds is not None
        and all(found[index] is not None for found in cells.values())
    ]
    chosen = {v: [each for i in shared if (each := found[i]) is not None]
              for v, found in cells.items()}  # fmt: skip
    seeds = min((len(each.final) for found in chosen.values() for each in found), default=0)
    return [[np.maximum(each.normalised[:seeds], 0.0) for each in chosen[v]] for v in variants]
