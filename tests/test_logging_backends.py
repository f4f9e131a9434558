"""TensorBoard and Weights & Biases get every point once, and are imported by nobody else."""

import importlib
import json
import math
import struct
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
import tiny_training

from leed_jax import cli, loggers, logging_backends
from leed_jax.logging_backends import TensorBoard, WeightsAndBiases
from leed_jax.optimization import training


def line(updates: int, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "method": "leed",
        "seed": seed,
        "env_steps": 32 * updates,
        "updates": updates,
        "seconds": 0.5,
        "team_return": float(updates),
        "agent_return": [1.0, 2.0],
        "success": {"place": 0.25},
        "loss": {"policy": math.nan},
        **more,
    }


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Step, tag and value of all scalars that TensorBoard shows of a curve.

    Its rules: files in the order of their names; the start of a session hides what has its step or
    a later one (tensorboard/backend/event_processing/event_accumulator.py, `_Purge`).
    """
    proto: Any = importlib.import_module("tensorboardX.proto.event_pb2")

    found: list[tuple[int, str, float]] = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = proto.Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            if event.session_log.status == proto.SessionLog.START:
                found = [each for each in found if each[0] < event.step]
            for value in event.summary.value:
                found.append((event.step, value.tag, value.simple_value))
    return found


def test_a_line_becomes_numbers_by_name():
    assert logging_backends.scalars(line(2)) == {
        "updates": 2.0,
        "seconds": 0.5,
        "team_return": 2.0,
        "agent_return/mean": 1.5,
        "agent_return/0": 1.0,
        "agent_return/1": 2.0,
        "success/place": 0.25,
    }


def test_of_a_large_team_there_is_the_mean_alone():
    found = logging_backends.scalars(line(2, agent_return=[1.0] * 16 + [18.0]))
    assert [name for name in found if name.startswith("agent")] == ["agent_return/mean"]
    assert found["agent_return/mean"] == 2.0


def test_teams_of_a_sweep_have_curves_of_their_own():
    told = line(0, seed=4, learning_rate=1e-3, expert_weight_start=0.5)
    assert logging_backends.curve(told) == "leed/seed_4_lr_0.001_weight_0.5"


def test_tensorboard_shows_every_step_once_after_a_run_was_resumed(tmp_path):
    with TensorBoard(tmp_path) as first:
        for updates in (0, 2, 4):
            first.write(line(updates))
        first.write(line(0, seed=1))
    # From the checkpoint after two updates on, another value to tell the two apart.
    with TensorBoard(tmp_path) as second:
        second.write(line(4, team_return=44.0))
        second.write(line(5, team_return=55.0))
    shown = events(tmp_path / "leed" / "seed_0")
    returns = [(step, value) for step, tag, value in shown if tag == "team_return"]
    assert returns == [(0, 0.0), (64, 2.0), (128, 44.0), (160, 55.0)]
    assert [step for step, tag, _ in shown if tag == "success/place"] == [0, 64, 128, 160]
    assert len(events(tmp_path / "leed" / "seed_1")) == 7


def test_a_method_without_environment_steps_is_drawn_over_updates(tmp_path):
    with TensorBoard(tmp_path) as board:
        for updates in (0, 3):
            board.write(line(updates, env_steps=0))
    assert [s for s, tag, _ in events(tmp_path / "leed/seed_0") if tag == "seconds"] == [0, 3]


# ------------------------------------------------------------------------------ wandb


class FakeRun:
    """Keeps what it is told; the server of a resumed run says how far that got."""

    def __init__(self, starting_step: int, options: dict[str, Any]) -> None:
        self.starting_step, self.options = starting_step, options
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def define_metric(self, *names: str, **options: str) -> None:
        self.options.setdefault("metrics", []).append((*names, options))

    def log(self, told: dict[str, float], step: int) -> None:
        self.logged.append((step, told))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A stand-in for the module wandb, and all runs that were begun."""
    found = types.SimpleNamespace(runs=[], refused=None)

    class Error(Exception):
        pass

    def init(**options: Any) -> FakeRun:
        if found.refused:
            raise Error(found.refused)
        steps = [s for r in found.runs if r.options["id"] == options["id"] for s, _ in r.logged]
        found.runs.append(FakeRun(max(steps, default=-1) + 1, options))
        return found.runs[-1]

    module = types.ModuleType("wandb")
    vars(module).update(Error=Error, init=init, Settings=lambda **options: options)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return found


def test_wandb_has_a_run_per_seed_and_goes_on_in_the_same_one(server, tmp_path):
    folder = tmp_path / "a-run"
    with WeightsAndBiases(folder, config={"seeds": 2}) as first:
        for updates in (0, 2, 4):
            first.write(line(updates))
        first.write(line(0, seed=1))
    with WeightsAndBiases(folder) as second:
        second.write(line(4))  # behind the checkpoint, and on the server already
        second.write(line(5))
    begun, other, again = server.runs
    assert [step for step, _ in begun.logged] == [0, 2, 4]
    assert [step for step, _ in again.logged] == [5]
    assert begun.options["id"] == again.options["id"] != other.options["id"]
    assert json.loads((folder / "wandb.json").read_text()) == {
        "leed/seed_0": begun.options["id"],
        "leed/seed_1": other.options["id"],
    }
    assert begun.logged[1][1]["steps"] == begun.logged[1][1]["env_steps"] == 64
    assert begun.logged[1][1]["team_return"] == 2.0
    assert all(run.finished for run in server.runs)
    assert (begun.options["project"], begun.options["group"]) == ("leed_jax", "a-run")
    assert begun.options["config"] == {"seeds": 2}
    assert begun.options["metrics"] == [("steps", {}), ("*", {"step_metric": "steps"})]


def test_what_wandb_refuses_says_how_to_go_on_without(server, tmp_path):
    server.refused = "No API key\nconfigured."
    board = WeightsAndBiases(tmp_path)
    with pytest.raises(OSError, match=r"^Weights & Biases: No API key configured\.; .*=offline"):
        board.write(line(0))


@pytest.mark.parametrize("content", ["{", "[]", '{"leed/seed_0": 3}'])
def test_damaged_ids_are_told(server, content, tmp_path):
    (tmp_path / "wandb.json").write_text(content)
    with pytest.raises(ValueError, match="delete it to begin new runs"):
        WeightsAndBiases(tmp_path)


def history(path: Path) -> list[dict[str, Any]]:
    """Numbers by name of all steps in an offline run: a LevelDB log of protocol buffers."""
    proto: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    for _ in range(100):  # W&B's process may write the end after `finish` came back
        found, ended = read_log(path.read_bytes(), proto.Record)
        if ended:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} has no end")


def read_log(data: bytes, kind_of: Any) -> tuple[list[dict[str, Any]], bool]:
    at, found, whole, ended = 7, [], b"", False
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record, whole = kind_of.FromString(whole), b""
            ended |= record.WhichOneof("record_type") == "exit"
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                names = [item.key or "/".join(item.nested_key) for item in items]
                values = [json.loads(item.value_json) for item in items]
                step = record.history.step.num
                found.append({**dict(zip(names, values, strict=True)), "_step": step})
    return found, ended


@pytest.mark.slow
def test_wandb_itself_writes_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for steps in ((0, 2), (4,)):
        with WeightsAndBiases(tmp_path, mode="offline") as board:
            for updates in steps:
                board.write(line(updates))
    logs = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    (name,) = {path.name for path in logs}
    assert name == f"run-{json.loads((tmp_path / 'wandb.json').read_text())['leed/seed_0']}.wandb"
    first, second = map(history, logs)
    assert [(each["_step"], each["team_return"]) for each in first] == [(0, 0.0), (2, 2.0)]
    assert [(each["_step"], each["success/place"]) for each in second] == [(4, 0.25)]


# ------------------------------------------------------------------------- asking for them


def test_training_tells_all_listeners_the_lines_of_its_history():
    heard: list[dict[str, Any]] = []

    class Listener:
        def write(self, record: Any) -> None:
            heard.append(dict(record))

        def close(self) -> None:
            raise AssertionError("the caller closes")

    result = training.train(
        tiny_training.scenario(),
        tiny_training.demos(),
        tiny_training.CONFIG,
        method="bc",
        seeds=(3,),
        loggers=[Listener()],
    )
    assert heard == result.history and len(heard) == 4
    assert isinstance(Listener(), loggers.Logger)


@pytest.mark.parametrize("name", logging_backends.BACKENDS)
def test_a_missing_package_names_the_extra_before_anything_is_done(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, logging_backends.BACKENDS[name], None)
    with pytest.raises(ImportError, match=rf"loggers: {name} needs .*'leed_jax\[logging\]'"):
        cli.run(cli.RunConfig(loggers=(name,), results=tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_a_run_can_ask_for_both(tmp_path, server):
    config = cli.parse(["loggers=tensorboard,wandb"])
    assert config.loggers == ("tensorboard", "wandb")
    found = logging_backends.make(config.loggers, tmp_path)
    assert [type(each) for each in found] == [TensorBoard, WeightsAndBiases]
    with pytest.raises(ValueError, match="loggers must be named once each"):
        cli.RunConfig(loggers=("wandb", "wandb"))
