"""Compiled programs that take turns, so that a drift of the machine hits all of them alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import stages

from experiments import hlo
from leed_jax.optimization import memory


@dataclass
class Program:
    """A compiled ``(state, *arguments) -> (state, results)`` and the state that it has reached.

    Every call starts from where the last one ended, so that no result is known beforehand.
    """

    compiled: stages.Compiled
    state: Any
    arguments: tuple[Any, ...]
    env_steps: int
    """Environment steps that a call stands for."""
    compile_seconds: float
    """Tracing, lowering and compiling."""
    matmul_gflop: float
    """Of a call, see `hlo.matmul_flops`."""
    seconds: list[float] = field(default_factory=list)
    """Per call, one number for each round."""

    def call(self) -> Any:
        """One call; its results, which may not have been computed yet."""
        self.state, results = self.compiled(self.state, *self.arguments)
        return results

    def time(self, calls: int) -> None:
        """One round."""
        results = None
        began = time.perf_counter()
        for _ in range(calls):
            results = self.call()
        jax.block_until_ready((self.state, results))
        self.seconds.append((time.perf_counter() - began) / calls)


def compiled(
    function: Callable[..., Any], state: Any, *arguments: Any, env_steps: int = 0
) -> Program:
    """The program, warmed up by one call.

    Args:
      function: (state, *arguments) -> (state, results), pure.
      state: to start from.
      arguments: the same for all calls.
      env_steps: that a call stands for.
    """
    began = time.perf_counter()
    # As in training: what the state occupied is where the new one is written.
    traced = jax.jit(function, donate_argnums=0).trace(state, *arguments)
    program = traced.lower().compile()
    spent = time.perf_counter() - began
    gflop = hlo.matmul_flops(traced.jaxpr) / 1e9
    ready = Program(program, state, arguments, env_steps, spent, gflop)
    jax.block_until_ready((ready.call(), ready.state))
    return ready


def alternate(programs: Sequence[Program], rounds: int, calls: int) -> None:
    """Times all programs in turn, every other round in the opposite order."""
    for index in range(rounds):
        for program in programs[:: -1 if index % 2 else 1]:
            program.time(calls)


def measured(program: Program, first: Program) -> dict[str, Any]:
    """What the rounds say; JSON.

    Args:
      program: timed.
      first: what it is compared with, round by round.
    """
    seconds, base = np.array(program.seconds), np.array(first.seconds)
    median = float(np.median(seconds))
    needed = memory.needed_bytes(program.compiled)
    done = hlo.work(program.compiled.as_text() or "")
    return {
        "env_steps_per_second": program.env_steps / median,
        "speed_ratio": float(np.median(base / seconds)),
        "speed_ratio_quartiles": np.quantile(base / seconds, (0.25, 0.75)).tolist(),
        "speed_ratio_of_best": float(base.min() / seconds.min()),
        "seconds_median": median,
        "seconds_quartiles": np.quantile(seconds, (0.25, 0.75)).tolist(),
        "seconds": list(program.seconds),
        "compile_seconds": program.compile_seconds,
        "program_memory_mb": None if needed is None else needed / 2**20,
        "matmul_gflop": program.matmul_gflop,
        "matmul_gflop_per_second": program.matmul_gflop / median,
        "kernels": done.kernels,
        "megabytes_moved": done.bytes_moved / 1e6,
        "loops_of_unknown_length": done.unknown_loops,
    }
