"""A run that is killed again and again, and what is left of it in the end.

``kill -9`` at moments drawn from a seed: while a process starts and compiles, while it trains,
while it saves a checkpoint, while it writes a file. Each time the run is resumed; at the end all
that it left must be what the same run leaves that nobody disturbed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.torture import run_remains
from leed_jax import files

UPDATES, STEPS = 80, 128
"""Of each method, and environment steps of an update; each is evaluated and saved."""
OPTIONS = (
    *("--scenario", "mpe/simple_spread", "--seeds", "2", "--methods", "leed", "ippo"),
    *("--num-demonstrations", "8", "--no-progress", "--no-render"),
    *("--generation.feedback-episodes", "8"),
    *("--train.num-envs", "8", "--train.rollout-steps", "16", "--train.num-minibatches", "2"),
    *("--train.num-epochs", "1", "--train.network.hidden-sizes", "8"),
    *("--train.eval-episodes", "4", "--train.eval-every-steps", str(STEPS)),
)
PHASES = {"start": 4, "training": 6, "saving": 7}
"""Moments, and how many of 20 there are of each: anywhere from the start of the process to its
first lines; anywhere in training; while a checkpoint is being written or deleted."""
FILE = "file"
"""While the result of a method is being written: once in the middle and once at the end."""
FIRST = "demonstrations"
"""While they are being written, before all others."""
PATIENCE = 600.0
"""Seconds within which every moment must come."""


@dataclass(frozen=True)
class Kill:
    """One of them, and what lay on the disk afterwards."""

    phase: str
    seconds: float
    """After the start of the process."""
    method: str | None
    """Whose lines were the last in the metrics."""
    updates: int
    """That these lines tell of."""
    behind: int
    """So many of these updates are in no checkpoint, and have to be done again."""
    torn: bool
    """The last line was not whole."""
    unfinished: int
    """Files and checkpoints that were being written or deleted."""


def moments(count: int, seed: int) -> list[str]:
    """The phases to kill in, one after the other."""
    deck = [phase for phase, times in PHASES.items() for _ in range(times)]
    wanted = max(0, count - 3)
    draw = random.Random(seed)
    drawn = [phase for _ in range(wanted // len(deck)) for phase in deck]
    drawn += draw.sample(deck, wanted % len(deck))
    draw.shuffle(drawn)
    half = len(drawn) // 2
    return [FIRST, *drawn[:half], FILE, *drawn[half:], FILE][:count]


def command(folder: Path, updates: int) -> list[str]:
    """Starts the run, or goes on with it where it began."""
    program = [sys.executable, "-m", "experiments.run"]
    if (folder / "config.json").exists():
        return [*program, "--resume", str(folder)]
    place = ("--results", str(folder.parent), "--name", folder.name)
    return [*program, *OPTIONS, *place, "--train.total-steps", str(updates * STEPS)]


class Watched:
    """A process of the run, and what one sees of it on the disk."""

    def __init__(self, folder: Path, updates: int, log: Path) -> None:
        """Starts it."""
        self.folder, self.began = folder, time.monotonic()
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder.with_name("cache"))}
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", **cache}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command(folder, updates), env=environment, stdout=output, stderr=output
            )

    def wait(self, came: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Until something came; False if the process ended first."""
        while not came():
            if self.process.poll() is not None:
                return False
            if time.monotonic() - self.began > patience:
                raise TimeoutError(f"nothing came of {self.process.args} in {patience:.0f} s")
            time.sleep(0.0005)
        return True

    def reached(self, phase: str, draw: random.Random, start_seconds: float) -> bool:
        """Waits for a moment of a phase; False if the process ended first."""
        if phase == "start":
            moment = self.began + draw.uniform(0.0, start_seconds)
            return self.wait(lambda: time.monotonic() > moment)
        if phase == FIRST:
            return self.wait(lambda: any(self.folder.glob("demonstrations.npz.*.partial")))
        # Something new first, or the run would get nowhere.
        metrics, size = self.folder / "metrics.jsonl", None
        for _ in range(draw.randint(2, 4)):
            size = _size(metrics)
            if not self.wait(lambda size=size: _size(metrics) > size):
                return False
        if phase == "saving":
            return self.wait(lambda: bool(run_remains.unfinished_checkpoints(self.folder)))
        if phase == FILE:
            return self.wait(lambda: bool(run_remains.partial_files(self.folder)))
        moment = time.monotonic() + draw.uniform(0.0, 0.5)
        return self.wait(lambda: time.monotonic() > moment)

    def __enter__(self) -> "Watched":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves no process behind."""
        self.kill()

    def kill(self) -> float:
        """Kills it, if it still runs; returns the seconds that it had."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return time.monotonic() - self.began


def run(
    folder: Path,
    kills: int = 20,
    seed: int = 0,
    updates: int = UPDATES,
    json_file: Path | None = None,
) -> bool:
    """Everything, printed; whether nothing was lost.

    Raises:
      FileExistsError: the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    began, draw = time.monotonic(), random.Random(f"{seed}/moments")
    whole, killed = folder / "whole", folder / "killed"
    start_seconds = _undisturbed(whole, updates, folder / "whole.log")
    done: list[Kill] = []
    faults: list[str] = []
    for phase in moments(kills, seed):
        with Watched(killed, updates, folder / "killed.log") as watched:
            if not watched.reached(phase, draw, start_seconds):
                faults.append(f"a process ended with {watched.process.returncode}, not in {phase}")
                break
            seconds = watched.kill()
        done.append(_seen(phase, seconds, killed))
        broken = run_remains.broken(killed)
        faults += [f"after kill {len(done)} ({phase}): {fault}" for fault in broken]
        print(done[-1], flush=True)
    with Watched(killed, updates, folder / "killed.log") as last:
        last.wait(lambda: False)
    if last.process.returncode:
        faults.append(f"the last process ended with {last.process.returncode}")
    faults += run_remains.differences(whole, killed)
    seconds = time.monotonic() - began
    _tell(done, faults, seconds)
    if json_file is not None:
        content = {
            "kills": [asdict(kill) for kill in done],
            "faults": faults,
            "seed": seed,
            "updates": updates,
            "seconds": round(seconds, 1),
            **run_remains.facts(whole),
        }
        files.write(json_file, json.dumps(content, indent=1) + "\n")
    return not faults


def _undisturbed(folder: Path, updates: int, log: Path) -> float:
    """The run without kills; returns the seconds until its first lines."""
    with Watched(folder, updates, log) as watched:
        watched.wait(lambda: bool(run_remains.whole_lines(folder)))
        seconds = time.monotonic() - watched.began
        watched.wait(lambda: False)
    if watched.process.returncode:
        raise RuntimeError(f"the run itself fails, see {log}")
    return seconds


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _seen(phase: str, seconds: float, folder: Path) -> Kill:
    lines = run_remains.whole_lines(folder)
    method, updates = (lines[-1]["method"], lines[-1]["updates"]) if lines else (None, 0)
    saved = 0 if method is None else run_remains.checkpointed(folder, method)
    unfinished = [*run_remains.unfinished_checkpoints(folder), *run_remains.partial_files(folder)]
    return Kill(
        phase=phase,
        seconds=round(seconds, 2),
        method=method,
        updates=updates,
        behind=max(0, updates - saved),
        torn=run_remains.torn(folder),
        unfinished=len(unfinished),
    )


def _tell(done: Sequence[Kill], faults: Sequence[str], seconds: float) -> None:
    print("\n| killed while | times | torn lines | unfinished files | most updates behind |")
    print("| --- | --- | --- | --- | --- |")
    for phase in (FIRST, *PHASES, FILE):
        mine = [kill for kill in done if kill.phase == phase]
        if mine:
            counts = (len(mine), sum(k.torn for k in mine), sum(k.unfinished for k in mine))
            most = max(kill.behind for kill in mine)
            print(f"| {phase} | {' | '.join(map(str, counts))} | {most} |")
    print(f"\n{len(done)} faults injected, {len(done) if not faults else 'not all'} survived")
    print(f"data lost: {len(faults)}; {seconds:.0f} s in all")
    print("\n".join(faults) or "all promises kept")
