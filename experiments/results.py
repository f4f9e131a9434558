"""A results folder as it lies on the disk, and its learning curves as arrays.

Letters of this folder: S seeds, T evaluations of a run.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from leed_jax import loggers, statistics
from leed_jax.result_tables import label as label
from leed_jax.result_tables import metric_names as metric_names
from leed_jax.result_tables import title as title
from leed_jax.result_tables import words as words


class Results(NamedTuple):
    """What a run left."""

    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]
    """Lines of metrics.jsonl."""


class Curve(NamedTuple):
    """One metric of one method."""

    x: Float[np.ndarray, "T"]
    """Environment steps, or seconds (mean over seeds), of every evaluation."""
    values: Float[np.ndarray, "S T"]
    """NaN where a seed had no finite number."""


def load(folder: Path) -> Results:
    """The folder's config, summary and metrics.

    Raises:
      FileNotFoundError: one of the files is missing.
      ValueError: one of them is not JSON.
    """
    config, summary = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "summary.json")
    )
    return Results(folder, config, summary, loggers.read_metrics(folder / "metrics.jsonl"))


def read(record: dict[str, Any], metric: str) -> float:
    """A metric from a metrics line; NaN where it is missing or null."""
    value = record.get(metric) if metric == "team_return" else record["success"].get(metric)
    return float("nan") if value is None else float(value)


def evaluations(results: Results, method: str) -> dict[int, dict[int, dict[str, Any]]]:
    """Metrics lines of a method by seed and environment steps, both ascending.

    Only those steps at which every seed was evaluated; of lines that a resumed run wrote twice, the
    later one.
    """
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for record in results.metrics:
        if record["method"] == method:
            found.setdefault(record["seed"], {})[record["env_steps"]] = record
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    return {seed: {step: found[seed][step] for step in common} for seed in sorted(found)}


def curve(results: Results, method: str, metric: str, x: str = "env_steps") -> Curve:
    """The learning curve of a method; of no evaluations where it has none.

    Args:
      results: from `load`.
      method: key of ``summary["methods"]``.
      metric: one of `metric_names`.
      x: ``env_steps`` or ``seconds``.
    """
    rows = [list(by_step.values()) for by_step in evaluations(results, method).values()]
    if not rows or not rows[0]:
        return Curve(np.zeros(0), np.zeros((len(rows), 0)))
    values = np.array([[read(record, metric) for record in row] for row in rows])
    position = np.array([[float(record[x]) for record in row] for row in rows])
    return Curve(position.mean(0), values)


def takes_no_steps(results: Results, method: str) -> bool:
    """Whether the method learns without the environment, as BC does."""
    x = curve(results, method, "team_return").x
    return x.size > 0 and x.max() == 0


def diverged(results: Results, method: str) -> int:
    """Seeds whose last evaluation has no finite team return."""
    values = curve(results, method, "team_return").values
    return int(np.isnan(values[:, -1]).sum()) if values.size else 0


def over_seeds(values: Float[np.ndarray, "S"]) -> statistics.Interval:
    """IQM and interval of the seeds that have a number; NaN where none has.

    `diverged` counts those that are left out, so that a figure or table can say so.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return statistics.Interval(np.nan, np.nan, np.nan)
    return statistics.aggregate(finite)
