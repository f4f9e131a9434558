"""Speed of the training step: methods alternated in one process, so that drift hits all alike.

    python -m experiments.benchmark --methods ippo leed --repeats 15

Prints environment steps per second and the ratio to the first method, pair by pair; on a shared
machine only the ratio means anything.
"""

import dataclasses
import datetime
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
import tyro

import leed_jax as leed
from leed_jax import files, summary
from leed_jax.config import TrainConfig
from leed_jax.optimization import losses, minibatches, trainer


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is timed."""

    scenario: str = "mpe/simple_spread"
    """Any scenario with recorded answers."""
    methods: tuple[str, ...] = ("ippo", "leed")
    """Timed in turn; the first is what the others are compared with."""
    repeats: int = 15
    """Rounds; in each, every method makes `updates` updates."""
    updates: int = 3
    """Updates per timing."""
    output: Path | None = None
    """JSON file for the raw times."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Sizes."""


@dataclass
class _Program:
    """One method, compiled, with the state it has reached."""

    update: Any
    state: Any
    data: minibatches.Data
    compile_seconds: float
    seconds: list[float] = field(default_factory=list)


def compiled(scenario: leed.Scenario, demos: Any, config: TrainConfig, method: str) -> _Program:
    """A method's update, warmed up by one call."""
    resolved = losses.resolve(method, config)
    built = trainer.make_trainer(scenario.env, config, resolved)
    data = minibatches.data(demos if resolved.uses_expert else None, config)
    state = jax.jit(built.init)(jax.random.key(0))
    began = time.perf_counter()
    update = jax.jit(built.update).lower(state, data).compile()
    spent = time.perf_counter() - began
    state, _ = jax.block_until_ready(update(state, data))
    return _Program(update, state, data, spent)


def measure(config: BenchmarkConfig) -> dict[str, Any]:
    """Times all methods in turn; the summary as JSON."""
    scenario = leed.make(config.scenario)
    demos = leed.generate_demonstrations(scenario)
    programs = {m: compiled(scenario, demos, config.train, m) for m in config.methods}
    for _ in range(config.repeats):
        for program in programs.values():
            began = time.perf_counter()
            for _ in range(config.updates):
                program.state, _ = program.update(program.state, program.data)
            jax.block_until_ready(program.state)
            program.seconds.append((time.perf_counter() - began) / config.updates)
    base = np.array(next(iter(programs.values())).seconds)
    steps = config.train.steps_per_update
    return {
        "device": summary.device(),
        "date": datetime.date.today().isoformat(),
        "command": summary.command(),
        "config": dataclasses.asdict(config.train),
        "methods": {
            method: {
                "steps_per_second": steps / float(np.median(program.seconds)),
                "speed_ratio": float(np.median(base / np.array(program.seconds))),
                "speed_ratio_of_best": float(base.min() / min(program.seconds)),
                "compile_seconds": program.compile_seconds,
                "seconds": program.seconds,
            }
            for method, program in programs.items()
        },
    }


def main() -> None:
    """Measures and prints."""
    config = tyro.cli(BenchmarkConfig, prog="python -m experiments.benchmark")
    result = measure(config)
    columns = ("env steps/s", "speed ratio, median of pairs", "of best times", "compile [s]")
    table = rich.table.Table("method", *columns, title=f"training step, {result['device']}")
    for method, found in result["methods"].items():
        table.add_row(
            method,
            f"{found['steps_per_second']:,.0f}",
            f"{found['speed_ratio']:.3f}",
            f"{found['speed_ratio_of_best']:.3f}",
            f"{found['compile_seconds']:.1f}",
        )
    rich.console.Console().print(table)
    if config.output is not None:
        files.write(config.output, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
