"""Speed of training and of its parts: programs alternated in one process, medians, ratios.

    python -m experiments.benchmark --methods ippo leed
    python -m experiments.benchmark --num-agents 3 6 12 --num-envs 64 1024 --parts environment step
    python -m experiments.benchmark --against ~/JaxMARL --methods ippo_shared ippo leed

Every scenario is timed in every size: random actions in the environment alone, rollouts, gradient
steps on a fixed rollout, and the whole training step. With ``--against`` whole runs (the start and
some updates) stand beside JaxMARL's own script on the same environment, networks and batch. On a
shared machine only the ratios mean anything: medians over rounds in which all took their turn.
"""

import dataclasses
import datetime
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import rich.console
import tyro

from experiments import speed_cells, speed_figures, speed_limits, speed_parts
from experiments.speed_cells import Cell, Rounds
from experiments.speed_limits import Limits
from experiments.speed_parts import Part
from leed_jax import displays, files, summary
from leed_jax.config import TrainConfig
from leed_jax.optimization import memory


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is timed."""

    scenario: tuple[str, ...] = ("mpe/simple_spread",)
    """Any scenarios, options behind a colon: ``mpe/simple_spread:num_agents=24``."""
    num_envs: tuple[int, ...] = ()
    """Environments side by side, one size after the other; by default ``train.num-envs``."""
    num_agents: tuple[int, ...] = ()
    """Of scenarios with that option; by default the scenario's own number."""
    methods: tuple[str, ...] = ("ippo", "leed")
    """The first is what the others are compared with. Settings of their own behind a colon:
    ``ippo:network.activation=relu,num_minibatches=4``."""
    parts: tuple[Part, ...] = ("environment", "rollout", "update", "step")
    """Random actions alone, rollouts, gradient steps on a fixed rollout, the whole step."""
    against: Path | None = None
    """A checkout of JaxMARL: compares whole runs with its IPPO script. Its settings (steps,
    epochs, minibatches, networks, learning rate) are taken over, ``train`` gives the rest."""
    repeats: int = 15
    """Rounds; in each, every program takes its turn."""
    updates: int = 3
    """Updates of a program per round."""
    minutes: float | None = None
    """After so many no further size is begun."""
    trace: Path | None = None
    """Folder for a profile (``jax.profiler``) of one call of every program."""
    output: Path | None = Path("results/speed.json")
    """JSON of everything measured; a figure of the same name lies beside it."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """All other sizes."""

    def __post_init__(self) -> None:
        for name in ("repeats", "updates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("scenario", "methods", "parts"):
            if not getattr(self, name):
                raise ValueError(f"{name} must name at least one")

    def cells(self) -> list[Cell]:
        """Everything that is to be run, in order."""
        sizes = itertools.product(
            self.scenario, self.num_envs or (self.train.num_envs,), self.num_agents or (None,)
        )
        return [
            Cell(name, agents, self._sized(num_envs), self.against)
            for name, num_envs, agents in sizes
        ]

    def _sized(self, num_envs: int) -> TrainConfig:
        steps = max(self.train.total_steps, num_envs * self.train.rollout_steps)
        return self.train.replace(num_envs=num_envs, total_steps=steps)


class Budget:
    """Time that is left before nothing further is begun."""

    def __init__(self, minutes: float | None) -> None:
        self.minutes, self.began = minutes, time.monotonic()

    @property
    def spent(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self.began) / 60

    @property
    def over(self) -> bool:
        """Whether to stop."""
        return self.minutes is not None and self.spent >= self.minutes


def measure(
    configs: BenchmarkConfig | Sequence[BenchmarkConfig],
    minutes: float | None = None,
    console: rich.console.Console | None = None,
) -> dict[str, Any]:
    """All cells one after the other; JSON.

    Args:
      configs: what is timed; of several, all cells of the first come first.
      minutes: after which no further cell is begun; by default those of the first configuration.
      console: told what is under way.

    Raises:
      ValueError: what is asked for does not fit together.
    """
    configs = [configs] if isinstance(configs, BenchmarkConfig) else list(configs)
    minutes = configs[0].minutes if minutes is None else minutes
    budget, console = Budget(minutes), console or rich.console.Console(quiet=True)
    # Before anything is measured: a name that is not known shall not cost minutes.
    plan = [(config, cell) for config in configs for cell in config.cells()]
    variants = {config: [speed_parts.variant(m) for m in config.methods] for config in configs}
    for config, cell in plan:
        cell.check()
        for variant in variants[config]:
            variant.config(cell.train)
    limits, rows, skipped = speed_limits.measure(), [], []
    for config, cell in plan:
        if budget.over:
            skipped.append(str(cell))
            continue
        console.print(f"{budget.spent:.1f} min: {cell}", highlight=False)
        rounds = Rounds(config.repeats, config.updates, config.trace)
        rows += speed_cells.rows(cell, variants[config], config.parts, rounds, limits)
    return {
        **_about(limits, budget),
        "configs": [_plain(config) for config in configs],
        "rows": rows,
        "skipped": skipped,
    }


def _about(limits: Limits, budget: Budget) -> dict[str, Any]:
    return {
        "device": summary.device(),
        "cores": os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "command": summary.command(),
        "versions": summary.versions(),
        "revision": summary.git_revision(),
        "limits": limits._asdict(),
        "minutes": budget.spent,
        "peak_memory_mb": memory.peak_mb(),
    }


def _plain(config: BenchmarkConfig) -> dict[str, Any]:
    """Settings as JSON, without folders that say nothing elsewhere."""
    found = dataclasses.asdict(config)
    for name in ("against", "trace", "output"):
        found[name] = None if found[name] is None else Path(found[name]).name
    return found


def report(result: dict[str, Any], output: Path | None, console: rich.console.Console) -> None:
    """Prints the tables; writes the JSON and beside it the figure."""
    for table in speed_figures.tables(result):
        console.print(table)
    for line in speed_figures.notes(result):
        console.print(line, highlight=False)
    if output is not None:
        files.write(output, json.dumps(result, indent=1) + "\n")
        if result["rows"]:
            speed_figures.write(result, output.with_suffix(".png"))
        console.print(f"written: {output}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    config = tyro.cli(BenchmarkConfig, args=arguments, prog="python -m experiments.benchmark")
    # A program kept from an earlier run would be no measurement of compiling.
    jax.config.update("jax_enable_compilation_cache", False)
    console = displays.tables()
    try:
        result = measure(config, console=console)
    except ValueError as error:
        raise SystemExit(f"benchmark: {error}") from error
    report(result, config.output, console)


if __name__ == "__main__":
    main()
