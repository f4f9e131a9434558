"""What a run says while it goes: who may listen, and a file with a line per evaluation."""

import abc
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from leed_jax import files

Opened = TypeVar("Opened")


@runtime_checkable
class Logger(Protocol):
    """Anything that hears of evaluations; `leed_jax.logging_backends` has two.

    A run that is resumed repeats the lines that came after its last checkpoint, with the same
    numbers. Who writes them down anywhere replaces what there was from the first of them on.
    """

    def write(self, record: Mapping[str, Any]) -> None:
        """A line per seed and evaluation: the fields of ``metrics.jsonl``, with NaN as it is."""
        ...

    def close(self) -> None:
        """There will be no more lines."""
        ...


class ClosingLogger(abc.ABC):
    """A logger that is closed when its context is left."""

    @abc.abstractmethod
    def close(self) -> None:
        """There will be no more lines."""

    def __enter__(self: Opened) -> Opened:  # no `Self`: beartype refuses it
        """Itself, open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes it, whatever happened."""
        self.close()


class MetricsWriter(ClosingLogger):
    """Appends evaluations to a JSON Lines file, each of them on the disk before `write` returns.

    A number that is not finite is written as null (JSON has none). A last line that was torn by an
    interruption is removed when the file is opened again. Use as a context manager.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file at its end, creating it and its folder where missing."""
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self._path)
        self._file = self._path.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends one line.

        Args:
          record: JSON values, and numpy or jax arrays and numbers, nested at will.

        Raises:
          TypeError: something in ``record`` has no counterpart in JSON; nothing is written.
        """
        self._file.write(json.dumps(jsonable(record), allow_nan=False) + "\n")
        self._file.flush()

    @property
    def position(self) -> int:
        """Bytes of the file so far."""
        return os.fstat(self._file.fileno()).st_size

    def rewind(
        self,
        position: int,
        begun: int,
        lines: Sequence[Mapping[str, Any]],
        own: Callable[[Mapping[str, Any]], bool],
    ) -> None:
        """Goes back to where the file was, for a run that is resumed from there.

        Lines of that run behind ``position`` are removed: they will be written again. Lines of
        others stay. If what is before ``position`` is not what the run had written, because
        somebody changed the file, its lines are replaced by ``lines``, with a warning.

        Args:
          position: bytes of the file when the run had written ``lines``.
          begun: bytes of the file when it had written none; what is before that is not looked at.
          lines: that it had written.
          own: whether a line is of this run.
        """
        content = self._path.read_bytes()

        def is_own(line: bytes) -> bool:
            try:
                record = json.loads(line)
            except ValueError:
                return False
            return isinstance(record, dict) and own(record)

        begun, known = begun if _whole_until(content, begun) else 0, _whole_until(content, position)
        before, after = (
            part.splitlines(keepends=True)
            for part in (content[begun:position], content[max(begun, position) :])
        )
        wanted = [f"{json.dumps(jsonable(line), allow_nan=False)}\n".encode() for line in lines]
        if not known or [line for line in before if is_own(line)] != wanted:
            warnings.warn(
                f"{self._path} was changed since the checkpoint was written: the lines of the run "
                "that is resumed are written anew, behind all others",
                stacklevel=2,
            )
            before = [line for line in before if not is_own(line)]
        else:
            wanted = []
        after = [line for line in after if not is_own(line)]
        kept = content[:begun] + b"".join([*before, *after, *wanted])
        if kept == content:
            return
        self._file.close()
        if content.startswith(kept):
            os.truncate(self._path, len(kept))
        else:
            files.write(self._path, kept)
        self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


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


def _whole_until(content: bytes, position: int) -> bool:
    """Whether lines end at this position."""
    return position <= len(content) and content[max(0, position - 1) : position] in (b"", b"\n")


def _cut_torn_line(path: Path) -> None:
    """Drops what follows the last line break, so that the next line starts on its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
