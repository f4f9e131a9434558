"""Tables of a suite: final scores, what they cost, who is better, ablations."""

import math

import numpy as np

from experiments import results as folders
from experiments import score_bounds
from experiments import suite_results as numbers
from experiments.suite_results import Outcome
from leed_jax import comparisons, statistics
from leed_jax.result_tables import MISSING, Grid, interval, number

OURS = "leed"
ROUNDING = 1e-5


def finals(outcomes: list[Outcome]) -> Grid:
    """Tasks by variants: the score at the end of training."""
    variants = list(dict.fromkeys(each.variant for each in outcomes))
    rows = []
    for task in numbers.tasks(outcomes):
        cells = [numbers.find(outcomes, task, variant) for variant in variants]
        shown = [MISSING if each is None else _final(each) for each in cells]
        rows.append([task, folders.words(score_bounds.of_task(task).metric), *shown])
    return Grid(["task", "score", *map(folders.label, variants)], rows)


def aggregates(outcomes: list[Outcome]) -> Grid:
    """Variants by statistics over all tasks, of normalised scores."""
    variants = list(dict.fromkeys(each.variant for each in outcomes))
    if OURS not in variants:
        return Grid(["method"], [])
    rows = []
    for variant in variants:
        ours, theirs = numbers.common(outcomes, [OURS, variant])
        if not ours:
            continue
        shared = [
            each
            for task in numbers.tasks(outcomes)
            if (each := numbers.find(outcomes, task, variant)) is not None
            and score_bounds.of_task(task).bounds is not None
        ]
        area = float(np.mean([max(0.0, float(statistics.iqm(each.area))) for each in shared]))
        improved = MISSING
        if variant != OURS:
            found = comparisons.interval(comparisons.probability_of_improvement, ours, theirs)
            improved = _estimate(found)
        rows.append(
            [
                folders.label(variant),
                str(len(ours)),
                _estimate(comparisons.interval(_pooled_iqm, theirs)),
                _estimate(comparisons.interval(comparisons.optimality_gap, theirs)),
                number(area),
                improved,
            ]
        )
    header = ["method", "tasks", "IQM", "optimality gap", "area under the curve"]
    return Grid([*header, "P(a run of LEED is better)"], rows)


def efficiency(outcomes: list[Outcome]) -> Grid:
    """Tasks by what LEED needs for the final score of the best baseline."""
    rows = []
    for task in numbers.tasks(outcomes):
        ours = numbers.find(outcomes, task, OURS)
        rival = numbers.best(outcomes, task, helped=False)
        if ours is None or rival is None:
            rows.append([task, *[MISSING] * 9])
            continue
        target = rival.interval.iqm
        steps, seconds = ours.reaches(target)
        own_steps, _ = rival.reaches(target)
        alone = None if seconds is None else seconds - ours.answer_seconds
        rows.append(
            [
                task,
                f"{folders.label(rival.variant)} {number(target)}",
                f"{rival.env_steps:,}",
                _steps(steps),
                factor(steps, rival.env_steps),
                factor(steps, own_steps),
                number(rival.train_seconds),
                "not reached" if seconds is None else number(seconds),
                factor(seconds, rival.train_seconds),
                factor(alone, rival.train_seconds),
            ]
        )
    header = ["task", "best baseline without demonstrations", "its steps", "LEED's steps"]
    header += ["of its steps", "of its steps to that score", "its seconds", "LEED's seconds"]
    return Grid([*header, "of its seconds", "without the model's seconds"], rows)


def medians(grid: Grid) -> list[str]:
    """The median of the factors of `efficiency`; what was not reached counts as infinite."""
    found = []
    for name in ("of its steps", "of its steps to that score", "of its seconds"):
        # Rows without LEED or without a baseline say nothing.
        rows = [row for row in grid.rows if row[1] != MISSING]
        column = [row[grid.header.index(name)] for row in rows]
        values = [math.inf if cell == "-" else float(cell) for cell in column]
        if values:
            middle = float(np.median(values))
            found.append(f"{name}: {'not reached' if math.isinf(middle) else number(middle)}")
    return found


def helped(outcomes: list[Outcome]) -> Grid:
    """Tasks by LEED beside its demonstrations' other users, and the demonstrations."""
    rows = []
    for task in numbers.tasks(outcomes):
        ours = numbers.find(outcomes, task, OURS)
        if ours is None:
            continue
        rival = numbers.best(outcomes, task, helped=True)
        bare = numbers.best(outcomes, task, helped=False)
        rows.append(
            [
                task,
                _final(ours),
                _plan(ours),
                *(_beside(ours, each) for each in (bare, rival)),
            ]
        )
    header = [
        "task",
        "LEED",
        "its plan, from the same starts",
        "best without demonstrations",
        "best with the same demonstrations",
    ]
    return Grid(header, rows)


def beside_default(outcomes: list[Outcome], changed: list[Outcome]) -> Grid:
    """Tasks by LEED with its defaults, the same with other settings, and the plan of both.

    Args:
      outcomes: of a suite with LEED.
      changed: one per task, by the same plans.
    """
    rows = []
    for each in changed:
        ours = numbers.find(outcomes, each.task, OURS)
        if ours is not None:
            each = each._replace(planned=ours.planned)
        metric = folders.words(score_bounds.of_task(each.task).metric)
        rows.append([each.task, metric, _final(ours), _final(each), _plan(each)])
    names = list(dict.fromkeys(each.variant for each in changed))
    header = ["task", "score", "LEED", f"LEED, {', '.join(names)}"]
    return Grid([*header, "its plan, from the same starts"], rows)


def ablation(outcomes: list[Outcome], group: str, reference: str) -> Grid:
    """Variants of one group, below the reference, by tasks: final score and area."""
    chosen = [each for each in outcomes if each.group == group or each.variant == reference]
    names = list(dict.fromkeys(each.variant for each in chosen))
    names.sort(key=lambda name: name != reference)
    found = numbers.tasks(chosen)
    rows = []
    for name in names:
        cells = [numbers.find(chosen, task, name) for task in found]
        rows.append([name, *(text for each in cells for text in (_final(each), _area(each)))])
    header = [group or "variant"]
    for task in found:
        header += [f"{task}: {folders.words(score_bounds.of_task(task).metric)}", "area"]
    return Grid(header, rows)


def bounds(outcomes: list[Outcome]) -> Grid:
    """What is called 0 and 1 on every task."""
    rows = []
    for task in numbers.tasks(outcomes):
        metric, limits = score_bounds.of_task(task)
        if limits is not None:
            shown = [number(limits.low), number(limits.high), limits.source]
            rows.append([task, folders.words(metric), *shown])
    return Grid(["task", "score", "0", "1", "which are"], rows)


def factor(value: float | None, of: float | None) -> str:
    """A ratio; a dash where either is not there."""
    return MISSING if value is None or not of else f"{value / of:.3f}"


def _pooled_iqm(scores: list[np.ndarray]) -> float:
    return float(statistics.iqm(np.concatenate(scores)))


def _final(each: Outcome | None) -> str:
    if each is None:
        return MISSING
    lost = int(np.isnan(each.final).sum())
    return interval(each.interval._asdict()) + (f", {lost} diverged" if lost else "")


def _area(each: Outcome | None) -> str:
    if each is None or score_bounds.of_task(each.task).bounds is None:
        return MISSING
    return number(float(statistics.iqm(each.area)))


def _plan(ours: Outcome) -> str:
    """The plan's score beside LEED's; that of the demonstrations where it was not measured."""
    if np.isnan(ours.planned):
        return f"{number(ours.demonstrated)} (demonstrations)"
    mine = ours.interval
    # Sums of as many numbers in another order differ in the last digits.
    margin = ROUNDING * abs(ours.planned)
    verdict = "level"
    if mine.low > ours.planned + margin:
        verdict = "LEED higher"
    if mine.high < ours.planned - margin:
        verdict = "LEED lower"
    return f"{number(ours.planned)}: {verdict}"


def _beside(ours: Outcome, other: Outcome | None) -> str:
    """Another's final score, and whether the intervals lie apart."""
    if other is None:
        return MISSING
    mine, its = ours.interval, other.interval
    verdict = "overlaps"
    if mine.low > its.high:
        verdict = "LEED higher"
    if mine.high < its.low:
        verdict = "LEED lower"
    return f"{folders.label(other.variant)} {_final(other)}: {verdict}"


def _steps(value: float | None) -> str:
    return "not reached" if value is None else f"{value:,.0f}"


def _estimate(found: comparisons.Estimate) -> str:
    return interval({"iqm": found.value, "low": found.low, "high": found.high})
