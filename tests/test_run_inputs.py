"""Runs that begin with files: demonstrations instead of a model, teams to go on from."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tiny_training

from experiments import rerun, suite_cells
from leed_jax import checkpoint, cli, demonstrations, run_folder, scenarios
from leed_jax.cli import RunConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.generation import GenerationConfig
from leed_jax.interchange import read_demonstrations
from leed_jax.optimization import training

FIELDS = {"observations": "observation", "actions": "action", "rewards": "reward"}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What training is called with from here on; no model may be asked, and nothing is trained."""
    calls: list[dict[str, Any]] = []

    def fake(scenario: Any, demos: Any, config: Any, *, method: str, **options: Any) -> Any:
        del scenario, config
        calls.append({"method": method, "demos": demos, **options})
        made = tiny_training.result()
        history = [
            {**line, "method": method, "seed": made.seeds.index(line["seed"])}
            for line in made.history
        ]
        for line in history:
            options["metrics"].write(line)
        return dataclasses.replace(made, method=method, seeds=(0, 1), history=history)

    def asked(*_: Any, **__: Any) -> None:
        pytest.fail("a model was asked")

    toy = tiny_training.scenario()
    monkeypatch.setattr(scenarios, "make", lambda name, **options: toy)
    monkeypatch.setattr(training, "train", fake)
    monkeypatch.setattr(cli.plan_quality, "demonstrations", asked)
    return calls


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A run on the demonstrations in ``tmp_path/own.npz``."""
    tiny_training.demos().save(tmp_path / "own.npz")
    return RunConfig(
        scenario="toy/line",
        methods=("leed",),
        seeds=2,
        demonstrations=tmp_path / "own.npz",
        results=tmp_path / "results",
        name="toy",
        render=False,
        progress=False,
        train=tiny_training.CONFIG,
    )


def other_demos() -> Demonstrations:
    """Not those of the fixtures."""
    return tiny_training.demos().filter(best=0.5)


def said(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


# ------------------------------------------------------------------------- demonstrations


def test_a_run_learns_from_the_file_and_asks_no_model(config: RunConfig, given: list[Any]) -> None:
    folder = cli.run(config)
    demos = tiny_training.demos()
    assert [call["demos"].content_hash for call in given] == [demos.content_hash]
    assert given[0]["expert"] is not None and given[0]["initial"] is None  # they hold one plan
    described = said(folder, "config.json")["config"]
    assert described["demonstrations"] == str(config.demonstrations)
    assert described["demonstrations_sha256"] == demos.content_hash
    summary = said(folder, "summary.json")
    assert summary["llm"] is None and summary["demonstrations"]["episodes"] == 6
    assert demonstrations.load(folder / "demonstrations.npz").content_hash == demos.content_hash


def test_it_goes_on_with_its_own_copy(config: RunConfig, given: list[Any]) -> None:
    folder = cli.run(config)
    (folder / "checkpoints" / "leed.json").unlink()
    assert config.demonstrations is not None
    moved = config.demonstrations.rename(config.results / "moved.npz")
    assert cli.run(run_folder.read_config(folder)) == folder
    assert cli.run(dataclasses.replace(config, demonstrations=moved)) == folder
    hashes = [call["demos"].content_hash for call in given]
    assert hashes == [tiny_training.demos().content_hash] * 2  # the third call had nothing to do


def test_other_demonstrations_are_not_gone_on_with(config: RunConfig, given: list[Any]) -> None:
    folder = cli.run(config)
    assert config.demonstrations is not None
    other_demos().save(config.demonstrations)
    with pytest.raises(FileExistsError, match=r"configuration: demonstrations_sha256 is '.* now"):
        cli.run(config)
    (folder / "demonstrations.npz").unlink()
    for changed in (folder / "demonstrations.npz", None):
        if changed is not None:
            other_demos().save(changed)
        with pytest.raises(ValueError, match=r"demonstrations: \S+npz has the SHA-256 .* run is"):
            cli.run(run_folder.read_config(folder))
        (folder / "demonstrations.npz").unlink(missing_ok=True)
    assert len(given) == 1


def test_demonstrations_of_another_environment_leave_no_folder(
    config: RunConfig, given: list[Any]
) -> None:
    demos = tiny_training.demos()
    assert config.demonstrations is not None
    wrong = {"name": "toy/other", "agents": ("ann", "eve")}
    for field, value in wrong.items():
        spec = demos.spec._replace(**{field: value})
        dataclasses.replace(demos, spec=spec).save(config.demonstrations)
        with pytest.raises(ValueError, match=f"^demonstrations: {field} is .*make the scenario"):
            cli.run(config)
    config.demonstrations.unlink()
    with pytest.raises(FileNotFoundError, match=r"no demonstrations at \S+own\.npz"):
        cli.run(config)
    assert not config.results.exists() and given == []


def test_a_rerun_learns_from_the_same_ones_or_not_at_all(
    config: RunConfig, given: list[Any], tmp_path: Path
) -> None:
    settings = {"methods": ["leed"], "seeds": 2, "demonstrations": str(config.demonstrations)}
    cell = suite_cells.Cell("mine", "toy/line", "leed", {"scenario": "toy/line", **settings})
    published = suite_cells.run(cell, tmp_path / "work", tmp_path / "published")
    found = rerun.rerun(published, tmp_path / "again")
    assert found.good and found.compared == 8 * 4  # evaluations, numbers of each
    assert given[0]["demos"].content_hash == given[1]["demos"].content_hash
    assert config.demonstrations is not None
    other_demos().save(config.demonstrations)
    with pytest.raises(ValueError, match="has the SHA-256"):
        rerun.rerun(published, tmp_path / "third")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "openai/x"),
        ("quality", "first"),
        ("num_demonstrations", 8),
        ("generation", GenerationConfig(max_rounds=1)),
    ],
)
def test_how_a_model_is_asked_does_not_go_with_a_file(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} says how a model is asked .* own.npz: leave"):
        RunConfig(demonstrations=Path("own.npz"), **{name: value})


@pytest.mark.parametrize("name", ["demonstrations", "initial"])
def test_a_check_sum_needs_its_file(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}_sha256 needs {name}"):
        dataclasses.replace(RunConfig(), **{f"{name}_sha256": "0" * 64})


# --------------------------------------------------------------- the forms of a file


def test_a_run_folder_and_plain_arrays_are_read_alike(tmp_path: Path) -> None:
    env, demos = tiny_training.scenario().env, tiny_training.demos()
    demos.save(tmp_path / "run" / "demonstrations.npz")
    assert read_demonstrations(env, tmp_path / "run").content_hash == demos.content_hash
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(demos.arrays, own)) for name, own in FIELDS.items()
    }
    for name in ("valid", "action_mask"):
        arrays[name] = np.asarray(getattr(demos.arrays, name))
    np.savez(tmp_path / "plain.npz", **arrays)
    found = read_demonstrations(env, tmp_path / "plain.npz")
    for name, values in demos.arrays._asdict().items():
        assert (np.asarray(getattr(found.arrays, name)) == np.asarray(values)).all(), name
    assert found.provenance == {"source": "arrays"}
    short: dict[str, Any] = {name: arrays[name][:, :3] for name in FIELDS}
    np.savez(tmp_path / "short.npz", **short)
    assert read_demonstrations(env, tmp_path / "short.npz").arrays.valid.sum() == 6 * 3 * 2


def test_a_minari_dataset_is_read(tmp_path: Path) -> None:
    interchange = pytest.importorskip("leed_jax.interchange")
    pytest.importorskip("minari", reason="the extra data is not installed")
    env, demos = tiny_training.scenario().env, tiny_training.demos()
    folder = interchange.save_minari(demos, tmp_path, "toys/line-v0").parent
    assert read_demonstrations(env, folder).content_hash == demos.content_hash


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"observations": np.zeros((1, 2, 2, 1))}, r"neither .*no header.* it has 'observations'"),
        ({"observations": np.zeros((1, 2, 2, 1)), "actions": np.zeros((1, 2, 2), int),
          "extra": np.zeros(1)}, "'extra'"),
        ({"observations": np.zeros((1, 2, 2, 1)), "actions": np.int64(1)},
         "actions: episode 0: must be an array"),
        ({"observations": np.zeros((1, 2, 2, 1)), "actions": np.full((1, 2, 2), 3)},
         "actions: episode 0, step 0, ann: must be in 0..2, got 3"),
        ({"observations": np.zeros((1, 2, 2, 9)), "actions": np.zeros((1, 2, 2), int)},
         r"observations: episode 0: must be \[S, 2, 1\]"),
        ({"observations": np.array([None]), "actions": np.zeros((1, 2, 2), int)}, "numbers only"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_named(arrays: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plain.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message) as refused:
        read_demonstrations(tiny_training.scenario().env, path)
    assert str(path) in str(refused.value)


def test_what_is_no_file_of_demonstrations_is_told(tmp_path: Path) -> None:
    env = tiny_training.scenario().env
    with pytest.raises(ValueError, match=r"neither the folder of a run .* nor a Minari"):
        read_demonstrations(env, tmp_path)
    (tmp_path / "text.npz").write_text("demonstrations")
    with pytest.raises(ValueError, match="not a zip file"):
        read_demonstrations(env, tmp_path / "text.npz")
    with pytest.raises(FileNotFoundError, match="no demonstrations at"):
        read_demonstrations(env, tmp_path / "nothing.npz")


# ------------------------------------------------------------------------- teams


@pytest.fixture
def going_on(config: RunConfig, tmp_path: Path) -> RunConfig:
    checkpoint.save_result(tiny_training.result(), tmp_path / "team")
    return dataclasses.replace(config, initial=tmp_path / "team", methods=("leed", "ippo"))


def test_every_method_goes_on_from_the_team(going_on: RunConfig, given: list[Any]) -> None:
    folder = cli.run(going_on)
    assert [call["method"] for call in given] == ["leed", "ippo"]
    for call in given:
        same = jax.tree.map(
            lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()),
            call["initial"].params,
            tiny_training.result().params,
        )
        assert jax.tree.all(same)
    assert len(said(folder, "config.json")["config"]["initial_sha256"]) == 64
    # The run has its own copy to go on with, wherever the team is then.
    (folder / "checkpoints" / "ippo.json").unlink()
    for suffix in (".json", ".safetensors"):
        going_on.results.parent.joinpath(f"team{suffix}").unlink()
    cli.run(run_folder.read_config(folder))
    assert len(given) == 3 and given[2]["initial"] is not None


def test_another_team_is_not_gone_on_from(going_on: RunConfig, given: list[Any]) -> None:
    folder = cli.run(going_on)
    changed = dataclasses.replace(
        tiny_training.result(), params=jax.tree.map(lambda x: x + 1, tiny_training.result().params)
    )
    checkpoint.save_result(changed, folder / "initial")
    with pytest.raises(ValueError, match=r"initial: \S+initial has the SHA-256"):
        cli.run(run_folder.read_config(folder))
    shutil.rmtree(folder)
    pinned = dataclasses.replace(going_on, initial_sha256="0" * 64)
    with pytest.raises(ValueError, match=r"initial: \S+team has the SHA-256 .* with 0000"):
        cli.run(pinned)
    assert len(given) == 2


def test_a_team_of_another_environment_leaves_no_folder(
    going_on: RunConfig, given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = tiny_training.scenario()
    spec = toy.env.spec._replace(agents=("ann", "eve"))
    other = toy._replace(env=toy.env._replace(spec=spec))
    demos = dataclasses.replace(tiny_training.demos(), spec=spec)
    assert going_on.demonstrations is not None
    demos.save(going_on.demonstrations)
    monkeypatch.setattr(scenarios, "make", lambda name, **options: other)
    with pytest.raises(ValueError, match=r"^initial: agents is"):
        cli.run(going_on)
    with pytest.raises(FileNotFoundError, match="no file"):
        cli.run(dataclasses.replace(going_on, initial=Path("nowhere")))
    assert not going_on.results.exists() and given == []


def test_without_a_plan_in_the_file_there_is_no_expert(
    config: RunConfig, given: list[Any], tmp_path: Path
) -> None:
    demos = dataclasses.replace(tiny_training.demos(), provenance={"source": "a person"})
    demos.save(tmp_path / "own.npz")
    cli.run(config)
    assert given[0]["expert"] is None
