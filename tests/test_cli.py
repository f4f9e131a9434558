"""The command line: arguments in two spellings, and a results folder that can be resumed."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import line_world
import pytest
import tiny_training
from generation.fakes import Scripted
from PIL import Image

from leed_jax import cli, instructions, loggers, run_folder, scenarios
from leed_jax.cli import RunConfig
from leed_jax.config import TrainConfig
from leed_jax.generation import (
    GenerationConfig,
    GenerationError,
    generate_plans,
    transcripts,
)
from leed_jax.optimization import training
from leed_jax.optimization.interruption import Interrupted
from leed_jax.optimization.methods import METHODS
from leed_jax.scenarios import Scenario, Threshold

METHOD_KEYS = {
    "seeds",
    "env_steps",
    "team_return",
    "success",
    "steps_to_threshold",
    "seconds_to_threshold",
    "env_steps_per_second",
    "agent_steps_per_second",
    "compile_seconds",
    "train_seconds",
    "peak_memory_mb",
    "diverged",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["methods=leed,ippo,bc", "num_agents=4", "train.num_envs=128", "train.expert.weight=1.5"],
        [
            *("--methods", "leed", "ippo", "bc", "--num-agents", "4"),
            *("--train.num-envs", "128", "--train.expert.weight", "1.5"),
        ],
    ],
)
def test_both_spellings_of_arguments_say_the_same(arguments: list[str]) -> None:
    config = cli.parse(arguments)
    assert config.methods == ("leed", "ippo", "bc")
    assert config.num_agents == 4
    assert config.train.num_envs == 128 and config.train.expert.weight == 1.5
    assert config.train.num_minibatches == TrainConfig().num_minibatches


def test_tuples_of_numbers_and_values_with_signs_are_parsed() -> None:
    config = cli.parse(
        ["train.network.hidden_sizes=32,16", "model=openai/gpt-x", "train.network.kind=gru"]
    )
    assert config.train.network.hidden_sizes == (32, 16)
    assert config.model == "openai/gpt-x" and config.train.network.kind == "gru"
    assert cli.parse(["--train.network.hidden-sizes", "8"]).train.network.hidden_sizes == (8,)


def test_without_arguments_the_defaults_are_run() -> None:
    assert cli.parse([]) == RunConfig()


def test_every_method_can_be_named() -> None:
    assert cli.parse(["--methods", *METHODS]).methods == tuple(METHODS)


@pytest.mark.parametrize("argument", ["methods=telepathy", "train.num_env=4", "seeds=many"])
def test_what_cannot_be_parsed_ends_the_program(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.parse([argument])
    assert argument.partition("=")[2] in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".hidden", "", "a b", "x" * 101, "a\n"])
def test_names_that_lead_out_of_the_results_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        RunConfig(name=name)


@pytest.mark.parametrize("methods", [(), ("leed", "leed")])
def test_no_method_or_one_twice_is_refused(methods: Any) -> None:
    with pytest.raises(ValueError, match="methods must be"):
        RunConfig(methods=methods)


def test_an_unknown_scenario_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scenario 'nowhere'"):
        cli.run(RunConfig(scenario="nowhere", results=tmp_path / "results"))
    assert not (tmp_path / "results").exists()


# ------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    # Ann's and bob's places over 8 steps are never a sum below 0: reached at the first evaluation.
    return tiny_training.scenario()._replace(threshold=Threshold("team_return", 0.0, "a toy"))


@pytest.fixture(scope="module")
def patched(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy world in place of a scenario, and an answer recorded for it."""
    folder = tmp_path_factory.mktemp("recorded")
    plan = instructions.to_mapping(line_world.all_right())
    answer = json.dumps({"comment": "", "plans": {"any_episode": plan}})
    generate_plans(
        scenario,
        Scripted([answer]),
        config=GenerationConfig(max_rounds=1, feedback_episodes=4),
        transcript=folder,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenarios, "make", lambda name, **options: scenario)
        patch.setattr(transcripts, "shipped", lambda name: folder / "toy_line")
        yield


@pytest.fixture(scope="module")
def config(patched: None, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return RunConfig(
        scenario="toy/line",
        methods=("leed", "ippo"),
        seeds=2,
        num_demonstrations=6,
        results=tmp_path_factory.mktemp("results"),
        name="toy",
        progress=False,
        train=tiny_training.CONFIG,
        generation=GenerationConfig(feedback_episodes=4),
    )


@pytest.fixture(scope="module")
def finished(config: RunConfig) -> Path:
    return cli.run(config)


@pytest.fixture
def copied(config: RunConfig, finished: Path, tmp_path: Path) -> RunConfig:
    """The same run in a folder that a test may change."""
    shutil.copytree(finished, tmp_path / "toy")
    return dataclasses.replace(config, results=tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the methods that are trained from here on, which takes no time."""
    names: list[str] = []

    def fake(*_: Any, method: str, metrics: Any, **__: Any) -> Any:
        names.append(method)
        made = tiny_training.result()
        history = [
            {**line, "method": method, "seed": made.seeds.index(line["seed"])}
            for line in made.history
        ]
        for line in history:
            metrics.write(line)
        return dataclasses.replace(made, method=method, seeds=(0, 1), history=history)

    monkeypatch.setattr(training, "train", fake)
    return names


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_a_run_leaves_the_documented_files(finished: Path) -> None:
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "demonstrations.npz",
        "metrics.jsonl",
        "summary.json",
        "episode.gif",
        *(
            f"checkpoints/{method}.{kind}"
            for method in ("leed", "ippo")
            for kind in ("json", "safetensors")
        ),
    }
    with Image.open(finished / "episode.gif") as image:
        assert image.n_frames == line_world.HORIZON  # pyright: ignore[reportAttributeAccessIssue]


def test_the_summary_has_the_keys_that_other_programs_read(finished: Path) -> None:
    summary = read(finished, "summary.json")
    assert set(summary) == {
        "scenario",
        "device",
        "date",
        "command",
        "versions",
        "llm",
        "demonstrations",
        "threshold",
        "methods",
    }
    assert summary["scenario"] == {"name": "toy/line", "options": {"start": None}}
    assert set(summary["threshold"]) == {"metric", "value", "why"}
    llm = summary["llm"]
    assert set(llm) == {
        "source",
        "model",
        "calls",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "seconds",
    }
    assert (llm["source"], llm["model"], llm["calls"]) == ("replay", "scripted-1", 1)
    demonstrations = summary["demonstrations"]
    assert set(demonstrations) == {"episodes", "steps", "team_return_mean", "success"}
    assert demonstrations["episodes"] == 6
    assert set(demonstrations["success"]) == {"place_last", "place_mean", "place_sum"}
    assert set(summary["methods"]) == {"leed", "ippo"}


def test_the_summary_of_a_method_agrees_with_its_last_evaluations(finished: Path) -> None:
    lines = loggers.read_metrics(finished / "metrics.jsonl")
    for method, found in read(finished, "summary.json")["methods"].items():
        assert set(found) == METHOD_KEYS
        assert (found["seeds"], found["env_steps"], found["diverged"]) == (2, 160, {})
        last = [line["team_return"] for line in lines if line["method"] == method][-2:]
        assert set(found["team_return"]) == {"iqm", "low", "high"}
        assert found["team_return"]["iqm"] == pytest.approx(sum(last) / 2)
        assert set(found["success"]) == {"place_last", "place_mean", "place_sum"}
        assert all(set(value) == {"iqm", "low", "high"} for value in found["success"].values())
        assert found["steps_to_threshold"] == found["seconds_to_threshold"] == 0
        assert found["agent_steps_per_second"] == pytest.approx(2 * found["env_steps_per_second"])


def test_metrics_hold_every_method_in_order(finished: Path) -> None:
    lines = loggers.read_metrics(finished / "metrics.jsonl")
    # Evaluations after 0, 2, 4 and 5 updates, of two seeds.
    assert [line["method"] for line in lines] == ["leed"] * 8 + ["ippo"] * 8
    assert [line["updates"] for line in lines] == [0, 0, 2, 2, 4, 4, 5, 5] * 2


def test_the_configuration_can_be_read_back(config: RunConfig, finished: Path) -> None:
    described = read(finished, "config.json")
    about = {"config", "command", "versions", "device", "processor", "git_revision"}
    assert set(described) == about
    assert described["config"]["methods"] == ["leed", "ippo"]
    assert described["config"]["train"]["expert"] == dataclasses.asdict(config.train.expert)


def test_a_finished_run_is_not_trained_again(copied: RunConfig, trained: list[str]) -> None:
    before = (copied.results / "toy" / "metrics.jsonl").read_bytes()
    methods = read(copied.results / "toy", "summary.json")["methods"]
    folder = cli.run(copied)
    assert trained == []
    assert (folder / "metrics.jsonl").read_bytes() == before
    assert read(folder, "summary.json")["methods"] == methods


def test_an_unfinished_method_is_trained_anew_and_its_lines_are_replaced(
    copied: RunConfig, trained: list[str]
) -> None:
    folder = copied.results / "toy"
    (folder / "checkpoints" / "ippo.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"method": "ippo", "torn')
    cli.run(copied)
    assert trained == ["ippo"]
    lines = loggers.read_metrics(folder / "metrics.jsonl")
    assert [line["method"] for line in lines] == ["leed"] * 8 + ["ippo"] * 8
    assert (folder / "checkpoints" / "ippo.json").exists()


@pytest.mark.parametrize(
    ("field", "value"), [("seeds", 3), ("methods", ("leed",)), ("train", TrainConfig(gamma=0.5))]
)
def test_a_folder_with_another_configuration_is_refused_by_field(
    copied: RunConfig, trained: list[str], field: str, value: Any
) -> None:
    with pytest.raises(FileExistsError, match=f"another configuration: {field}.* there and .* now"):
        cli.run(dataclasses.replace(copied, **{field: value}))
    assert trained == []


def test_progress_and_place_may_differ_when_a_run_is_resumed(
    copied: RunConfig, trained: list[str]
) -> None:
    # The copy lies in another results folder already.
    cli.run(dataclasses.replace(copied, progress=True))
    assert trained == []


def test_a_resumed_run_asks_no_model_again(
    copied: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        pytest.fail("a model was asked for demonstrations that are on disk")

    monkeypatch.setattr(cli.plan_quality, "demonstrations", asked)
    cli.run(copied)
    assert trained == []


def test_a_model_that_gives_no_answer_leaves_no_folder(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise GenerationError("nothing was answered")

    monkeypatch.setattr(cli.plan_quality, "demonstrations", refuse)
    with pytest.raises(GenerationError):
        cli.run(dataclasses.replace(config, results=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_refused(copied: RunConfig, trained: list[str]) -> None:
    (copied.results / "mine").mkdir()
    (copied.results / "mine" / "thesis.txt").write_text("")
    with pytest.raises(FileExistsError, match="is no run"):
        cli.run(dataclasses.replace(copied, name="mine"))
    assert [file.name for file in (copied.results / "mine").iterdir()] == ["thesis.txt"]


# ------------------------------------------------- to be gone on with, and what stops a run


def unfinished(config: RunConfig) -> Path:
    """The copied run without the result of its second method."""
    folder = config.results / "toy"
    (folder / "checkpoints" / "ippo.json").unlink()
    return folder


@pytest.mark.parametrize("spelling", [["--resume", "{}"], ["--resume={}"], ["resume={}"]])
def test_resume_goes_on_with_the_run_of_a_folder_where_it_lies_now(
    copied: RunConfig, trained: list[str], spelling: list[str]
) -> None:
    moved = unfinished(copied).rename(copied.results / "moved")
    folder = cli.carry_out([part.format(moved) for part in spelling])
    assert folder == moved and trained == ["ippo"]
    assert read(folder, "summary.json")["command"] == read(folder, "config.json")["command"]


@pytest.mark.parametrize(
    "beside", [["--seeds", "2"], ["seeds=2"], ["--no-progress"], ["--resume", "x"], ["x"]]
)
def test_resume_takes_no_other_option(copied: RunConfig, beside: list[str]) -> None:
    with pytest.raises(ValueError, match="takes the folder of a run and nothing beside it"):
        cli.parse(["--resume", str(copied.results / "toy"), *beside])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"config": {"seeds": "many"}}'])
def test_a_folder_without_a_run_is_told_in_one_line(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(cli.EndedError, match=r"config\.json") as ended:
        cli.carry_out(["--resume", str(tmp_path)])
    assert ended.value.status == 1 and "\n" not in str(ended.value)


def test_training_gets_a_place_for_its_checkpoints_and_goes_on_from_there(
    copied: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fake, given = unfinished(copied), training.train, []

    def train(*arguments: Any, **options: Any) -> Any:
        place = options["checkpoint_dir"]
        given.append((place, options["resume"], options["keep"]))
        if place is not None:
            (place / "00000002").mkdir(parents=True)
        return fake(*arguments, **options)

    monkeypatch.setattr(training, "train", train)
    cli.run(dataclasses.replace(copied, checkpoints=2))
    assert not (folder / "checkpoints" / "ippo").exists()  # a finished method needs none
    (folder / "checkpoints" / "ippo.json").unlink()
    cli.run(dataclasses.replace(copied, checkpoints=0))
    assert given == [(folder / "checkpoints" / "ippo", True, 2), (None, False, 1)]


def test_loggers_get_the_lines_and_are_closed(
    copied: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    fake = training.train

    class Listener:
        def write(self, record: Any) -> None:
            events.append(record)

        def close(self) -> None:
            events.append("closed")

    def make(names: Any, folder: Path, config: Any) -> list[Any]:
        events.append((names, folder.name, config["seeds"], "generation" in config))
        return [Listener()]

    def train(*arguments: Any, loggers: Any, **options: Any) -> Any:
        for each in loggers:
            each.write("a line")
        return fake(*arguments, **options)

    unfinished(copied)
    monkeypatch.setattr(cli.logging_backends, "make", make)
    monkeypatch.setattr(training, "train", train)
    # The run was begun without: they say nothing about its numbers.
    cli.run(dataclasses.replace(copied, loggers=("tensorboard",)))
    assert trained == ["ippo"]
    assert events == [(("tensorboard",), "toy", 2, False), "a line", "closed"]


def test_what_is_typed_to_go_on_is_what_was_typed_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    for begun, wanted in (
        ("/usr/bin/leed", "leed run"),
        ("/home/x/experiments/run.py", "python -m experiments.run"),
    ):
        monkeypatch.setattr("sys.argv", [begun])
        assert run_folder.resume_command(Path("results/x")) == f"{wanted} --resume results/x"


def test_lines_of_a_method_with_checkpoints_are_left_to_its_training(copied: RunConfig) -> None:
    folder = unfinished(copied)
    (folder / "checkpoints" / "ippo" / "00000002").mkdir(parents=True)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"method": "bc", "updates": 0}\n{"method": "ippo", "torn')
    run_folder.drop_unfinished(folder)
    lines = loggers.read_metrics(folder / "metrics.jsonl")
    assert [line["method"] for line in lines] == ["leed"] * 8 + ["ippo"] * 8
    assert (folder / "metrics.jsonl").read_bytes().endswith(b"}\n")


def test_what_a_killed_process_left_is_removed(copied: RunConfig, trained: list[str]) -> None:
    folder = copied.results / "toy"
    (folder / "checkpoints" / "leed" / "00000005").mkdir(parents=True)
    left = [
        folder / "summary.json.0a1b2c3d.partial",
        folder / "checkpoints/x.json.00000000.partial",
    ]
    own = folder / "thesis.partial"
    for path in (*left, own):
        path.write_text("half of")
    cli.run(copied)
    assert not any(path.exists() for path in left) and own.exists()
    assert not (folder / "checkpoints" / "leed").exists()


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Interrupted("stopped after 64 steps", signal.SIGTERM), 143, "Interrupted"),
        (Interrupted("stopped after 64 steps", signal.SIGINT), 130, "Interrupted"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"), 1, "OSError"),
    ],
)
def test_a_run_that_is_stopped_says_how_to_go_on(
    copied: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    kind: str,
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    folder = unfinished(copied)
    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(cli.EndedError) as ended:
        cli.carry_out(["--resume", str(folder)])
    assert (ended.value.status, ended.value.kind) == (status, kind)
    assert str(ended.value).endswith(f"python -m experiments.run --resume {folder}")


def test_sigterm_outside_of_training_ends_a_run_too(
    copied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    (copied.results / "toy" / "demonstrations.npz").unlink()
    monkeypatch.setattr(cli.plan_quality, "demonstrations", ask)
    with pytest.raises(cli.EndedError, match="stopped by SIGTERM") as ended:
        cli.carry_out(["--resume", str(copied.results / "toy")])
    assert ended.value.status == 143 and signal.getsignal(signal.SIGTERM) == before


def test_a_place_that_cannot_be_written_is_told_before_a_model_is_asked(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        pytest.fail("a model was asked")

    monkeypatch.setattr(cli.plan_quality, "demonstrations", asked)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        cli.run(dataclasses.replace(config, results=tmp_path / "file"))

    def full(**options: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), options["dir"])

    monkeypatch.setattr(run_folder.tempfile, "TemporaryFile", full)
    monkeypatch.setattr(cli, "parse", lambda _: dataclasses.replace(config, results=tmp_path))
    monkeypatch.setattr(cli.compilation, "announce_cache", lambda _: None)
    with pytest.raises(cli.EndedError, match=r"No space left .*free some space") as ended:
        cli.carry_out([])
    assert "\n" not in str(ended.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_leaves_whole_files_and_a_run_to_go_on_with(
    copied: RunConfig, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unfinished(copied)
    (folder / "summary.json").unlink()
    (folder / "checkpoints" / "ippo.safetensors").unlink()
    before, room, sync = set(folder.rglob("*")), [0], os.fsync

    def write(number: int) -> None:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= 1
        sync(number)

    monkeypatch.setattr(os, "fsync", write)
    failures = 0
    while True:
        room[0] = failures
        try:
            cli.run(copied)
            break
        except OSError as error:
            assert error.errno == errno.ENOSPC and str(folder) in str(error.filename)
            failures += 1
        new = set(folder.rglob("*")) - before
        for path in [path for path in new if path.suffix == ".json"]:
            json.loads(path.read_text())
        assert not [path for path in new if path.suffix == ".partial"]
        assert failures < 20
    # summary of leed, parameters, card, summary of both, animation: one write after the other.
    assert failures >= 4 and (folder / "checkpoints" / "ippo.json").exists()
    assert len(loggers.read_metrics(folder / "metrics.jsonl")) == 16
