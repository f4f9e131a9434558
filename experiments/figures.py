"""Learning curves of a results folder: interquartile mean over seeds, with a bootstrap band."""

import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from experiments import results as folders
from experiments.results import Results

# Okabe and Ito's colours, safe for the colour-blind, and a marker each for prints without colour:
# fixed per method, so that a method looks the same in every figure.
STYLES = {
    "leed": ("#0072B2", "o"),
    "ippo": ("#D55E00", "s"),
    "ippo_shared": ("#CC79A7", "v"),
    "bc": ("#009E73", "^"),
    "mappo": ("#CC79A7", "D"),
    "iql": ("#E69F00", "v"),
    "vdn": ("#56B4E9", "P"),
    "qmix": ("#8C6D1F", "X"),
    "dagger": ("#332288", ">"),
    "bc_ppo": ("#44AA99", "<"),
}
# For all others, such as ablations: from Tol's muted scheme, which the above leave free.
SPARE_COLOURS = ("#882255", "#999933", "#661100", "#777777", "#88CCEE", "#AA4499")
SPARE_MARKERS = "*pH8dh"
MAX_COLUMNS = 3
LEGEND_COLUMNS = 3
PANEL_INCHES = (4.3, 3.1)
NUM_MARKERS = 8
"""Along a curve."""
TITLE_CHARACTERS = 43
"""Per column of panels; a longer title is broken into lines."""
EARLY, FOCUS = 0.25, 4.0
"""Where the first quarter of the curves spans so many times the rest, the panel shows the rest."""
X_LABELS = {"env_steps": "environment steps", "seconds": "wall-clock time [s]"}


def write(results: Results) -> list[Path]:
    """Draws ``learning_curves.png`` and ``wall_clock.png`` into the folder; returns their paths."""
    paths = []
    for name, x in (("learning_curves.png", "env_steps"), ("wall_clock.png", "seconds")):
        paths.append(results.folder / name)
        figure = learning_curves(results, x)
        FigureCanvasAgg(figure).print_png(paths[-1])
    return paths


def learning_curves(results: Results, x: str = "env_steps") -> Figure:
    """A figure with one panel for the team return and one for each success metric.

    Args:
      results: a loaded results folder.
      x: ``env_steps`` or ``seconds``.
    """
    metrics = folders.metric_names(results.summary)
    columns = len(metrics) if len(metrics) <= MAX_COLUMNS else _columns(len(metrics))
    rows = math.ceil(len(metrics) / columns)
    width, height = PANEL_INCHES
    legend_rows = math.ceil((len(results.summary["methods"]) + 2) / LEGEND_COLUMNS)
    # One panel alone would be narrower than title and legend; both get room of their own.
    size = (max(width * columns, 6.4), height * rows + 0.6 + 0.22 * legend_rows)
    figure = Figure(figsize=size, dpi=130)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        _draw_panel(axes, results, metric, x)
    for unused in panels[len(metrics) :]:
        unused.set_axis_off()
    handles: dict[str, Any] = {}
    for axes in panels:
        drawn, names = axes.get_legend_handles_labels()
        handles |= dict(zip(names, drawn, strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        frameon=False,
    )
    figure.suptitle(_title(results, columns))
    return figure


def style(method: str, methods: list[str]) -> tuple[str, str]:
    """Colour and marker; methods without fixed ones get spare ones, in the order of ``methods``."""
    if method in STYLES:
        return STYLES[method]
    index = [name for name in methods if name not in STYLES].index(method)
    return SPARE_COLOURS[index % len(SPARE_COLOURS)], SPARE_MARKERS[index % len(SPARE_MARKERS)]


def _columns(panels: int) -> int:
    """The number of columns, 2 or 3, that leaves fewer panels empty."""
    return min((MAX_COLUMNS, MAX_COLUMNS - 1), key=lambda columns: -panels % columns)


def _title(results: Results, columns: int) -> str:
    counts = {method["seeds"] for method in results.summary["methods"].values()}
    seeds = "-".join(str(count) for count in sorted({min(counts), max(counts)}))
    seeds += " seed" if counts == {1} else " seeds"
    parts = [folders.title(results.summary), f"{seeds}: IQM with 95 % bootstrap interval"]
    text = (", " if columns > 1 else "\n").join(parts)
    width = TITLE_CHARACTERS * columns
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def _draw_panel(axes: Axes, results: Results, metric: str, x: str) -> None:
    for method in results.summary["methods"]:
        _draw_method(axes, results, method, metric, x)
    demonstrations = results.summary.get("demonstrations")
    if demonstrations:
        means = {"team_return": demonstrations.get("team_return_mean")}
        means |= demonstrations.get("success", {})
        _draw_level(axes, means.get(metric), "demonstrations (mean)", "0.2", "--")
    threshold = results.summary.get("threshold")
    if threshold and threshold["metric"] == metric:
        _draw_level(axes, threshold["value"], "threshold", "0.45", ":")
    _focus(axes)
    unit = "\n[sum over agents and steps]" if metric == "team_return" else ""
    axes.set(xlabel=X_LABELS[x], ylabel=folders.words(metric) + unit)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _focus(axes: Axes) -> None:
    """Leaves out what untrained teams do where it would flatten all that comes later."""
    lines = [np.asarray(line.get_xydata(), float) for line in axes.get_lines()]
    curves = [line for line in lines if len(line) > 2]
    if not curves:
        return
    end = max(curve[-1, 0] for curve in curves)
    late = [curve[curve[:, 0] >= EARLY * end, 1] for curve in curves]
    levels = [line[:, 1] for line in lines if len(line) <= 2]
    shown, every = (
        np.concatenate([*values, *levels]) for values in (late, [c[:, 1] for c in curves])
    )
    shown, every = shown[np.isfinite(shown)], every[np.isfinite(every)]
    if len(shown) and np.ptp(every) > FOCUS * np.ptp(shown) > 0:
        margin = 0.15 * np.ptp(shown)
        axes.set_ylim(shown.min() - margin, shown.max() + margin)


def _draw_level(axes: Axes, value: float | None, name: str, colour: str, line: str) -> None:
    """A horizontal line across the panel, above the bands."""
    if value is not None:
        axes.axhline(value, label=name, color=colour, linestyle=line, linewidth=1.6, zorder=3)


def _draw_method(axes: Axes, results: Results, method: str, metric: str, x: str) -> None:
    """The method's curve; a horizontal line where it uses no environment steps."""
    found = folders.curve(results, method, metric, x)
    if found.x.size == 0:
        return
    colour, marker = style(method, list(results.summary["methods"]))
    name = folders.label(method)
    lost = folders.diverged(results, method)
    if lost:
        name += f" ({lost} of {found.values.shape[0]} seeds diverged)"
    points = np.array([folders.over_seeds(values) for values in found.values.T])
    if folders.takes_no_steps(results, method):
        middle, low, high = points[-1]
        axes.axhspan(low, high, color=colour, alpha=0.15, linewidth=0)
        axes.axhline(
            middle, color=colour, linewidth=1.8, label=f"{name} (final, no environment steps)"
        )
        return
    middle, low, high = points.T
    axes.fill_between(found.x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(
        found.x,
        middle,
        color=colour,
        linewidth=1.8,
        marker=marker,
        markersize=5,
        markevery=max(1, math.ceil(len(found.x) / NUM_MARKERS)),
        label=name,
    )
