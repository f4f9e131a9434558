"""Tables before they are Markdown or a terminal's, and how numbers are written in them."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

MISSING = "-"


class Grid(NamedTuple):
    """A header and rows of as many cells."""

    header: list[str]
    rows: list[list[str]]


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


def markdown(grid: Grid) -> str:
    """A table in Markdown; all columns but the first to the right."""
    ruler = ["---", *["---:"] * (len(grid.header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (grid.header, ruler, *grid.rows))
