"""A run survives `kill -9`, and what is said about it is true."""

import json
import shutil
from pathlib import Path

import pytest

from experiments.torture import kill_run, run_remains


@pytest.mark.slow
def test_a_run_that_is_killed_five_times_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kill_run.run(tmp_path / "kill", 5, seed=0, updates=10, json_file=tmp_path / "f.json")
    printed = capsys.readouterr().out
    assert "5 faults injected, 5 survived" in printed and "data lost: 0" in printed
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["faults"] == [] and len(told["kills"]) == 5
    # 2 methods, 2 seeds, an evaluation before the first of 10 updates and after each.
    assert told["lines"] == 2 * 2 * 11


def test_the_moments_are_drawn_from_the_seed_and_of_every_kind() -> None:
    assert kill_run.moments(20, 0) == kill_run.moments(20, 0) != kill_run.moments(20, 1)
    first, *rest = kill_run.moments(20, 0)
    assert first == kill_run.FIRST and rest[-1] == kill_run.FILE
    assert {phase: rest.count(phase) for phase in set(rest)} == {**kill_run.PHASES, "file": 2}
    assert [len(kill_run.moments(count, 0)) for count in (1, 3, 20, 45)] == [1, 3, 20, 45]


LINES = [{"method": "leed", "seed": 0, "updates": n, "seconds": float(n)} for n in range(3)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same metrics, but for the clock."""
    for name, factor in (("whole", 1), ("killed", 3)):
        (tmp_path / name).mkdir()
        lines = [{**line, "seconds": factor * line["seconds"]} for line in LINES]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "metrics.jsonl").write_text(text)
        (tmp_path / name / "demonstrations.bin").write_text("same")
    return tmp_path / "whole", tmp_path / "killed"


def test_clocks_are_no_difference(folders: tuple[Path, Path]) -> None:
    assert run_remains.differences(*folders) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text + text.splitlines(keepends=True)[-1], "metrics: 4 lines, not 3"),
        (lambda text: "".join(text.splitlines(keepends=True)[:2]), "metrics: 2 lines, not 3"),
        (lambda text: text.replace('"updates": 1', '"updates": 2'), "metrics: line 2 is"),
        (lambda text: text + '{"method": "le', "metrics: a torn line"),
    ],
)
def test_a_gap_a_duplicate_and_a_torn_line_are_found(
    folders: tuple[Path, Path], change, fault: str
) -> None:
    metrics = folders[1] / "metrics.jsonl"
    metrics.write_text(change(metrics.read_text()))
    assert any(found.startswith(fault) for found in run_remains.differences(*folders))


def test_what_is_left_over_or_half_written_is_found(folders: tuple[Path, Path]) -> None:
    whole, killed = folders
    (killed / "config.json").write_text('{"config": {')
    (killed / "x.json.01234567.partial").write_text("")
    found = run_remains.differences(whole, killed)
    assert any("config.json is not whole" in fault for fault in found)
    assert any("x.json.01234567.partial" in fault for fault in found)
    assert len(run_remains.partial_files(killed)) == 1
    shutil.rmtree(whole)
    assert run_remains.whole_lines(whole) == []
