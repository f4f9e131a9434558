"""Runs a suite of experiments, cell by cell; what is finished is skipped.

    python -m experiments.run suite=paper --dry-run
    python -m experiments.run suite=paper --budget-hours 10
    python -m experiments.run suite=paper --only simple_spread

Every cell runs in a process of its own, so that one that fails, or is killed for its memory, stops
no other; it is named at the end and tried again by the next call. A cell that was cut off goes on
where its run can, as long as its settings stay the same. Finished cells lie in
``docs/results/suites``; `python -m experiments.report` makes tables and figures of them.
"""

import concurrent.futures
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import rich.console
import rich.table
import tyro

from experiments import suite_cells, suite_costs, suites
from experiments.suite_cells import Cell, State
from leed_jax import displays, files

PROGRAM = "python -m experiments.run"
TAIL = 2000
"""Characters of what a failed cell printed that are kept."""
_RUNNING: set[subprocess.Popen[bytes]] = set()
"""Processes of the cells that compute now."""
_STOPPED = threading.Event()
"""Set by Ctrl-C or SIGTERM: what ends then has not failed, and goes on with the next call."""


@dataclass(frozen=True)
class SuiteConfig:
    """Which cells are run, and where."""

    suite: Literal["paper", "smoke", "ablations", "scalability", "search", "released"]
    """The suite."""
    dry_run: bool = False
    """Only list the cells, what is finished, and what the rest will take."""
    only: str | None = None
    """Only cells that have this in their folder's name, e.g. smax, or N_3/leed; /bc/ is BC, and not
    BC followed by PPO."""
    budget_hours: float | None = None
    """No further cell is begun that would take longer than what is left of so many hours."""
    jobs: int = 1
    """Cells at the same time. More than one makes their seconds worthless."""
    folder: Path = Path("docs/results/suites")
    """What is kept of finished cells."""
    work: Path = Path("results/suites")
    """Where they compute."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.budget_hours is not None and self.budget_hours <= 0:
            raise ValueError(f"budget-hours must be positive, got {self.budget_hours}")


class Planned(NamedTuple):
    """A cell before it runs."""

    cell: Cell
    state: State
    seconds: float
    """Estimate."""


def asked(arguments: Sequence[str]) -> bool:
    """Whether a command line is about a suite and not about a single run."""
    return any(a == "--suite" or a.startswith(("suite=", "--suite=")) for a in arguments)


def parse(arguments: Sequence[str]) -> SuiteConfig:
    """`SuiteConfig` from ``--suite paper`` or ``suite=paper``, and the like for the others."""
    spelled: list[str] = []
    for argument in arguments:
        key, found, value = argument.partition("=")
        if found and not key.startswith("-"):
            spelled += [f"--{key}", value]
        else:
            spelled.append(argument)
    return tyro.cli(SuiteConfig, args=spelled, prog=PROGRAM)


def plan(config: SuiteConfig) -> list[Planned]:
    """All cells with their states and what they will cost.

    Raises:
      ValueError: no such cell.
    """
    known = suite_costs.rates()
    known += suite_costs.rates(config.folder) if config.folder.exists() else []
    return [
        Planned(cell, suite_cells.state(cell, config.folder), suite_costs.seconds(cell, known))
        for cell in suites.cells(config.suite, config.only)
    ]


def table(planned: Sequence[Planned], suite: str) -> rich.table.Table:
    """A line per cell."""
    todo = [each for each in planned if each.state != "finished"]
    total = sum(each.seconds for each in todo)
    shown = rich.table.Table(
        "cell",
        "state",
        "estimate",
        title=f"suite {suite}: {len(planned) - len(todo)} of {len(planned)} cells finished, "
        f"about {suite_costs.hours(total)} left",
        caption="from rates measured on two shared cores; far from exact",
    )
    for each in planned:
        name = each.cell.place.relative_to(suite_cells.slug(suite))
        left = "" if each.state == "finished" else suite_costs.hours(each.seconds)
        shown.add_row(str(name), each.state, left)
    return shown


def run(config: SuiteConfig, console: rich.console.Console) -> list[Cell]:
    """Runs what is not finished; returns the cells that failed."""
    todo = [each for each in plan(config) if each.state != "finished"]
    clock = _Clock(todo, config)
    failed: list[Cell] = []
    lock = threading.Lock()

    def one(each: Planned) -> None:
        with lock:
            if _STOPPED.is_set():
                return
            if not clock.allows(each):
                console.print(f"no time for {each.cell.place}", highlight=False)
                return
            console.print(f"{clock}: {each.cell.place}", highlight=False)
        began = time.monotonic()
        error = _process(each.cell, config)
        with lock:
            clock.done(each, time.monotonic() - began)
            if error is not None and _STOPPED.is_set():
                console.print(f"stopped: {each.cell.place}", highlight=False)
            elif error is not None:
                failed.append(each.cell)
                suite_cells.fail(each.cell, config.folder, error)
                last = (error.strip().splitlines() or ["no message"])[-1]
                console.print(f"  failed: {last}", markup=False, highlight=False)

    with concurrent.futures.ThreadPoolExecutor(config.jobs) as pool:
        list(pool.map(one, todo))
    return failed


class _Clock:
    """Time that has gone and that is left, corrected by what finished cells took."""

    def __init__(self, todo: Sequence[Planned], config: SuiteConfig) -> None:
        self.began = time.monotonic()
        self.left = sum(each.seconds for each in todo)
        self.jobs, self.hours = config.jobs, config.budget_hours
        self.estimated = self.taken = 0.0

    @property
    def correction(self) -> float:
        return self.taken / self.estimated if self.estimated else 1.0

    def allows(self, each: Planned) -> bool:
        spent = time.monotonic() - self.began
        if self.hours is None or spent + each.seconds * self.correction <= 3600 * self.hours:
            return True
        self.left -= each.seconds
        return False

    def done(self, each: Planned, seconds: float) -> None:
        self.left -= each.seconds
        self.estimated += each.seconds
        self.taken += seconds

    def __str__(self) -> str:
        spent = suite_costs.hours(time.monotonic() - self.began)
        return f"{spent}, about {suite_costs.hours(self.left * self.correction / self.jobs)} left"


def _process(cell: Cell, config: SuiteConfig) -> str | None:
    """Runs a cell in a process of its own; returns the end of what it printed if it failed."""
    place = config.work / cell.place
    card, log = place.with_name(f"{place.name}.cell.json"), place.with_name(f"{place.name}.log")
    files.write(card, json.dumps(cell.describe(), indent=1) + "\n")
    command = [sys.executable, "-m", "experiments.suite_runner", str(card)]
    command += [str(config.work), str(config.folder)]
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _RUNNING.add(child)
        status = child.wait()
        _RUNNING.discard(child)
    if status == 0:
        return None
    said = log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    if status == -signal.SIGKILL:  # nobody could say a last word
        return f"{said}\nkilled, as systems do when memory runs out (fewer --jobs need less)"
    return said if said.strip() else f"ended with status {status}, and no message"


def _stop(number: int, frame: object) -> None:
    """Ends the cells' processes, too, which SIGTERM, other than Ctrl-C, does not reach."""
    del frame
    _STOPPED.set()
    if number == signal.SIGTERM:
        for child in tuple(_RUNNING):
            child.terminate()
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the suite between cells' chunks; they stay ignored where they are."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    kept = {each: signal.getsignal(each) for each in numbers}
    _STOPPED.clear()
    try:
        for number, handler in kept.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _stop)
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def main(arguments: Sequence[str]) -> int:
    """Lists or runs a suite; returns the exit status, 1 where a cell failed."""
    config = parse(arguments)
    console = displays.tables()
    try:
        console.print(table(plan(config), config.suite))
    except ValueError as error:
        console.print(f"{PROGRAM}: {error}", markup=False, highlight=False)
        return 2
    if config.dry_run:
        return 0
    with _stoppable():
        failed = run(config, console)
    for cell in failed:
        log = f"{config.work / cell.place}.log"
        console.print(f"failed: {cell.place}, see {log}", markup=False, highlight=False)
    states = [each.state for each in plan(config)]
    console.print(f"{states.count('finished')} of {len(states)} cells finished: {config.folder}/")
    return 1 if failed else 0


if __name__ == "__main__":
    card, *roots = sys.argv[1:]
    suite_cells.run(Cell(**json.loads(Path(card).read_text(encoding="utf-8"))), *map(Path, roots))
