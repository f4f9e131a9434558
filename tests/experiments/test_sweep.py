"""The command that trains a grid: its table, its files, and what it refuses."""

import json
from pathlib import Path

import jax
import pytest
import tiny_training

import leed_jax as leed
from experiments import sweep
from leed_jax import compilation, loggers

ARGUMENTS = ["--learning-rates", "0.003", "0.03", "--seeds", "1", "--name", "grid"]
ARGUMENTS += ["--train.total-steps", "64", "--train.num-envs", "4", "--train.rollout-steps", "8"]
ARGUMENTS += ["--train.num-minibatches", "2", "--train.eval-episodes", "2", "--no-progress"]


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy world and its demonstrations; the session's compilation cache stays as it is."""
    monkeypatch.setattr(compilation, "announce_cache", lambda folder: None)
    monkeypatch.setattr(leed, "make", lambda name, **options: tiny_training.scenario())
    demos = tiny_training.demos()
    monkeypatch.setattr(leed, "generate_demonstrations", lambda *_, **__: demos)


def test_a_grid_leaves_a_table_its_numbers_and_the_best_teams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main([*ARGUMENTS, "--results", str(tmp_path)]) == 0
    folder = tmp_path / "grid"
    found = json.loads((folder / "sweep.json").read_text())
    rates = [one["learning_rate"] for one in found["combinations"]]
    assert rates == [0.003, 0.03]
    # Two updates of 4 x 8 steps, evaluated before and after them.
    lines = loggers.read_metrics(folder / "metrics.jsonl")
    assert [line["learning_rate"] for line in lines] == [*rates, *rates]
    assert found["env_steps"] == 64 == lines[-1]["env_steps"]
    best = leed.load_result(folder / "best")
    means = [one["last"]["team_return"]["iqm"] for one in found["combinations"]]
    assert best.config.learning_rate == rates[means.index(max(means))]
    assert best.final()[0] == pytest.approx(max(means))
    assert all(leaf.shape[0] == 1 for leaf in jax.tree.leaves(best.params))
    printed = capsys.readouterr().out
    assert "leed on toy/line" in printed and f"{max(means):.2f}" in printed
    assert f"best by team_return: {best.config.learning_rate:g}, λ = 10" in printed


def test_a_folder_that_exists_and_a_wrong_number_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "config.json").write_text("{}")
    (tmp_path / "grid" / "metrics.jsonl").write_text("{}\n")
    arguments = [*ARGUMENTS, "--results", str(tmp_path)]
    assert sweep.main(arguments) == 1
    assert "choose another --name" in capsys.readouterr().err
    assert (tmp_path / "grid" / "metrics.jsonl").read_text() == "{}\n"
    assert sweep.main([*arguments, "--name", "new", "--learning-rates", "-1"]) == 1
    assert "learning_rate must be positive" in capsys.readouterr().err
    # What was refused does not take the name.
    arguments += ["--name", "new"]
    assert sweep.main([*arguments, "--expert-weights", "-1"]) == 1
    assert "expert.weight must be at least 0" in capsys.readouterr().err
