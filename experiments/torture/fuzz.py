"""Thousands of broken inputs, each timed and weighed, in a process that may die without harm."""

import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MAX_SECONDS, MAX_BYTES = 1.0, 500 * 10**6
HEADROOM = 2 * 2**30
"""Address space that a process gets beyond what its imports take: a bomb fails there, and nowhere
else on the machine."""
HANGING_SECONDS = 120.0


class Cases(Protocol):
    """Inputs by number, and what is to be found out about each."""

    def __init__(self, seed: int) -> None: ...

    def make(self, number: int) -> tuple[str, Any]:
        """What kind of input it is, and the input."""
        ...

    def close(self) -> None:
        """Called at the end."""
        ...

    def accepts(self, content: Any) -> tuple[bool, str]:
        """Whether the package takes it, and the message if not; another exception is a crash."""
        ...

    def faults(self, kind: str, content: Any, accepted: bool, message: str) -> list[str]:
        """What is wrong with that decision, found without the package's own check."""
        ...


class Trial(NamedTuple):
    """What became of an input."""

    number: int
    kind: str
    outcome: str
    """"accepted", "refused" or "crashed"."""
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Resident memory beyond that before, at its highest; 0 where the system does not tell."""
    faults: tuple[str, ...]


@dataclass
class Report:
    """Figures over all trials; ``print`` shows them as Markdown."""

    trials: list[Trial] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether all promises were kept."""
        return not any(trial.faults or _too_much(trial) for trial in self.trials)

    def __str__(self) -> str:
        outcomes = Counter(trial.outcome for trial in self.trials)
        lines = [
            "| kind | inputs | accepted | refused | crashed | most CPU s | most MB |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for kind in sorted({trial.kind for trial in self.trials}):
            lines.append(_row(kind, [trial for trial in self.trials if trial.kind == kind]))
        lines.append(_row("all", self.trials))
        slow = max(trial.seconds for trial in self.trials)
        lines.append(f"\n{dict(outcomes)}; longest wall-clock time {slow:.2f} s")
        bad = [trial for trial in self.trials if trial.faults or _too_much(trial)]
        lines += [f"BROKEN {t.number} {t.kind}: {t.faults or _too_much(t)}" for t in bad[:20]]
        lines.append(f"{len(bad)} of {len(self.trials)} inputs broke a promise")
        return "\n".join(lines)


def _too_much(trial: Trial) -> str:
    """Time is that of the processor: what else runs on the machine is no fault of an input."""
    if trial.cpu_seconds > MAX_SECONDS or trial.peak_bytes > MAX_BYTES:
        return f"{trial.cpu_seconds:.2f} s, {trial.peak_bytes / 1e6:.0f} MB"
    return ""


def _row(name: str, trials: Sequence[Trial]) -> str:
    counts = Counter(trial.outcome for trial in trials)
    cpu = max(trial.cpu_seconds for trial in trials)
    peak = max(trial.peak_bytes for trial in trials) / 1e6
    numbers = " | ".join(str(counts[key]) for key in ("accepted", "refused", "crashed"))
    return f"| {name} | {len(trials)} | {numbers} | {cpu:.2f} | {peak:.0f} |"


def attempt(cases: Cases, number: int) -> Trial:
    """One input."""
    kind, content = cases.make(number)
    before = _forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        accepted, message = cases.accepts(content)
        outcome, faults = ("accepted" if accepted else "refused"), []
    except Exception as error:
        accepted, message = False, ""
        outcome, faults = "crashed", [f"{type(error).__name__}: {str(error)[:200]}"]
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    peak = max(0, _status("VmHWM") - before) if before else 0
    if outcome != "crashed":
        faults = cases.faults(kind, content, accepted, message)
    return Trial(number, kind, outcome, seconds, cpu_seconds, peak, tuple(faults))


def run(kind: type[Cases], count: int, seed: int = 0) -> Report:
    """``count`` inputs; a process that dies or hangs is replaced, its input counts as crashed."""
    report, context = Report(), multiprocessing.get_context("spawn")
    while len(report.trials) < count:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, kind, seed, len(report.trials), count)
        )
        process.start()
        theirs.close()
        report.trials += _received(ours)
        if process.is_alive() and len(report.trials) < count:
            process.kill()
        process.join()
        if len(report.trials) < count:
            number = len(report.trials)
            lost = f"the process ended with {process.exitcode}"
            report.trials.append(Trial(number, "?", "crashed", 0.0, 0.0, 0, (lost,)))
    return report


def _received(connection: Connection) -> Iterator[Trial]:
    try:
        while connection.poll(HANGING_SECONDS):
            yield connection.recv()
    except EOFError:
        return


def _serve(connection: Connection, kind: type[Cases], seed: int, first: int, count: int) -> None:
    cases = kind(seed)
    limit = _status("VmSize") + HEADROOM
    if limit > HEADROOM:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(first, count):
        connection.send(attempt(cases, number))
    connection.close()
    cases.close()


def _status(name: str) -> int:
    """A line of ``/proc/self/status`` in bytes; 0 where there is none."""
    path = Path("/proc/self/status")
    text = path.read_text() if path.exists() else ""
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if name in line), 0)


def _forget_peak() -> int:
    """Sets the peak of resident memory back to what it is now, which is returned."""
    path = Path("/proc/self/clear_refs")
    if not path.exists():
        return 0
    path.write_text("5")
    return _status("VmRSS")
