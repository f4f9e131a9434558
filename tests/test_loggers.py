"""The metrics file survives interruptions; the progress bar is seen only where it is wanted."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import loggers


def test_every_line_is_on_the_disk_before_the_file_is_closed(tmp_path):
    path = tmp_path / "new" / "metrics.jsonl"
    with loggers.MetricsWriter(path) as writer:
        writer.write({"env_steps": 1})
        assert loggers.read_metrics(path) == [{"env_steps": 1}]
        writer.write({"env_steps": 2})
        assert len(loggers.read_metrics(path)) == 2


def test_numbers_that_are_not_finite_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    record = {
        "team_return": float("nan"),
        "agent_return": np.array([1.5, np.inf]),
        "loss": {"policy": np.float32(-np.inf), "value": jnp.float32(0.5)},
        "seed": np.int64(3),
    }
    with loggers.MetricsWriter(path) as writer:
        writer.write(record)
    expected = {
        "team_return": None,
        "agent_return": [1.5, None],
        "loss": {"policy": None, "value": 0.5},
        "seed": 3,
    }
    assert json.loads(path.read_text()) == expected


def test_opening_again_appends_and_removes_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"env_steps": 1}\n{"env_st')
    assert loggers.read_metrics(path) == [{"env_steps": 1}]
    with loggers.MetricsWriter(path) as writer:
        writer.write({"env_steps": 2})
    assert path.read_text() == '{"env_steps": 1}\n{"env_steps": 2}\n'


def test_what_json_lacks_is_refused_and_leaves_the_file_whole(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with loggers.MetricsWriter(path) as writer, pytest.raises(TypeError, match="set"):
        writer.write({"env_steps": {1, 2}})
    assert path.read_text() == ""


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"env_steps": 1}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2"):
        loggers.read_metrics(path)


def test_progress_goes_to_stderr_with_return_and_speed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with loggers.TrainingProgress("leed on mpe/simple_spread", 1000) as bar:
        bar.update(500, team_return=-41.256, steps_per_second=12345.6)
    shown = capsys.readouterr()
    assert shown.out == ""
    for part in ("leed on mpe/simple_spread", "50%", "return -41.26", "12.3k steps/s", "left"):
        assert part in shown.err


def test_disabled_progress_prints_nothing(capsys):
    with loggers.TrainingProgress("leed", 1000, enabled=False) as bar:
        bar.update(1000, team_return=0.0, steps_per_second=1.0)
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""
