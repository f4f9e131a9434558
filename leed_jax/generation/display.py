"""A line per conversation while answers are awaited, and nothing else ever."""

import contextlib
from collections.abc import Callable, Iterator

from leed_jax import displays

Report = Callable[[int, str], None]
"""(conversation, what it is at)."""


@contextlib.contextmanager
def show(enabled: bool, conversations: int) -> Iterator[Report]:
    """Where to tell the state of every conversation; without ``enabled`` it goes nowhere."""
    if not enabled:
        yield lambda conversation, text: None
        return
    if not displays.on_terminal():
        yield _told(conversations)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    # markup=False: the text holds names of models, which are not ours.
    text = TextColumn("conversation {task.fields[index]}: {task.description}", markup=False)
    columns = (SpinnerColumn(), text, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as lines:
        tasks = [lines.add_task("waiting", total=1, index=n) for n in range(conversations)]

        def report(conversation: int, state: str) -> None:
            lines.update(tasks[conversation], description=state)

        yield report


def _told(conversations: int) -> Report:
    """A line for every change; in a notebook the lines of all conversations, replaced in place."""
    states = ["waiting"] * conversations

    def line(conversation: int) -> str:
        return f"conversation {conversation}: {states[conversation]}"

    cell = displays.Cell(lambda: "\n".join(map(line, range(conversations))))

    def report(conversation: int, state: str) -> None:
        states[conversation] = state
        if displays.in_notebook():
            cell.refresh()
        else:
            displays.say(line(conversation))

    return report
