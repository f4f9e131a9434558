"""Where the state of long work is shown: on a terminal, in a notebook, or in a file.

A terminal's lines are drawn anew, by rich. A notebook gets a text that is replaced in place, for
which rich would ask for ipywidgets. A file or a pipe gets a line now and then.
"""

import io
import math
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import rich.console

LINES = 10
"""Of a training in a file: one after every such share of its steps."""
NOTEBOOK_WIDTH = 100
"""Characters of a line in a notebook."""
FILE_WIDTH = 160
"""Columns where tables go to a file."""


def tables(*, stderr: bool = False) -> rich.console.Console:
    """The screen, or a file, taken to be wide enough for the tables."""
    shown = rich.console.Console(stderr=stderr)
    return shown if shown.is_terminal else rich.console.Console(stderr=stderr, width=FILE_WIDTH)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, Colab's included: its cells show what is printed."""
    return rich.console.Console().is_jupyter


def on_terminal() -> bool:
    """Whether stderr is a terminal, whose lines can be drawn anew."""
    return not in_notebook() and rich.console.Console(stderr=True).is_terminal


def say(text: str) -> None:
    """Prints to stderr; in a notebook, which paints that red, to stdout."""
    print(text, file=sys.stdout if in_notebook() else sys.stderr, flush=True)


def plain(drawn: Any, width: int = NOTEBOOK_WIDTH) -> str:
    """What rich draws, as text without colours.

    Args:
      drawn: anything that rich can print.
      width: characters of a line.
    """
    file = io.StringIO()
    console = rich.console.Console(
        file=file, width=width, force_terminal=False, force_jupyter=False
    )
    console.print(drawn)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


class Display(Protocol):
    """Shows a state that changes; `rich.live.Live` is one."""

    def start(self) -> None:
        """Shows it from now on."""
        ...

    def refresh(self) -> None:
        """Shows what it is now."""
        ...

    def stop(self) -> None:
        """Leaves it as it is now."""
        ...


class Cell:
    """A text below a notebook's cell, replaced whenever it is shown anew."""

    def __init__(self, text: Callable[[], str]) -> None:
        """Shows nothing yet.

        Args:
          text: the state, whenever it is asked for.
        """
        self._text = text
        self._handle: Any = None

    def start(self) -> None:
        """See `Display`."""
        self.refresh()

    def refresh(self) -> None:
        """See `Display`."""
        from IPython import display

        data = {"text/plain": self._text()}
        if self._handle is None:
            self._handle = display.display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def stop(self) -> None:
        """See `Display`."""
        self.refresh()


class Lines:
    """A line whenever another share of the work is done, and something at the end."""

    def __init__(self, state: Callable[[], tuple[float, str]], end: Callable[[], str]) -> None:
        """Shows nothing yet.

        Args:
          state: how much is done, in percent, and what else to say.
          end: is printed below the last line, if it is not empty.
        """
        self._state, self._end = state, end
        self._printed: tuple[float, str] | None = None
        self._began = 0.0

    def start(self) -> None:
        """See `Display`."""
        self._began = time.monotonic()

    def refresh(self) -> None:
        """See `Display`."""
        percent, _ = self._state()
        if self._printed is None or percent * LINES // 100 > self._printed[0] * LINES // 100:
            self._print()

    def stop(self) -> None:
        """See `Display`."""
        if self._printed not in (None, self._state()):
            self._print()
        if self._end():
            say(self._end())

    def _print(self) -> None:
        percent, text = self._printed = self._state()
        if 0 < percent < 100:
            seconds = (time.monotonic() - self._began) * (100 / percent - 1)
            text += f", {math.ceil(seconds)} s left"
        say(text)
