"""Results in the JSON layout of marl-eval (Gorsane et al. 2022, arXiv 2209.10485).

Of a results folder, or of a whole suite.

``environment -> task -> algorithm -> seed_k -> step_j -> {step_count, metric: [values]}`` and, per
seed, ``absolute_metrics``; as in the README of https://github.com/instadeepai/marl-eval.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments import results as folders
from experiments import suite_cells
from experiments.results import Results
from leed_jax import files


def write(results: Results) -> Path:
    """Writes ``marl_eval.json`` into the folder; returns its path."""
    path = results.folder / "marl_eval.json"
    files.write(path, json.dumps(layout(results), indent=1) + "\n")
    return path


def layout(results: Results) -> dict[str, Any]:
    """The nested dictionaries.

    A list holds one value, the mean over the evaluation's episodes. Their absolute metric is that
    of the best evaluated policy over ten times the episodes; ours is the last evaluation, and no
    policy is picked by its score. A method without environment steps has the same values at every
    step count of the others, as marl-eval asks for equally many. The options of a scenario belong
    to the task's name, so that files of several runs can be merged.
    """
    name, _, task = results.summary["scenario"]["name"].partition("/")
    options = results.summary["scenario"].get("options") or {}
    task = "-".join([task or name, *(f"{key}={value}" for key, value in options.items())])
    algorithms = {method: _seeds(results, method) for method in results.summary["methods"]}
    return {name: {task: algorithms}}


def write_suite(published: Path, suite: str) -> Path:
    """Writes ``marl_eval.json`` of all cells of a suite without groups; returns its path.

    Algorithms are the variants; cells of groups (ablations) are tasks of their own,
    ``<task>-<group>``.
    """
    merged: dict[str, Any] = {}
    for cell in suite_cells.load_all(published, suite):
        raw = Results(Path(), cell.config, cell.summary, cell.metrics)
        ((environment, tasks),) = layout(raw).items()
        ((task, algorithms),) = tasks.items()
        name = f"{task}-{suite_cells.slug(cell.cell.group)}" if cell.cell.group else task
        (seeds,) = algorithms.values()
        merged.setdefault(environment, {}).setdefault(name, {})[cell.cell.variant] = seeds
    path = published / suite_cells.slug(suite) / "marl_eval.json"
    files.write(path, json.dumps(merged, separators=(",", ":")) + "\n")
    return path


def _seeds(results: Results, method: str) -> dict[str, Any]:
    evaluations = folders.evaluations(results, method)
    if folders.takes_no_steps(results, method):
        counts = _step_counts(results) or [0]
        evaluations = {
            seed: dict.fromkeys(counts, by_step[0]) for seed, by_step in evaluations.items()
        }
    metrics = folders.metric_names(results.summary)
    found: dict[str, Any] = {}
    for seed, by_step in evaluations.items():
        run: dict[str, Any] = {}
        values: dict[str, list[float]] = {}
        for index, (count, record) in enumerate(by_step.items()):
            values = _values(record, metrics)
            run[f"step_{index}"] = {"step_count": count, **values}
        run["absolute_metrics"] = values
        found[f"seed_{seed}"] = run
    return found


def _step_counts(results: Results) -> list[int]:
    """Those of the first method that uses environment steps."""
    for method in results.summary["methods"]:
        if not folders.takes_no_steps(results, method):
            by_seed = folders.evaluations(results, method)
            return list(next(iter(by_seed.values()), {}))
    return []


def _values(record: dict[str, Any], metrics: list[str]) -> dict[str, list[float]]:
    """Metrics as lists; those of a diverged seed are left out, JSON has no number for them."""
    values = {metric: folders.read(record, metric) for metric in metrics}
    return {metric: [value] for metric, value in values.items() if np.isfinite(value)}
