"""What is seen of a training while it runs: how far it is, the time left, the last evaluation."""

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import rich.console
from rich import live, progress, table

from leed_jax import displays

MAX_ROWS = 8
"""Of more seeds the table shows mean, lowest and highest."""
MAX_COLUMNS = 8
"""Of the table, besides the first two."""


class TrainingProgress:
    """How far a training is, with return, speed and the time left, and its last evaluation.

    On stderr: a bar where that is a terminal, else a line for every tenth. In a notebook below the
    cell. Use as a context manager.
    """

    def __init__(self, description: str, total_steps: int, *, enabled: bool = True) -> None:
        """Describes the bar; it appears when the context is entered.

        Args:
          description: what is trained, e.g. ``leed on mpe/simple_spread``.
          total_steps: environment steps at which the bar is full.
          enabled: False prints nothing at all.
        """
        # Not as for Jupyter, where rich would ask for ipywidgets.
        console = rich.console.Console(stderr=True, force_jupyter=False)
        # A chunk of training can take minutes, more than rich's usual window: estimate over all.
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[status]}"),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=console,
            speed_estimate_period=float("inf"),
            expand=True,
        )
        self._task = self._bar.add_task(description, total=total_steps, status="starting")
        self._table: table.Table | None = None
        self._enabled = enabled
        self._display: displays.Display
        if displays.in_notebook():
            self._display = displays.Cell(lambda: displays.plain(self._shown()))
        elif displays.on_terminal():
            self._display = live.Live(
                console=console, get_renderable=self._shown, refresh_per_second=4
            )
        else:
            self._display = displays.Lines(self._line, self._end)

    def update(
        self,
        steps: int,
        team_return: float | None = None,
        steps_per_second: float | None = None,
        lines: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Moves the bar.

        Args:
          steps: environment steps so far.
          team_return: of the last evaluation; None before the first.
          steps_per_second: environment steps, over all seeds; None if not measured.
          lines: of the last evaluation, as ``metrics.jsonl`` has them, for the table.
        """
        parts = []
        if team_return is not None:
            parts.append(f"return {team_return:.2f}")
        if steps_per_second is not None:
            parts.append(f"{_short(steps_per_second)} steps/s")
        self._bar.update(self._task, completed=steps, status=" ".join(parts))
        if lines and self._enabled:
            self._table = evaluation_table(lines)
        if self._enabled:
            self._display.refresh()

    def _shown(self) -> rich.console.Group:
        bar = self._bar.get_renderable()
        return rich.console.Group(*([bar] if self._table is None else [bar, self._table]))

    def _line(self) -> tuple[float, str]:
        task = self._bar.tasks[0]
        told = f"{task.description}: {task.percentage:.0f}% {task.fields['status']}"
        return task.percentage, told.rstrip()

    def _end(self) -> str:
        return "" if self._table is None else displays.plain(self._table, displays.FILE_WIDTH)

    def __enter__(self) -> "TrainingProgress":
        """Itself, with the bar shown."""
        if self._enabled:
            self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the bar where it is."""
        if self._enabled:
            self._display.stop()


def evaluation_table(lines: Sequence[Mapping[str, Any]]) -> table.Table:
    """A row per seed with its return, success metrics and losses; of many seeds a summary.

    Args:
      lines: of one evaluation, at least one.
    """
    wanted = [("success", name) for name in lines[0]["success"]]
    wanted += [("loss", name) for name in lines[0]["loss"]]
    wanted = wanted[:MAX_COLUMNS]
    rows = [
        [line["team_return"], *(line[kind].get(name, math.nan) for kind, name in wanted)]
        for line in lines
    ]
    heads = [f"{name} loss" if kind == "loss" else name for kind, name in wanted]
    found = table.Table(box=None, pad_edge=False)
    found.add_column("seed", no_wrap=True)
    for head in ("return", *heads):
        found.add_column(head.replace("_", " "), justify="right")
    if len(rows) <= MAX_ROWS:
        for line, row in zip(lines, rows, strict=True):
            found.add_row(_name(line), *map(_number, row))
        return found
    finite = [[value for value in each if math.isfinite(value)] for each in zip(*rows, strict=True)]
    for name, summary in (("mean", _mean), ("lowest", min), ("highest", max)):
        cells = [_number(summary(values)) if values else "-" for values in finite]
        found.add_row(f"{name} of {len(rows)}", *cells)
    return found


def _name(line: Mapping[str, Any]) -> str:
    """The seed, and with it what else tells teams of a sweep apart."""
    name = str(line["seed"])
    if "learning_rate" in line:
        name += f" lr {line['learning_rate']:g} λ {line['expert_weight_start']:g}"
    return name


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _short(number: float) -> str:
    """Three digits or so: 950, 12.3k, 4.56M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"
