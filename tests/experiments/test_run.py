"""`python -m experiments.run`: its exit status, and what it says when a run ends early."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import report, run
from leed_jax import cli


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run"])


@pytest.mark.parametrize("status", [1, 130, 143])
def test_a_run_that_ended_early_says_why_and_gives_its_status(
    status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end() -> Path:
        raise cli.EndedError("Interrupted", "after 64 steps\nTo go on: [x] --resume a/b", status)

    monkeypatch.setattr(cli, "carry_out", end)
    assert run.main() == status
    assert capsys.readouterr().out == "Interrupted: after 64 steps\nTo go on: [x] --resume a/b\n"


def test_a_disk_that_is_full_at_the_report_leaves_a_run_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(folder: Path) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "report.md"))

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(cli, "carry_out", lambda: tmp_path)
    monkeypatch.setattr(report, "write", write)
    assert run.main() == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "No space left on device" in first and "report.md" in first and "free some" in first
    assert second.endswith(f"python -m experiments.run --resume {tmp_path}")
