"""Tables and the figure of the speed benchmark."""

import math
from pathlib import Path
from typing import Any

import rich.table
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from leed_jax import files

# Okabe and Ito's colours, one per part.
COLOURS = {
    "environment": "#009E73",
    "rollout": "#56B4E9",
    "update": "#E69F00",
    "step": "#0072B2",
    "run": "#D55E00",
}
MAX_COLUMNS = 3
MAX_SPREAD = 10.0
PANEL_WIDTH, BAR_HEIGHT = 4.6, 0.3
"""Inches."""

Row = dict[str, Any]


def cells(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by what was timed together, in order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        agents, envs = row["num_agents"], row["num_envs"]
        title = f"{row['scenario']}, {agents} agents, {envs} environments"
        title += ", whole runs" if row["part"] == "run" else ""
        found.setdefault(title, []).append(row)
    return found


def tables(result: dict[str, Any]) -> list[rich.table.Table]:
    """One for every cell."""
    return [_table(title, rows, result) for title, rows in cells(result["rows"]).items()]


def _table(title: str, rows: list[Row], result: dict[str, Any]) -> rich.table.Table:
    table = rich.table.Table(
        "part",
        "method",
        "env steps/s",
        "agent-steps/s",
        "ratio",
        "quartiles",
        "compile \\[s]",
        "memory \\[MB]",
        "GFLOP/s",
        "of product",
        "kernels",
        title=f"{title}; {result['device']}, load {rows[0]['load']:.1f}",
    )
    for row in rows:
        low, high = row["speed_ratio_quartiles"]
        table.add_row(
            row["part"],
            row["method"] or "",
            f"{row['env_steps_per_second']:,.0f}",
            f"{row['agent_steps_per_second']:,.0f}",
            f"{row['speed_ratio']:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{row['compile_seconds']:.1f}",
            _optional(row["program_memory_mb"], ",.0f"),
            f"{row['matmul_gflop_per_second']:,.1f}" if row["matmul_gflop"] else "",
            _optional(row.get("share_of_product"), ".0%"),
            f"{row['kernels']:,}",
        )
    return table


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def notes(result: dict[str, Any]) -> list[str]:
    """What the tables need to be understood."""
    limits = result["limits"]
    found = [
        "Ratio: speed to the first of the same part, median over rounds. GFLOP/s: matrix products "
        "alone, counted in the traced program; of product: share of what a product of a hidden "
        "layer's shape reaches alone. Kernels: of one call, in the optimised program.",
        f"Limits measured here: {limits['bytes_per_second'] / 1e9:,.1f} GB/s, "
        f"{limits['launch_seconds'] * 1e6:.2f} us per kernel; process so far at most "
        f"{result['peak_memory_mb']:,.0f} MB; {result['minutes']:.1f} minutes.",
    ]
    for title, rows in cells(result["rows"]).items():
        if rows[0]["part"] == "run":
            batch = (
                f"{rows[0]['gradient_steps_per_update']} gradient steps per update of "
                f"{rows[0]['rows_per_gradient_step']:,} agents' rows, on both sides"
            )
            sizes = ", ".join(f"{row['method']} {row['parameters']:,}" for row in rows)
            found.append(f"{title}: {batch}. Parameters: {sizes}. {rows[0]['differences']}.")
        else:
            found += _physical(title, rows)
    if result["skipped"]:
        found.append(f"No time left for: {'; '.join(result['skipped'])}.")
    return found


def _physical(title: str, rows: list[Row]) -> list[str]:
    shares = ", ".join(
        f"{row['part']} {row['method'] or ''} {row['share_of_memory_limit']:.0%} / "
        f"{row['share_of_launch_limit']:.0%}".replace("  ", " ")
        for row in rows
    )
    return [
        f"{title}: share of the time that memory traffic / launches alone would take: {shares}."
    ]


def write(result: dict[str, Any], path: Path) -> None:
    """Draws the figure to a PNG file."""
    with files.whole(path) as partial:
        FigureCanvasAgg(figure(result)).print_png(partial)


def figure(result: dict[str, Any]) -> Figure:
    """A panel per cell: steps per second of every program, with the quartiles of the rounds."""
    found = cells(result["rows"])
    columns = min(len(found), MAX_COLUMNS)
    lines = math.ceil(len(found) / columns)
    tallest = max(len(rows) for rows in found.values())
    drawn = Figure(figsize=(PANEL_WIDTH * columns, lines * (1.1 + BAR_HEIGHT * tallest)), dpi=130)
    drawn.set_layout_engine("constrained")
    panels = drawn.subplots(lines, columns, squeeze=False).ravel()
    for axes, (title, rows) in zip(panels, found.items(), strict=False):
        steps = [row["env_steps_per_second"] for row in rows]
        pairs = list(zip(steps, rows, strict=True))
        # A quartile of the seconds, as a speed: the shorter time is the higher one.
        spread = [
            [
                abs(step * row["seconds_median"] / row["seconds_quartiles"][side] - step)
                for step, row in pairs
            ]
            for side in (1, 0)
        ]
        names = [f"{row['part']} {row['method'] or ''}".strip() for row in rows]
        colours = [COLOURS[row["part"]] for row in rows]
        axes.barh(range(len(rows)), steps, xerr=spread, color=colours, ecolor="0.3")
        axes.set_yticks(range(len(rows)), names, fontsize=8)
        axes.invert_yaxis()
        # Bars begin at zero; parts whose speeds are far apart are shown by magnitude.
        apart = max(steps) > MAX_SPREAD * min(steps)
        axes.set(xscale="log" if apart else "linear", xlabel="environment steps per second")
        axes.set_title(title.replace(", ", ",\n", 1), fontsize=9)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(axis="x", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    for unused in panels[len(found) :]:
        unused.set_axis_off()
    drawn.suptitle(result["device"], fontsize=10)
    return drawn
