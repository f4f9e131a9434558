"""Memory of a compiled program, planned before it runs: how many members fit side by side.

XLA knows the sizes of all buffers when it has compiled; what they add up to is compared with what
the device has, and the number of members reduced until it fits.
"""

import math
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
from jax import stages

from leed_jax.config import TrainConfig

SHARE = 0.9
"""Of the free memory that a plan may use: allocators need room, and other programs grow."""

CHECKPOINT_COPIES = 2.5
"""Of a state, in the host's memory while a checkpoint of it is written: our copy, and orbax's with
what it compresses (2.0 to 2.4 measured for states of 1.2 GB)."""

Program = TypeVar("Program")


class Plan(NamedTuple):
    """How many members are trained at once, and what that takes."""

    members: int
    at_once: int
    """Members of one call of the compiled program; the last call is filled up to as many."""
    needed: int | None
    """Bytes per device; None where the compiler does not tell."""
    limit: int | None
    """Bytes per device that there are; None where nobody tells."""

    @property
    def calls(self) -> int:
        """Of the compiled program, one after the other."""
        return math.ceil(self.members / self.at_once)

    def __str__(self) -> str:
        needed = "unknown" if self.needed is None else in_words(self.needed)
        line = f"memory: needs {needed}"
        if self.limit is not None:
            line += f" of {in_words(self.limit)}"
        if self.calls > 1:
            line += f", {self.at_once} of {self.members} teams at once, {self.calls} calls"
        return line


def in_words(size: float) -> str:
    """Bytes for people: ``310 MB``, ``1.2 GB``, in powers of 1024."""
    return f"{size / 2**20:,.0f} MB" if size < 2**30 else f"{size / 2**30:,.1f} GB"


def fit(
    compile_for: Callable[[int], tuple[Program, int | None]],
    members: int,
    limit: int | None,
    *,
    shared: int = 0,
    advice: str = "",
) -> tuple[Program, Plan]:
    """A program for as many of the members at once as fit, compiled twice where not all do.

    Memory is taken to be linear in the members, apart from what they share; if the program for the
    number that follows does not fit either, half as many are tried, and so on.

    Args:
      compile_for: number of members -> program, and the bytes that it needs (None: unknown).
      members: in all.
      limit: bytes; None compiles for all.
      shared: bytes that do not grow with the members, such as demonstrations.
      advice: ends the message of the error: what makes one member smaller.

    Raises:
      ValueError: not even one member fits.
    """
    at_once, tries = members, 0
    while True:
        program, needed = compile_for(at_once)
        if limit is None or needed is None or needed <= limit:
            return program, Plan(members, at_once, needed, limit)
        if at_once == 1:
            raise ValueError(
                f"one team needs {in_words(needed)} of memory and there are {in_words(limit)}"
                f"{advice and '; '}{advice}"
            )
        each = max(needed - shared, 1) / at_once
        fitting = int((limit - shared) / each) if tries == 0 else at_once // 2
        fitting = max(1, min(fitting, at_once - 1))
        # Calls of one size: 10 members of which 8 fit are two calls of 5, not of 8 and 2.
        at_once, tries = math.ceil(members / math.ceil(members / fitting)), tries + 1


def advice(config: TrainConfig, *, replays: bool = False) -> str:
    """Which settings make the training of one team smaller.

    Args:
      config: of the run.
      replays: the method keeps a replay buffer.
    """
    steps = config.value_based.replay_steps
    buffer = f"smaller value_based.replay_steps (now {steps:,}) and " if replays else ""
    return buffer + (
        f"smaller num_envs (now {config.num_envs}), rollout_steps ({config.rollout_steps}) or "
        f"network.hidden_sizes ({', '.join(map(str, config.network.hidden_sizes))}) need less, as "
        f"do more num_minibatches ({config.num_minibatches}), fewer eval_episodes "
        f"({config.eval_episodes}), and observations of the nearest alone where the scenario has "
        "that option; max_memory_mb sets another limit"
    )


def needed_bytes(program: stages.Compiled, held: int = 0) -> int | None:
    """Bytes per device that a call of a compiled program occupies; None where XLA does not tell.

    Arguments, results and temporary buffers; what is donated is counted once.

    Args:
      program: from ``jax.jit(f).lower(...).compile()``.
      held: bytes on the device during the call besides what the program is given.
    """
    sizes: Any = program.memory_analysis()
    if sizes is None:
        return None
    own = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    return held + own + sizes.generated_code_size_in_bytes - sizes.alias_size_in_bytes


def argument_bytes(program: stages.Compiled) -> int:
    """Bytes per device of what a compiled program is given; 0 where XLA does not tell."""
    sizes: Any = program.memory_analysis()
    return 0 if sizes is None else sizes.argument_size_in_bytes


def checkpoint_bytes(state: int) -> int:
    """Bytes per device that writing a checkpoint takes: none but on a CPU, which is the host.

    Args:
      state: bytes per device of what is saved.
    """
    return int(CHECKPOINT_COPIES * state) if jax.local_devices()[0].platform == "cpu" else 0


def size(tree: Any) -> int:
    """Bytes of all arrays of a pytree."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def limit_bytes(max_memory_mb: float | None = None, *, num_devices: int = 1) -> int | None:
    """Bytes per device that a program may take.

    What the device's allocator has left, else the memory that the system has available, less a
    tenth; None where nobody tells.

    Args:
      max_memory_mb: the limit instead, in MiB per device.
      num_devices: that the program runs on; those of a CPU share its memory.

    Raises:
      ValueError: ``max_memory_mb`` is not positive.
    """
    if max_memory_mb is not None:
        if max_memory_mb <= 0:
            raise ValueError(f"max_memory_mb must be positive, got {max_memory_mb}")
        return int(max_memory_mb * 2**20)
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    free = available_bytes() if device.platform == "cpu" else None
    return None if free is None else int(SHARE * free / num_devices)


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory of the system that programs can still have; None where it does not tell.

    On Linux the kernel's estimate, or less where a control group (a container) allows less;
    elsewhere all of the machine's memory.

    Args:
      root: where ``proc`` and ``sys`` are mounted.
    """
    found = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) * 2**10)
    group = root / "sys/fs/cgroup"
    maximum, current = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if maximum.isdigit() and current.isdigit():
        # The page cache counts as in use, and is given up when memory is needed.
        cached = dict(map(str.split, _text(group / "memory.stat").splitlines()))
        idle = int(cached.get("inactive_file", 0))
        found.append(max(int(maximum) - int(current) + idle, 0))
    if not found and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


def peak_mb() -> float:
    """Largest memory in use so far: of the first device where it tells, else of the process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**20
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
