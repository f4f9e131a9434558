"""What a run's ``summary.json`` says as tables: for the terminal, and as a `Grid` for reports."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import rich.console
import rich.markup
import rich.table

MISSING = "-"
LABELS = {
    "leed": "LEED",
    "ippo": "IPPO",
    "ippo_shared": "IPPO, shared",
    "bc": "BC",
    "mappo": "MAPPO",
    "iql": "IQL",
    "vdn": "VDN",
    "qmix": "QMIX",
    "mappo_per_agent": "MAPPO, own parameters",
    "dagger": "DAgger",
    "bc_ppo": "BC, then PPO",
    "kickstarting": "kickstarting",
    "dapg": "DAPG",
}
"""How methods are written for people; others go by their own names."""


class Grid(NamedTuple):
    """A header and rows of as many cells."""

    header: list[str]
    rows: list[list[str]]


def table(summary: dict[str, Any]) -> rich.console.Group:
    """The results and their cost as tables for the terminal."""
    caption = "interquartile mean over seeds, [95 % bootstrap interval]; demonstrations: mean"
    quality = _terminal_table(outcome(summary), title=title(summary), caption=caption)
    price = _terminal_table(cost(summary), title="cost", caption=threshold(summary))
    return rich.console.Group(quality, price)


# ------------------------------------------------------------------------------- the numbers


def outcome(summary: dict[str, Any]) -> Grid:
    """Return and success of every method at the end of training, and of the demonstrations."""
    metrics = metric_names(summary)
    rows = []
    for name, method in summary["methods"].items():
        entries = {"team_return": method["team_return"], **method.get("success", {})}
        cells = [interval(entries.get(metric)) for metric in metrics]
        rows.append([label(name), str(method["seeds"]), *cells])
    demonstrations = summary.get("demonstrations")
    if demonstrations:
        means = {"team_return": demonstrations.get("team_return_mean")}
        means |= demonstrations.get("success", {})
        cells = [number(means.get(metric)) for metric in metrics]
        rows.append(["demonstrations", MISSING, *cells])
    return Grid(["method", "seeds", *map(words, metrics)], rows)


def cost(summary: dict[str, Any]) -> Grid:
    """Samples, seconds and memory of every method."""
    columns = {
        "env_steps": "env steps per seed",
        "steps_to_threshold": "steps to threshold",
        "seconds_to_threshold": "seconds to threshold",
        "env_steps_per_second": "env steps/s",
        "agent_steps_per_second": "agent steps/s",
        "compile_seconds": "compile [s]",
        "peak_memory_mb": "peak memory [MB]",
    }
    rows = [
        [label(name), *(number(method.get(key)) for key in columns)]
        for name, method in summary["methods"].items()
    ]
    return Grid(["method", *columns.values()], rows)


def threshold(summary: dict[str, Any]) -> str:
    """What the columns to the threshold count to."""
    found = summary.get("threshold")
    if not found:
        return "No threshold is set for this scenario"
    return f"Threshold: {words(found['metric'])} {number(found['value'])} ({found['why']})"


# ------------------------------------------------------------------------------- in words


def label(method: str) -> str:
    """The method's name for people."""
    return LABELS.get(method, method)


def words(metric: str) -> str:
    """A metric's name for people."""
    return metric.replace("_", " ")


def title(summary: dict[str, Any]) -> str:
    """The scenario with its options, in one line."""
    options = summary["scenario"].get("options") or {}
    listed = ", ".join(f"{name}={value}" for name, value in options.items())
    return summary["scenario"]["name"] + (f" ({listed})" if listed else "")


def metric_names(summary: dict[str, Any]) -> list[str]:
    """The team return, then every success metric that a method has."""
    names = ["team_return"]
    for method in summary["methods"].values():
        names += [name for name in method.get("success", {}) if name not in names]
    return names


def number(value: float | None) -> str:
    """Two decimals, three below 1, none for integers and from a thousand on; a dash for None."""
    if value is None or not math.isfinite(value):
        return MISSING
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def interval(entry: Mapping[str, Any] | None) -> str:
    """``iqm [low, high]``; a dash for None."""
    if entry is None:
        return MISSING
    return f"{number(entry['iqm'])} [{number(entry['low'])}, {number(entry['high'])}]"


def _terminal_table(grid: Grid, *, title: str, caption: str) -> rich.table.Table:
    # Escaped, because rich takes brackets for markup.
    escape = rich.markup.escape
    drawn = rich.table.Table(title=escape(title), caption=escape(caption))
    for index, name in enumerate(grid.header):
        drawn.add_column(escape(name), justify="right" if index else "left")
    for row in grid.rows:
        # An interval goes below its mean, so that six columns fit a terminal.
        drawn.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
    return drawn
