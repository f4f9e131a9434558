"""The metrics file survives interruptions."""

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


def is_mine(record):
    return record.get("seed") == 3


def test_rewinding_removes_the_lines_of_one_run_behind_a_position_and_no_others(tmp_path):
    path = tmp_path / "metrics.jsonl"
    mine, others = [{"seed": 3, "at": at} for at in range(4)], {"seed": 4, "at": 0}
    path.write_text(json.dumps({"seed": 3, "of": "an earlier run"}) + "\n")
    with loggers.MetricsWriter(path) as writer:
        earlier = begun = writer.position
        writer.write(mine[0])
        writer.write(mine[1])
        position = writer.position
        assert earlier < position == path.stat().st_size
        inode = path.stat().st_ino
        writer.write(mine[2])
        writer.rewind(position, begun, mine[:2], is_mine)
        # Nothing of anybody else behind it: the file is cut, not written anew.
        assert path.stat().st_ino == inode and path.stat().st_size == position
        writer.write(mine[2])
        writer.write(others)
        writer.write(mine[3])
        writer.rewind(position, begun, mine[:2], is_mine)
        writer.write(mine[2])
    found = loggers.read_metrics(path)
    assert found == [{"seed": 3, "of": "an earlier run"}, *mine[:2], others, mine[2]]


@pytest.mark.parametrize(
    "content", ["", '{"seed": 4}\n', '{"seed": 4}\n{"seed": 3, "at": 7}\nno\n']
)
def test_a_file_that_was_changed_gets_the_lines_of_a_resumed_run_anew(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    mine = [{"seed": 3, "at": 0}, {"seed": 3, "at": 1, "team_return": float("nan")}]
    with loggers.MetricsWriter(path) as writer:
        with pytest.warns(UserWarning, match="was changed since the checkpoint"):
            writer.rewind(1000, 900, mine, is_mine)
        writer.write({"seed": 3, "at": 2})
    lines = path.read_text().splitlines()
    kept = [line for line in content.splitlines() if '"seed": 3' not in line]
    assert lines[: len(kept)] == kept
    found = [json.loads(line) for line in lines[len(kept) :]]
    assert [line["at"] for line in found] == [0, 1, 2] and found[1]["team_return"] is None


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
