"""Grids of learning rates and expert weights λ, every seed of all of them in one program."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from leed_jax import files, loggers, statistics
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import memory, methods, runs, training
from leed_jax.optimization.members import Member
from leed_jax.optimization.results import TrainResult
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv


@dataclass(frozen=True)
class SweepResult:
    """A result per combination, learning rates outermost; ``print`` shows a table."""

    results: tuple[TrainResult, ...] = field(repr=False)
    """Each with the configuration that `train` would have been given. Their `train_seconds`,
    `compile_seconds` and the ``seconds`` of their histories are those of the whole sweep, in which
    they were trained side by side."""
    plan: memory.Plan
    """How many teams were trained at once, and the memory that it took."""

    def __iter__(self) -> Iterator[TrainResult]:
        return iter(self.results)

    @property
    def env_steps_per_second(self) -> float:
        """Environment steps of all teams per second of training."""
        return sum(result.env_steps_per_second for result in self.results)

    def interval(self, result: TrainResult, measure: str = "team_return") -> statistics.Interval:
        """Interquartile mean over a combination's seeds of its last evaluations.

        NaN where a seed diverged; `as_json` says which.
        """
        return statistics.aggregate(result.final(measure))

    def best(self, measure: str = "team_return", *, higher_is_better: bool = True) -> TrainResult:
        """The combination with the best interquartile mean over seeds of the last evaluation.

        The best of many is flattered by luck: train it anew with other seeds before reporting it.
        Combinations of which a seed diverged come last.

        Args:
          measure: "team_return", or a success metric.
          higher_is_better: of the measure.
        """
        sign = 1 if higher_is_better else -1
        values = [sign * self.interval(result, measure).iqm for result in self.results]
        return self.results[int(np.argmax(np.nan_to_num(values, nan=-np.inf)))]

    def as_json(self) -> dict[str, Any]:
        """All combinations with their intervals and every seed's last evaluation."""
        first = self.results[0]
        measures = ["team_return", *first.history[-1]["success"]]
        return {
            "method": first.method,
            "environment": first.spec.name,
            "env_steps": first.env_steps,
            "env_steps_per_second": self.env_steps_per_second,
            "train_seconds": first.train_seconds,
            "compile_seconds": first.compile_seconds,
            "peak_memory_mb": first.peak_memory_mb,
            "memory": {**self.plan._asdict(), "calls": self.plan.calls},
            "combinations": [
                {
                    "learning_rate": result.config.learning_rate,
                    "expert_weight": result.config.expert.weight,
                    "seeds": list(result.seeds),
                    "diverged": {str(seed): why.as_json() for seed, why in result.diverged.items()},
                    "last": {
                        name: {
                            **self.interval(result, name)._asdict(),
                            "seeds": result.final(name),
                        }
                        for name in measures
                    },
                }
                for result in self.results
            ],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `as_json`; parameters go by `save_result`, combination by combination."""
        content = json.dumps(loggers.jsonable(self.as_json()), indent=1)
        files.write(Path(path), content + "\n")

    def __str__(self) -> str:
        first = self.results[0]
        names = ["team_return", *first.history[-1]["success"]]
        rows = [("learning rate", "λ", "seeds", *(name.replace("_", " ") for name in names))]
        for result in self.results:
            intervals = [self.interval(result, name) for name in names]
            cells = [f"{one.iqm:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in intervals]
            config = result.config
            seeds = str(len(result.seeds))
            rows.append((f"{config.learning_rate:g}", f"{config.expert.weight:g}", seeds, *cells))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        head = f"{first.method} on {first.spec.name}, IQM over seeds of the last evaluation"
        return "\n".join([head, *lines])


def sweep(
    scenario: HasArrayEnv | ArrayEnv,
    demos: Demonstrations | None = None,
    config: TrainConfig | None = None,
    *,
    method: str | methods.Method = "leed",
    seeds: int | Sequence[int] = 1,
    learning_rates: Sequence[float] | None = None,
    expert_weights: Sequence[float] | None = None,
    expert: Expert | None = None,
    metrics: loggers.MetricsWriter | None = None,
    progress: bool = False,
    max_memory_mb: float | None = None,
    devices: hardware.Devices = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    keep: int = 3,
    checkpoint_every: int = 1,
    loggers: Sequence[loggers.Logger] = (),
) -> SweepResult:
    """Trains every combination of learning rate, λ and seed, side by side in one program.

    Where they do not fit into memory together they are trained in several calls of it. Every team
    comes out as `train` would have trained it with the combination's configuration, up to
    rounding. Where λ = 0 is one of several, its expert term stays in place with weight 0, where
    `train` leaves it out: the same up to rounding, too, as long as every agent has a row to learn
    from in every minibatch.

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      config: settings of all combinations.
      method: a key of `methods.METHODS`, or a `methods.Method` of one's own.
      seeds: of every combination: how many (0, 1, ...), or which.
      learning_rates: of Adam at the start; None: ``config.learning_rate`` alone, or the method's
        usual one.
      expert_weights: λ at the start; None: ``config.expert.weight`` alone.
      expert: as of `training.train`.
      metrics: gets a line per team and evaluation; with several combinations these lines, as the
        histories, say ``learning_rate`` and ``expert_weight_start``.
      progress: shows what memory is needed and how far it is, on stderr or in a notebook's cell.
      max_memory_mb: MiB per device to keep within; by default what the device or the system has
        left, less a tenth.
      devices: how many, or which, share the work, as of `train`.
      checkpoint_dir: gets checkpoints of all teams, as of `train`.
      resume: go on from the newest checkpoint there.
      keep: so many checkpoints, and the best.
      checkpoint_every: evaluations between two checkpoints.
      loggers: get the lines of ``metrics``, too, as of `train`.

    Raises:
      FileExistsError: as of `train`.
      Interrupted: as of `train`.
      OSError: as of `train`.
      ValueError: what is given does not fit together, a method without λ is given several, or one
        team does not fit into memory; the message names the field.
    """
    config = config or TrainConfig()
    rates, weights = (config.learning_rate,), (config.expert.weight,)
    if learning_rates is not None:
        rates = _values("learning_rates", learning_rates)
    if expert_weights is not None:
        weights = _values("expert_weights", expert_weights)
    configs = [
        config.replace(learning_rate=rate, expert=dataclasses.replace(config.expert, weight=weight))
        for rate, weight in itertools.product(rates, weights)
    ]
    # Without λ the method may have another usual rate.
    usual = [methods.learning_rate(methods.resolve(method, one), one) for one in configs]
    configs = [one.replace(learning_rate=r) for one, r in zip(configs, usual, strict=True)]
    # The term is there if any combination needs it.
    widest = max(configs, key=lambda one: one.expert.weight)
    resolved = methods.resolve(method, widest)
    if expert_weights is not None and not _weighs(method, config):
        raise ValueError(
            f"expert_weights: method {resolved.name!r} has no term that is weighed by λ"
        )
    chosen = training.seeds_of(seeds)
    members = [
        Member(seed, rate, one.expert.weight)
        for one, rate in zip(configs, usual, strict=True)
        for seed in chosen
    ]
    trained = training.train_members(
        scenario,
        demos,
        widest,
        resolved,
        members,
        expert=expert,
        metrics=metrics,
        progress=progress,
        max_memory_mb=max_memory_mb,
        devices=devices,
        checkpointing=runs.checkpointing(
            checkpoint_dir, resume=resume, keep=keep, checkpoint_every=checkpoint_every
        ),
        loggers=loggers,
    )
    count = len(chosen)
    results = tuple(
        trained.result(one, range(index * count, (index + 1) * count))
        for index, one in enumerate(configs)
    )
    return SweepResult(results, trained.plan)


def _values(name: str, given: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(value) for value in given)
    if not values or len(set(values)) != len(values):
        raise ValueError(f"{name} must be one or more numbers, each once, got {values}")
    return values


def _weighs(method: str | methods.Method, config: TrainConfig) -> bool:
    """Whether λ makes a difference to the method's loss."""
    config = config.replace(expert=dataclasses.replace(config.expert, weight=1.0))
    resolved = methods.resolve(method, config)
    return resolved.weight is None and any(
        float(term.coefficient(config, jnp.zeros(())))
        != float(term.coefficient(config, jnp.ones(())))
        for term in resolved.terms
    )
