"""What a run says while it goes: a line per evaluation in a file, a bar on the terminal."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rich.console
from rich import progress


class MetricsWriter:
    """Appends evaluations to a JSON Lines file, each of them on the disk before `write` returns.

    A number that is not finite is written as null (JSON has none). A last line that was torn by an
    interruption is removed when the file is opened again. Use as a context manager.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file at its end, creating it and its folder where missing."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(target)
        self._file = target.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one line.

        Args:
          record: JSON values, and numpy or jax arrays and numbers, nested at will.

        Raises:
          TypeError: something in ``record`` has no counterpart in JSON; nothing is written.
        """
        self._file.write(json.dumps(jsonable(record), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        """Itself, open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file, whatever happened."""
        self.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics file, in order; a torn last line is left out.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a line is not a JSON object; names it.
    """
    text = Path(path).read_text(encoding="utf-8")
    records = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}: not a JSON object")
        records.append(record)
    return records


def jsonable(value: Any) -> Any:
    """``value`` as JSON has it: arrays as lists, numbers that are not finite as None.

    Raises:
      TypeError: something has no counterpart in JSON.
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "__array__"):
        return jsonable(np.asarray(value).tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def _short(number: float) -> str:
    """Three digits or so: 950, 12.3k, 4.56M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.0f}"


def _cut_torn_line(path: Path) -> None:
    """Drops what follows the last line break, so that the next line starts on its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


class TrainingProgress:
    """A progress bar on stderr with return, speed and the time that is left.

    Where stderr is no terminal only the bar's last state is printed, when the context is left.
    Use as a context manager.
    """

    def __init__(self, description: str, total_steps: int, *, enabled: bool = True) -> None:
        """Describes the bar; it appears when the context is entered.

        Args:
          description: what is trained, e.g. ``leed on mpe/simple_spread``.
          total_steps: environment steps at which the bar is full.
          enabled: False prints nothing at all.
        """
        # A chunk of training can take minutes, more than rich's usual window: estimate over all.
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[status]}"),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=rich.console.Console(stderr=True),
            speed_estimate_period=float("inf"),
            expand=True,
            disable=not enabled,
        )
        self._task = self._bar.add_task(description, total=total_steps, status="starting")

    def update(
        self, steps: int, team_return: float | None = None, steps_per_second: float | None = None
    ) -> None:
        """Moves the bar.

        Args:
          steps: environment steps so far.
          team_return: of the last evaluation; None before the first.
          steps_per_second: environment steps, over all seeds; None if not measured.
        """
        parts = []
        if team_return is not None:
            parts.append(f"return {team_return:.2f}")
        if steps_per_second is not None:
            parts.append(f"{_short(steps_per_second)} steps/s")
        self._bar.update(self._task, completed=steps, status=" ".join(parts))

    def __enter__(self) -> "TrainingProgress":
        """Itself, with the bar shown."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the bar where it is."""
        self._bar.stop()
