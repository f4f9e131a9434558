"""What the terminal shows of a training is on stderr, and only where it is wanted."""

import io
import math
from typing import Any

import pytest
import rich.console

from leed_jax import console


def line(seed: int, team_return: float, **more: Any) -> dict[str, Any]:
    """As `metrics.jsonl` has it."""
    found = {"seed": seed, "team_return": team_return, "success": {"goals_reached": 0.5}}
    return {**found, "loss": {"policy": -0.25}, **more}


def printed(lines: list[dict[str, Any]]) -> list[list[str]]:
    file = io.StringIO()
    rich.console.Console(file=file, width=100).print(console.evaluation_table(lines))
    return [row.split() for row in file.getvalue().splitlines()]


def test_progress_goes_to_stderr_with_return_and_speed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with console.TrainingProgress("leed on mpe/simple_spread", 1000) as bar:
        bar.update(500, team_return=-41.256, steps_per_second=12345.6)
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("leed on mpe/simple_spread", "50%", "return -41.26", "12.3k steps/s", "left"):
        assert part in shown.err


def test_the_table_of_the_last_evaluation_is_below_the_bar(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with console.TrainingProgress("leed", 1000) as bar:
        bar.update(0, lines=[line(3, -77.0)])
        bar.update(500, lines=[line(3, -12.3456), line(5, math.nan)])
    shown = capsys.readouterr().err.splitlines()
    assert "50%" in shown[0] and "-77" not in " ".join(shown)
    assert shown[1].split() == ["seed", "return", "goals", "reached", "policy", "loss"]
    assert shown[2].split() == ["3", "-12.35", "0.5", "-0.25"]
    assert shown[3].split() == ["5", "-", "0.5", "-0.25"]


def test_disabled_progress_prints_nothing(capsys):
    with console.TrainingProgress("leed", 1000, enabled=False) as bar:
        bar.update(1000, team_return=0.0, steps_per_second=1.0, lines=[line(0, 1.0)])
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


def test_many_seeds_are_summed_up_without_those_that_diverged():
    rows = printed([*(line(seed, float(seed)) for seed in range(9)), line(9, math.nan)])
    assert [row[-3] for row in rows[1:]] == ["4", "0", "8"]
    assert [" ".join(row[:3]) for row in rows[1:]] == [
        "mean of 10",
        "lowest of 10",
        "highest of 10",
    ]


def test_teams_of_a_sweep_are_told_apart():
    told = {"learning_rate": 1e-3, "expert_weight_start": 0.5}
    assert printed([line(0, 1.0, **told)])[1][:5] == ["0", "lr", "0.001", "λ", "0.5"]


def test_no_more_columns_than_fit():
    success = {f"measure_{index}": 0.0 for index in range(20)}
    table = console.evaluation_table([line(0, 1.0, success=success)])
    assert len(table.columns) == 2 + console.MAX_COLUMNS


@pytest.mark.parametrize(
    ("number", "wanted"), [(950, "950"), (12345, "12.3k"), (4.56e6, "4.56M"), (2e9, "2G")]
)
def test_speeds_have_three_digits_or_so(number, wanted, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with console.TrainingProgress("leed", 10) as bar:
        bar.update(1, steps_per_second=number)
    assert f" {wanted} steps/s" in capsys.readouterr().err
