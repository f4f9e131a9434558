"""Sweeps: every team as `train` alone would have made it, in as many calls as memory asks for."""

import dataclasses
import functools
import itertools
import json
from pathlib import Path
from typing import Any

import chex
import jax
import numpy as np
import pytest
import tiny_training
from tiny_training import CONFIG

from leed_jax import loggers, statistics
from leed_jax.optimization import calls, members, memory, sweeps, training
from leed_jax.optimization.results import Diverged, TrainResult
from leed_jax.optimization.sweeps import SweepResult

# The last combination is that of `tiny_training.result`.
RATES, WEIGHTS, SEEDS = (0.03, 3e-3), (0.0, 1.0), tiny_training.SEEDS
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def sweep(**options: Any) -> SweepResult:
    given = {"seeds": SEEDS, "learning_rates": RATES, "expert_weights": WEIGHTS, **options}
    return sweeps.sweep(tiny_training.scenario(), tiny_training.demos(), CONFIG, **given)


@functools.cache
def swept() -> SweepResult:
    """Eight teams at once; not to be changed, tests share it."""
    return sweep()


def alone(rate: float, weight: float, **options: Any) -> TrainResult:
    expert = dataclasses.replace(CONFIG.expert, weight=weight)
    config = CONFIG.replace(learning_rate=rate, expert=expert)
    given = {"seeds": SEEDS, **options}
    return training.train(tiny_training.scenario(), tiny_training.demos(), config, **given)


def without(history: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in names} for line in history]


def test_every_combination_has_its_configuration_and_marked_history() -> None:
    result = swept()
    assert (result.plan.members, result.plan.at_once, result.plan.calls) == (8, 8, 1)
    found = [(one.config.learning_rate, one.config.expert.weight) for one in result]
    assert found == list(itertools.product(RATES, WEIGHTS))
    for one in result:
        assert one.seeds == SEEDS and one.env_steps == 160
        assert [line["seed"] for line in one.history] == [3, 5] * 4
        assert [line["updates"] for line in one.history] == [0, 0, 2, 2, 4, 4, 5, 5]
        marks = {(line["learning_rate"], line["expert_weight_start"]) for line in one.history}
        assert marks == {(one.config.learning_rate, one.config.expert.weight)}
        assert jax.tree.leaves(one.params)[0].shape[:2] == (2, 2)
    assert [line["expert_weight"] for line in result.results[0].history[2:]] == [[0.0, 0.0]] * 6
    total = 8 * 160 / result.results[0].train_seconds
    assert result.env_steps_per_second == pytest.approx(total)


@pytest.mark.parametrize("index", [pytest.param(0, marks=pytest.mark.slow), 3])
def test_a_combination_equals_training_with_its_configuration(index: int) -> None:
    # The first has λ = 0, where training leaves the expert term out altogether.
    rate, weight = list(itertools.product(RATES, WEIGHTS))[index]
    one = swept().results[index]
    other = alone(rate, weight) if index == 0 else tiny_training.result()
    assert one.config == other.config and one.method == other.method
    chex.assert_trees_all_close(one.params, other.params, **CLOSE)
    for name in ("team_return", "place_last"):
        np.testing.assert_allclose(one.curve(name), other.curve(name), rtol=1e-5)
    # Not because all combinations are the same.
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(swept().results[1].params, other.params, **CLOSE)


def test_what_does_not_fit_at_once_is_trained_in_calls_with_the_same_results(tmp_path: Any) -> None:
    whole = swept()
    needed = whole.plan.needed
    assert needed is not None
    with loggers.MetricsWriter(tmp_path / "metrics.jsonl") as metrics:
        # Room for three eighths, and a bit: three calls of three teams, the last of two and a copy.
        split = sweep(max_memory_mb=0.45 * needed / 2**20, metrics=metrics)
    assert (split.plan.members, split.plan.at_once, split.plan.calls) == (8, 3, 3)
    assert split.plan.needed is not None and split.plan.limit is not None
    assert split.plan.needed <= split.plan.limit < needed
    for one, other in zip(split, whole, strict=True):
        assert one.config == other.config and one.diverged == {}
        chex.assert_trees_all_close(one.params, other.params, **CLOSE)
        np.testing.assert_allclose(one.curve(), other.curve(), rtol=1e-5)
        marks = ("seed", "updates", "env_steps", "learning_rate", "expert_weight_start")
        for line, same in zip(one.history, other.history, strict=True):
            assert [line[name] for name in marks] == [same[name] for name in marks]
        # Seconds of all calls, the same for all teams.
        seconds = [line["seconds"] for line in one.history]
        assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(one.train_seconds)
    # The file has the lines as they came, call by call; none of the team that filled the last one.
    lines = loggers.read_metrics(tmp_path / "metrics.jsonl")
    order = [(line["learning_rate"], line["expert_weight_start"], line["seed"]) for line in lines]
    teams = list(itertools.product(RATES, WEIGHTS, SEEDS))
    assert order == [*teams[:3] * 4, *teams[3:6] * 4, *teams[6:] * 4]


@pytest.mark.slow
def test_seeds_of_a_plain_training_are_split_too_and_its_lines_are_not_marked() -> None:
    whole = tiny_training.result()
    plan: list[str] = []
    half = swept().plan.needed
    assert half is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "print", lambda text, **_: plan.append(str(text)), raising=False)
        # Two teams need more than a quarter of what eight do: they share the demonstrations.
        result = training.train(
            tiny_training.scenario(),
            tiny_training.demos(),
            CONFIG,
            seeds=SEEDS,
            max_memory_mb=0.2 * half / 2**20,
            progress=True,
        )
    assert len(plan) == 1 and "1 of 2 teams at once, 2 calls" in plan[0]
    chex.assert_trees_all_close(result.params, whole.params, **CLOSE)
    assert without(result.history, "seconds", "team_return", "agent_return", "success", "loss") == (
        without(whole.history, "seconds", "team_return", "agent_return", "success", "loss")
    )
    assert result.seeds == SEEDS and result.best_seed == whole.best_seed
    np.testing.assert_allclose(result.curve(), whole.curve(), rtol=1e-5)


def test_one_team_that_does_not_fit_is_refused_with_what_would_help(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"one team needs .* num_envs \(now 4\)"):
        alone(0.003, 1.0, method="bc", max_memory_mb=0.001)
    # Copies for checkpoints count where they lie in the same memory.
    monkeypatch.setattr(memory, "checkpoint_bytes", lambda state: 2**40 if state > 0 else 0)
    with pytest.raises(ValueError, match=r"one team needs 1,024\.0 GB of memory"):
        alone(0.003, 1.0, method="bc", max_memory_mb=0.001, checkpoint_dir=tmp_path)


def test_histories_of_calls_are_joined_evaluation_by_evaluation() -> None:
    def call(seconds: tuple[float, float], *seeds: int) -> list[dict[str, Any]]:
        return [{"seed": seed, "seconds": at} for at in seconds for seed in seeds]

    joined = members.joined([call((0.0, 2.0), 1, 2), call((0.5, 3.0), 7)], evaluations=2)
    assert joined == [
        *({"seed": seed, "seconds": 0.5} for seed in (1, 2, 7)),
        *({"seed": seed, "seconds": 5.0} for seed in (1, 2, 7)),
    ]


def test_table_best_and_file_tell_the_same(tmp_path: Any) -> None:
    result = swept()
    means = [statistics.aggregate(one.final()).iqm for one in result]
    assert result.best() is result.results[int(np.argmax(means))]
    assert result.best(higher_is_better=False) is result.results[int(np.argmin(means))]
    head, names, *rows = str(result).splitlines()
    assert head.startswith("leed on toy/line") and "place last" in names
    assert [row.split()[:3] for row in rows] == [
        [f"{rate:g}", f"{weight:g}", "2"] for rate, weight in itertools.product(RATES, WEIGHTS)
    ]
    for row, mean in zip(rows, means, strict=True):
        assert row.split()[3] == f"{mean:.2f}"
    result.save(tmp_path / "sweep.json")
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert content["memory"]["calls"] == 1 and content["env_steps"] == 160
    for found, one, mean in zip(content["combinations"], result, means, strict=True):
        assert found["learning_rate"] == one.config.learning_rate
        assert found["last"]["team_return"]["iqm"] == pytest.approx(mean)
        assert found["last"]["place_last"]["seeds"] == one.final("place_last").tolist()


def test_a_combination_of_which_a_seed_diverged_is_not_the_best() -> None:
    first, second = swept().results[:2]
    lines = [{**line, "team_return": float("nan")} for line in first.history]
    broken = dataclasses.replace(
        first, history=lines, diverged=dict.fromkeys((3, 5), Diverged(2, "metric expert"))
    )
    result = SweepResult((broken, second), swept().plan)
    for higher in (True, False):
        assert result.best(higher_is_better=higher) is second
    assert "nan" in str(result)
    assert (
        loggers.jsonable(result.as_json())["combinations"][0]["last"]["team_return"]["iqm"] is None
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rates": ()}, "learning_rates must be one or more numbers"),
        ({"expert_weights": (1.0, 1.0)}, "expert_weights must be one or more numbers, each once"),
        ({"learning_rates": (-1.0,)}, "learning_rate must be positive or None, got -1.0"),
        ({"expert_weights": (-1.0,)}, "expert.weight must be at least 0, got -1.0"),
        ({"method": "ippo"}, "expert_weights: method 'ippo' has no term"),
        ({"method": "bc"}, "expert_weights: method 'bc' has no term"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sweep(**options)
