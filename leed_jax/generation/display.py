"""A line per conversation on stderr while answers are awaited, and nothing else ever."""

import contextlib
from collections.abc import Callable, Iterator

Report = Callable[[int, str], None]
"""(conversation, what it is at)."""


@contextlib.contextmanager
def show(enabled: bool, conversations: int) -> Iterator[Report]:
    """Where to tell the state of every conversation; without ``enabled`` it goes nowhere."""
    if not enabled:
        yield lambda conversation, text: None
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
