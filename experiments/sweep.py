"""A grid of learning rates and expert weights λ, trained in one program.

    python -m experiments.sweep --learning-rates 0.001 0.003 0.01 --expert-weights 0 3 10 --seeds 5

Prints a table with the interquartile mean over seeds of every combination, and writes
``results/<name>/sweep.json``, ``metrics.jsonl`` and the best combination's checkpoint.
"""

import datetime
import sys
from dataclasses import dataclass, field
from pathlib import Path

import tyro

import leed_jax as leed
from leed_jax import cli, compilation, loggers
from leed_jax.config import TrainConfig

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class SweepConfig:
    """What is trained."""

    scenario: str = "mpe/simple_spread"
    """What is to be learnt; `leed_jax.names()` lists them."""
    num_agents: int | None = None
    """Team size, where the scenario offers a choice; None: its own default."""
    options: dict[str, str] = field(default_factory=dict)
    """Further options of the scenario, e.g. `--options seed 2 reward team`."""
    method: str = "leed"
    """A key of `leed_jax.METHODS`."""
    learning_rates: tuple[float, ...] | None = None
    """Of Adam at the start; None: `train.learning_rate` alone, or the method's usual one."""
    expert_weights: tuple[float, ...] | None = None
    """λ at the start; None: `train.expert.weight` alone."""
    seeds: int = 3
    """Teams per combination."""
    model: str = "replay"
    """Who writes the instructions, as for `experiments.run`."""
    num_demonstrations: int = 256
    """Episodes that the plan is executed in."""
    measure: str = "team_return"
    """What the best combination is chosen by, higher being better."""
    results: Path = Path("results")
    """Folder of all results."""
    name: str | None = None
    """Of this sweep's folder, which must not hold anything finished; None: scenario and time."""
    progress: bool = True
    """Show progress on stderr."""
    max_memory_mb: float | None = None
    """MiB per device that training may take; None: what is left, less a tenth."""
    compilation_cache: str | None = None
    """Folder for compiled programs, or off; None: $JAX_COMPILATION_CACHE_DIR, else
    ~/.cache/leed_jax/compilation."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Settings of all combinations."""


def run(config: SweepConfig) -> tuple[leed.SweepResult, Path]:
    """Trains all combinations; returns their results and the folder.

    Raises:
      FileExistsError: the folder holds something else than an unfinished sweep.
      ValueError, GenerationError: what was asked for cannot be done; the message says why.
    """
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = config.results / (config.name or f"sweep_{config.scenario.replace('/', '-')}_{now}")
    if folder.exists() and {path.name for path in folder.iterdir()} - {METRICS}:
        raise FileExistsError(f"{folder} exists; choose another --name")
    # Of a sweep that was cut off.
    (folder / METRICS).unlink(missing_ok=True)
    scenario = leed.make(config.scenario, **cli.scenario_options(config.num_agents, config.options))
    demos = leed.generate_demonstrations(
        scenario,
        config.model,
        num_episodes=config.num_demonstrations,
        progress=config.progress,
    )
    with loggers.MetricsWriter(folder / METRICS) as metrics:
        result = leed.sweep(
            scenario,
            demos,
            config.train,
            method=config.method,
            seeds=config.seeds,
            learning_rates=config.learning_rates,
            expert_weights=config.expert_weights,
            metrics=metrics,
            progress=config.progress,
            max_memory_mb=config.max_memory_mb,
        )
    result.save(folder / "sweep.json")
    leed.save_result(result.best(config.measure), folder / "best")
    return result, folder


def main(arguments: list[str] | None = None) -> int:
    """Trains and prints the table; returns the exit status."""
    config = tyro.cli(SweepConfig, args=arguments, prog="python -m experiments.sweep")
    compilation.announce_cache(config.compilation_cache)
    try:
        result, folder = run(config)
    except (leed.GenerationError, OSError, ValueError, TypeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    best = result.best(config.measure).config
    print(result)
    print(f"best by {config.measure}: {best.learning_rate:g}, λ = {best.expert.weight:g}")
    print(f"Raw results: {folder}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
