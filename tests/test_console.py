"""What is shown of a training: where, how often, and only where it is wanted."""

import io
import math
import re
import types
from typing import Any

import pytest
import rich.console

from leed_jax import console, displays
from leed_jax.generation import display as generating


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
    line = r"leed on mpe/simple_spread: 50% return -41\.26 12\.3k steps/s, \d+ s left\n"
    assert re.fullmatch(line, shown.err)


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with console.TrainingProgress("leed on mpe/simple_spread", 1000) as bar:
        bar.update(500, team_return=-41.256, steps_per_second=12345.6)
    shown = capsys.readouterr()
    assert shown.out == "" and "\x1b[" in shown.err and "━" in shown.err
    for part in ("leed on mpe/simple_spread", "50%", "return -41.26", "12.3k steps/s", "left"):
        assert part in shown.err


def test_a_file_gets_a_line_for_every_tenth_and_the_last_state(capsys):
    with console.TrainingProgress("leed", 1000) as bar:
        for steps in range(0, 480, 40):
            bar.update(steps, team_return=float(steps))
    lines = capsys.readouterr().err.splitlines()
    # Of 0, 40, ..., 440 the first ones from 0, 100, 200, 300 and 400 on; and where it ended.
    told = [line.split(",")[0] for line in lines]
    wanted = [(0, 0), (12, 120), (20, 200), (32, 320), (40, 400), (44, 440)]
    assert told == [f"leed: {share}% return {steps:.2f}" for share, steps in wanted]


def test_a_file_is_told_nothing_twice(capsys):
    with console.TrainingProgress("leed", 1000) as bar:
        bar.update(1000, team_return=1.0)
    assert capsys.readouterr().err == "leed: 100% return 1.00\n"
    with console.TrainingProgress("leed", 1000):
        pass
    assert capsys.readouterr().err == ""


@pytest.fixture
def shown(monkeypatch) -> list[str]:
    """What the one output of a notebook's cell says, from first to last."""
    from IPython import display

    found: list[str] = []
    handle = types.SimpleNamespace(update=lambda data, raw: found.append(data["text/plain"]))

    def begin(data, raw, display_id):
        assert raw and display_id is True and found == []
        handle.update(data, raw)
        return handle

    monkeypatch.setattr(displays, "in_notebook", lambda: True)
    monkeypatch.setattr(display, "display", begin)
    return found


def test_conversations_in_a_notebook_and_in_a_file(shown, capsys, monkeypatch):
    with generating.show(True, 2) as report:
        report(1, "asking")
        report(0, "ended")
    assert shown == [
        "conversation 0: waiting\nconversation 1: asking",
        "conversation 0: ended\nconversation 1: asking",
    ]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(displays, "in_notebook", lambda: False)
    with generating.show(True, 2) as report:
        report(1, "asking")
    assert capsys.readouterr() == ("", "conversation 1: asking\n")


def test_a_notebook_gets_one_output_that_is_replaced(shown, capsys):
    with console.TrainingProgress("leed", 1000) as bar:
        bar.update(500, team_return=-1.5, lines=[line(3, -1.5)])
        displays.say("memory: needs 3 MB")
    assert [" 50% " in text for text in shown] == [False, True, True]
    bar_line, head, row = shown[-1].splitlines()
    assert bar_line.startswith("leed ━") and "return -1.50" in bar_line
    assert head.split()[:2] == ["seed", "return"] and row.split()[:2] == ["3", "-1.5"]
    assert capsys.readouterr() == ("memory: needs 3 MB\n", "")


def test_the_table_of_the_last_evaluation_is_below_the_bar(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with console.TrainingProgress("leed", 1000) as bar:
        bar.update(0, lines=[line(3, -77.0)])
        bar.update(500, lines=[line(3, -12.3456), line(5, math.nan)])
    shown = capsys.readouterr().err.splitlines()
    assert "0%" in shown[0] and "50%" in shown[1] and "-77" not in " ".join(shown)
    assert shown[2].split() == ["seed", "return", "goals", "reached", "policy", "loss"]
    assert shown[3].split() == ["3", "-12.35", "0.5", "-0.25"]
    assert shown[4].split() == ["5", "-", "0.5", "-0.25"]


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
    assert f" {wanted} steps/s," in capsys.readouterr().err
