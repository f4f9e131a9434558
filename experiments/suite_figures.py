"""Figures of a suite: learning curves of all tasks, performance profile, growth with agents."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from experiments import figures, score_bounds
from experiments import results as folders
from experiments import suite_results as numbers
from experiments.suite_results import Outcome
from leed_jax import comparisons

COLUMNS = 3
LEVELS = np.linspace(0.0, 1.1, 111)
LEGEND_INCHES = 1.6
"""Room for the longest name of a method with its line."""


def save(figure: Figure, path: Path) -> Path:
    """Writes a PNG without the date and version that would make it differ; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
    return path


def curves(outcomes: list[Outcome], x: str) -> Figure:
    """A panel per task: IQM and band over what was spent so far, on a logarithmic axis.

    Args:
      outcomes: of one suite without groups.
      x: ``steps``, those of the demonstrations counted, or ``seconds``, those of the language
        model counted.
    """
    names = numbers.tasks(outcomes)
    variants = list(dict.fromkeys(each.variant for each in outcomes))
    label = {"steps": "environment steps, demonstrations' counted",
             "seconds": "seconds of training, language model's counted"}  # fmt: skip
    figure, panels = _panels(len(names))
    for axes, task in zip(panels, names, strict=False):
        here = [each for each in outcomes if each.task == task]
        for each in here:
            _curve(axes, each, x, variants)
        metric, limits = score_bounds.of_task(task)
        if limits is not None:
            name = "best known reference"
            axes.axhline(limits.high, color="0.45", linestyle=":", linewidth=1.4, label=name)
            _cut(axes, limits)
        _logarithmic(axes, "x")
        axes.set_title(task, fontsize=10)
        axes.set(xlabel=label[x], ylabel=folders.words(metric))
    _legend(figure, panels)
    return figure


def profile(outcomes: list[Outcome]) -> Figure:
    """Share of runs above a normalised score, over the score, of the variants with all tasks.

    Those that were run on some tasks only would leave nothing else to compare the others on.
    """
    variants = list(dict.fromkeys(each.variant for each in outcomes))
    names = numbers.tasks(outcomes)
    variants = [
        variant
        for variant in variants
        if all(numbers.find(outcomes, task, variant) is not None for task in names)
    ]
    scores = numbers.common(outcomes, variants)
    figure, (axes,) = _panels(1)
    for variant, found in zip(variants, scores, strict=True):
        if not found:
            continue

        def height(tasks: list[np.ndarray]) -> np.ndarray:
            return comparisons.performance_profile(tasks, LEVELS)

        middle, low, high = comparisons.estimate(height, found, resamples=500)
        colour, _ = figures.style(variant, variants)
        axes.fill_between(LEVELS, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(LEVELS, middle, color=colour, label=folders.label(variant), linewidth=1.8)
    tasks = len(scores[0]) if scores else 0
    axes.set(xlabel="normalised score", ylabel=f"share of runs above it ({tasks} tasks)")
    _legend(figure, [axes])
    return figure


def growth(outcomes: list[Outcome], family: str) -> Figure:
    """Three panels over the number of agents: score, steps to half of it, seconds per step."""
    here = [each for each in outcomes if each.task.startswith(family) and agents(each)]
    figure, panels = _panels(3)
    measures: list[tuple[str, Callable[[Outcome], float]]] = [
        ("normalised score", lambda each: float(np.mean(each.normalised))),
        ("environment steps to 0.5,\ndemonstrations' counted", halfway),
        ("training seconds per million steps", rate),
    ]
    for axes, (name, read) in zip(panels, measures, strict=True):
        for variant in dict.fromkeys(each.variant for each in here):
            points = sorted((agents(each), read(each)) for each in here if each.variant == variant)
            colour, marker = figures.style(
                variant, list(dict.fromkeys(each.variant for each in here))
            )
            x, y = np.array(points).T
            axes.plot(x, y, color=colour, marker=marker, label=folders.label(variant))
        axes.set(xlabel="agents", ylabel=name, xscale="log")
        ticks = sorted({agents(each) for each in here})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
    _logarithmic(panels[1], "y")
    _logarithmic(panels[2], "y")
    _legend(figure, panels)
    return figure


def agents(each: Outcome) -> int:
    """N of the task's name; 0 where it has none."""
    _, found, number = each.task.rpartition("N = ")
    return int(number) if found else 0


def halfway(each: Outcome) -> float:
    """Environment steps to the middle of the task's scale, all counted; NaN where not reached."""
    limits = score_bounds.of_task(each.task).bounds
    if limits is None:
        return math.nan
    steps, _ = each.reaches(limits.low + 0.5 * (limits.high - limits.low))
    return math.nan if steps is None else steps


def rate(each: Outcome) -> float:
    """Seconds of training per million environment steps of a seed; NaN without steps."""
    steps = each.env_steps * (1 if each.side_by_side else len(each.final))
    return 1e6 * each.train_seconds / steps if steps else math.nan


def _logarithmic(axes: Axes, which: str) -> None:
    """Whole powers of ten are labelled, and 2 and 5 times them where the range is short."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    if high / max(low, 1e-12) < 100:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())


def _curve(axes: Axes, each: Outcome, x: str, variants: list[str]) -> None:
    curve = getattr(each, x)
    colour, marker = figures.style(each.variant, variants)
    name = folders.label(each.variant)
    points = np.array([folders.over_seeds(values) for values in curve.values.T])
    if curve.x.size == 0:
        return
    if each.env_steps == 0 and x == "steps":
        axes.axhline(points[-1, 0], color=colour, linestyle="--", linewidth=1.4, label=name)
        return
    spent = each.demonstration_steps if x == "steps" else each.answer_seconds
    shown = curve.x + spent > 0
    position, points = (curve.x + spent)[shown], points[shown]
    axes.fill_between(position, points[:, 1], points[:, 2], color=colour, alpha=0.15, linewidth=0)
    every = max(1, len(position) // 6)
    axes.plot(position, points[:, 0], color=colour, marker=marker, markevery=every, markersize=4,
              linewidth=1.6, label=name)  # fmt: skip


def _cut(axes: Axes, limits: comparisons.Bounds) -> None:
    """Leaves out what is far worse than random, which would flatten all else."""
    low, high = sorted((limits.low, limits.high))
    margin = 0.1 * (high - low)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - 3 * margin), min(top, high + 3 * margin))


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns) if count else 1
    size = (max(4.1 * columns, 6.4), 2.9 * rows + 1.0)
    figure = Figure(figsize=size, dpi=110)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    every = list(figure.subplots(rows, max(columns, 1), squeeze=False).ravel())
    for axes in every[count:]:
        axes.set_axis_off()
    for axes in every[:count]:
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, every[:count]


def _legend(figure: Figure, panels: list[Axes]) -> None:
    found = {}
    for axes in panels:
        drawn, names = axes.get_legend_handles_labels()
        found |= dict(zip(names, drawn, strict=True))
    if found:
        columns = int(figure.get_figwidth() / LEGEND_INCHES)
        figure.legend(found.values(), found.keys(), loc="outside lower center",
                      ncols=min(columns, 6, len(found)), frameon=False)  # fmt: skip
