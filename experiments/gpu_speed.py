"""Everything that is to be known about the speed on a GPU, in less than eight minutes.

    python -m experiments.gpu_speed --against ~/JaxMARL --trace results/gpu_trace

In order of importance, so that a slow machine leaves out the end: simple_spread with thousands of
environments beside JaxMARL's script, its parts and how near they come to the limits of memory
traffic and launches, then more agents and other environments. It runs on a CPU too, with smaller
sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments import benchmark
from experiments.benchmark import BenchmarkConfig
from experiments.speed_cells import JAXMARL
from leed_jax import displays
from leed_jax.config import TrainConfig

SPREAD = "mpe/simple_spread"
WANTED_RATIO, WANTED_STEPS = 3.0, 1e7
"""Speed to JaxMARL's, and agent-steps per second of the whole training step, that are hoped for."""


def _train() -> TrainConfig:
    """JaxMARL's batch for simple_spread: 128 steps, 4 epochs, 4 minibatches."""
    return TrainConfig(num_minibatches=4)


@dataclass(frozen=True)
class GpuConfig:
    """What is timed."""

    against: Path | None = None
    """A checkout of JaxMARL; without it only our own programs are timed."""
    num_envs: int = 4096
    """E on simple_spread; the other environments take a quarter."""
    num_agents: int = 24
    """Of the larger team."""
    methods: tuple[str, ...] = ("ippo_shared", "ippo", "leed")
    """Beside JaxMARL's; the parts are those of the second, or of the only one."""
    repeats: int = 5
    """Rounds."""
    updates: int = 10
    """Updates of a program per round."""
    minutes: float = 7.5
    """After so many nothing further is begun; the last part may take half a minute more."""
    trace: Path | None = None
    """Folder for a profile of the parts on simple_spread, to be looked at in Perfetto."""
    output: Path | None = Path("results/gpu_speed.json")
    """JSON of everything measured; a figure of the same name lies beside it."""
    train: TrainConfig = field(default_factory=_train)
    """All other sizes of our own programs."""

    def configs(self) -> list[BenchmarkConfig]:
        """The benchmarks, the most important first."""
        small = (max(self.num_envs // 4, 1),)
        peers = [
            self._one(SPREAD, self.methods, against=self.against),
            self._one(SPREAD, self.methods, against=self.against, num_agents=(self.num_agents,)),
            self._one("smax/3m", self.methods[:2], against=self.against, num_envs=small),
            self._one(
                "overcooked_v2/cramped_room", self.methods[:2], against=self.against, num_envs=small
            ),
        ]
        own = self.methods[1:2] or self.methods
        parts = [
            self._one(SPREAD, own, trace=self.trace),
            self._one(SPREAD, own, num_agents=(self.num_agents,), parts=("environment", "step")),
        ]
        if self.against is None:
            return parts
        return [peers[0], parts[0], peers[1], parts[1], *peers[2:]]

    def _one(self, scenario: str, methods: tuple[str, ...], **changes: Any) -> BenchmarkConfig:
        sizes = {"num_envs": (self.num_envs,), "train": self.train, **changes}
        rounds = {"repeats": self.repeats, "updates": self.updates, "minutes": self.minutes}
        return BenchmarkConfig(
            scenario=(scenario,), methods=methods, output=None, **rounds, **sizes
        )


def verdict(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What was hoped for on a GPU and what was reached, in words."""
    ours = [row for row in rows if not (row["method"] or JAXMARL).startswith(JAXMARL)]
    ours = [row for row in ours if row["scenario"] == SPREAD and row["part"] in ("run", "step")]
    ours = [row for row in ours if row["num_agents"] == ours[0]["num_agents"]]
    runs = [row for row in ours if row["part"] == "run"]
    found = []
    if runs:
        best = max(runs, key=lambda row: row["speed_ratio"])
        found.append(
            f"{best['method']}: {best['speed_ratio']:.2f} of JaxMARL's speed (hoped for: "
            f"{WANTED_RATIO:.0f})"
        )
    if ours:
        best = max(ours, key=lambda row: row["agent_steps_per_second"])
        found.append(
            f"{best['method']}: {best['agent_steps_per_second'] / 1e6:.2f} million agent-steps per "
            f"second in the whole loop (hoped for: {WANTED_STEPS / 1e6:.0f})"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    config = tyro.cli(GpuConfig, args=arguments, prog="python -m experiments.gpu_speed")
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is measured, too
    console = displays.tables()
    console.print(
        f"{jax.devices()[0]}: at most about {config.minutes:.1f} minutes", highlight=False
    )
    try:
        result = benchmark.measure(config.configs(), config.minutes, console)
    except ValueError as error:
        raise SystemExit(f"gpu_speed: {error}") from error
    benchmark.report(result, config.output, console)
    for line in verdict(result["rows"]):
        console.print(line, highlight=False)


if __name__ == "__main__":
    main()
