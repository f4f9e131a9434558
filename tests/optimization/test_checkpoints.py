"""A run that was stopped and resumed is the run that never stopped, bit for bit."""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_training
from resuming import compiled_once, require_equal, train, without_seconds
from tiny_training import CONFIG

from leed_jax import loggers
from leed_jax.config import NetworkConfig
from leed_jax.optimization import (
    checkpoints,
    leaves,
    loop,
    memory,
    programs,
    runs,
    sweeps,
    trainer,
)

POISONED = CONFIG.replace(anneal_learning_rate=False)


class Killed(Exception):
    """Stands for the death of a process."""


@contextlib.contextmanager
def killed_after(chunks: int) -> Iterator[None]:
    """Training dies after so many chunks whose checkpoints were written, in front of the next."""
    save, done = loop.Loop._save, []

    def dying(self: Any, *arguments: Any, **options: Any) -> None:
        if len(done) == chunks:
            raise Killed
        save(self, *arguments, **options)
        done.append(arguments[2])

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop.Loop, "_save", dying)
        yield


@pytest.mark.parametrize("method", ["leed", pytest.param("bc", marks=pytest.mark.slow)])
def test_a_run_that_died_and_is_resumed_equals_one_that_did_not(
    method: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole.jsonl"
    with loggers.MetricsWriter(whole) as metrics:
        wanted = train(method, metrics=metrics)
    place, path = tmp_path / "checkpoints", tmp_path / "metrics.jsonl"
    for chunks in (0, 1, 1):  # it dies three times: nothing saved, then one more chunk each time
        with killed_after(chunks), loggers.MetricsWriter(path) as metrics:
            train(method, metrics=metrics, checkpoint_dir=place, resume=True)
    with loggers.MetricsWriter(path) as metrics:
        found = train(method, metrics=metrics, checkpoint_dir=place, resume=True)
    require_equal(found, wanted)
    mine, theirs = loggers.read_metrics(path), loggers.read_metrics(whole)
    assert without_seconds(mine) == without_seconds(theirs)
    again = train(method, checkpoint_dir=place, resume=True)
    require_equal(again, wanted)
    assert again.train_seconds == found.train_seconds and again.history == found.history


def test_a_seed_that_diverged_is_told_with_update_and_cause_also_after_a_resume(
    tmp_path: Path,
) -> None:
    def no_loss(now: Any, state: Any, metrics: Any) -> Any:
        return state, {**metrics, "value": jnp.where(now, jnp.nan, metrics["value"])}

    poisoned = tiny_training.poisoned
    # Chunks are updates 1-2, 3-4 and 5: one seed diverges in the middle of a chunk.
    make = poisoned(trainer.make_trainer, 5, last=3, poison=tiny_training.infinite_critic)
    make = poisoned(make, 3, last=5, poison=no_loss)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "make_trainer", make)
        wanted = train("ippo", POISONED)
        assert wanted.diverged == {5: (3, "parameters of the critic"), 3: (5, "metric value")}
        chex.assert_tree_all_finite(wanted.params)
        with killed_after(2):
            train("ippo", POISONED, checkpoint_dir=tmp_path / "all")
        require_equal(train("ippo", POISONED, checkpoint_dir=tmp_path / "all", resume=True), wanted)


@pytest.mark.slow
def test_a_recurrent_run_that_died_and_is_resumed_equals_one_that_did_not(tmp_path: Path) -> None:
    config = CONFIG.replace(network=NetworkConfig(kind="gru", hidden_sizes=(8,)))
    with killed_after(1):
        train("leed", config, checkpoint_dir=tmp_path / "all")
    found = train("leed", config, checkpoint_dir=tmp_path / "all", resume=True)
    require_equal(found, train("leed", config))


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_a_method_of_two_stages_is_resumed_in_either(tmp_path: Path, chunks: int) -> None:
    # A single update of cloning, then three chunks of PPO.
    path = tmp_path / "metrics.jsonl"
    with killed_after(chunks), loggers.MetricsWriter(path) as metrics:
        train("bc_ppo", metrics=metrics, checkpoint_dir=tmp_path / "all")
    with loggers.MetricsWriter(path) as metrics:
        found = train("bc_ppo", metrics=metrics, checkpoint_dir=tmp_path / "all", resume=True)
    require_equal(found, train("bc_ppo"))
    assert without_seconds(loggers.read_metrics(path)) == without_seconds(found.history)


# ------------------------------------------------------------------------------ several calls


def sweep(room: int, **options: Any) -> Any:
    """Three learning rates of behavioural cloning, of which so many fit into memory."""

    def fit(compile_for: Any, members: int, limit: Any, **rest: Any) -> Any:
        return compile_for(2)[0], memory.Plan(members, min(room, members), None, None)

    with pytest.MonkeyPatch.context() as patch, compiled_once("bc"):
        patch.setattr(memory, "fit", fit)
        rates = (0.003, 0.002, 0.001)
        options = {"method": "bc", "learning_rates": rates, "seeds": (3,), **options}
        return sweeps.sweep(tiny_training.scenario(), tiny_training.demos(), CONFIG, **options)


def test_finished_calls_of_a_sweep_are_not_repeated(tmp_path: Path) -> None:
    with loggers.MetricsWriter(tmp_path / "whole.jsonl") as metrics:
        wanted = sweep(room=2, metrics=metrics)
    assert wanted.plan.calls == 2
    place, path = tmp_path / "checkpoints", tmp_path / "metrics.jsonl"
    # Three chunks of the first call, and one of the second.
    with killed_after(4), loggers.MetricsWriter(path) as metrics:
        sweep(room=2, metrics=metrics, checkpoint_dir=place)
    advanced = []
    run = loop.Loop.run

    def spied(self: Any, *arguments: Any) -> Any:
        advanced.append((arguments[-1], [member.learning_rate for member in self.members]))
        return run(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, loggers.MetricsWriter(path) as metrics:
        patch.setattr(loop.Loop, "run", spied)
        found = sweep(room=2, metrics=metrics, checkpoint_dir=place, resume=True)
    assert advanced == [(2, [0.001])]
    for mine, theirs in zip(found, wanted, strict=True):
        require_equal(mine, theirs)
    mine, theirs = loggers.read_metrics(path), loggers.read_metrics(tmp_path / "whole.jsonl")
    assert without_seconds(mine) == without_seconds(theirs)
    # As many teams side by side as before, or not at all: other numbers would come out.
    shutil.rmtree(place / "call-2")
    with pytest.raises(ValueError, match="trains 2 teams side by side, of which 1 fit"):
        sweep(room=1, checkpoint_dir=place, resume=True)


# ------------------------------------------------------------------------------ which are kept


def store(folder: Path, keep: int = 2, described: Any = None) -> checkpoints.Store:
    settings = runs.Checkpointing(folder, keep=keep)
    return checkpoints.Store(folder, settings, described or {"method": "leed"})


TREE = {"key": jax.random.key(3), "flags": jnp.array([True, False]), "empty": jnp.zeros((2, 0))}


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        for updates, score in ((1, -5.0), (2, -1.0), (3, float("nan")), (4, -3.0), (5, -2.0)):
            kept.save(updates, TREE, {}, score)
        kept.wait()
        assert kept.steps() == [2, 4, 5]
    # Who resumes knows the scores of what is there.
    with store(tmp_path) as kept:
        kept.newest(leaves.forms(TREE))
        kept.save(6, TREE, {}, -4.0)
    assert kept.steps() == [2, 5, 6]


def test_a_pytree_comes_back_as_it_was_with_its_books(tmp_path: Path) -> None:
    books = {"history": [{"team_return": float("nan")}], "seconds": 0.1}
    with store(tmp_path) as kept:
        kept.save(7, TREE, books, 0.0)
    found = store(tmp_path).newest(leaves.forms(TREE))
    assert found is not None and found.updates == 7
    assert json.dumps(found.books) == json.dumps(books)
    back = leaves.placed(found.arrays, jax.eval_shape(lambda: TREE), None)
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    for mine, theirs in zip(jax.tree.leaves(back), jax.tree.leaves(TREE), strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        assert (mine == theirs).all()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "card", "missing"])
def test_of_a_damaged_checkpoint_the_one_before_it_is_taken(tmp_path: Path, damage: str) -> None:
    tree = {"weights": jnp.arange(2000.0) % 7}
    with store(tmp_path, keep=3) as kept:
        for updates in (1, 2):
            kept.save(updates, tree, {"updates": updates}, 0.0)
    last = tmp_path / "00000002"
    files = [path for path in (last / "state").rglob("*") if path.is_file() and "/d/" in str(path)]
    if damage == "missing":
        shutil.rmtree(last / "state")
    elif damage == "card":
        card = next((last / "card").glob("metadata"))
        card.write_text(card.read_text().replace('"updates": 2', '"updates": 3'))
    for path in files if damage in ("truncated", "flipped") else []:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    leftover = tmp_path / "00000003.orbax-checkpoint-tmp-1"
    leftover.mkdir()
    with pytest.warns(UserWarning, match="00000002 is damaged"):
        found = store(tmp_path).newest(leaves.forms(tree))
    assert found is not None and found.updates == 1 and found.books == {"updates": 1}
    assert not leftover.exists()
    shutil.rmtree(tmp_path / "00000001" / "state")
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match=r"all checkpoints in .* damaged"),
    ):
        store(tmp_path).newest(leaves.forms(tree))


def test_a_checkpoint_that_cannot_be_written_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    kept = store(place)
    kept.save(1, TREE, {}, 0.0)
    with pytest.raises(OSError, match="00000001 could not be written: "):
        kept.wait()


# ------------------------------------------------------------------------------ other runs


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints of two updates of behavioural cloning."""
    place = tmp_path_factory.mktemp("run") / "checkpoints"
    with killed_after(1):
        train("bc", checkpoint_dir=place)
    return place


def other_demos() -> Any:
    demos = tiny_training.demos()
    action = np.array(demos.arrays.action)
    action[0, 0] = 0
    return dataclasses.replace(demos, arrays=demos.arrays._replace(action=action))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "ippo"}, 'method is "bc" there and "ippo" now'),
        ({"seeds": (3, 6)}, r"seeds is \[3, 5\] there and \[3, 6\] now"),
        ({"config": CONFIG.replace(total_steps=192)}, "config.total_steps is 160 there and 192"),
        (
            {"config": CONFIG.replace(network=NetworkConfig(hidden_sizes=(9,)))},
            r"config.network.hidden_sizes is \[8\] there and \[9\] now",
        ),
        ({"demos": other_demos()}, 'demonstrations is "[0-9a-f]{64}" there and'),
        ({"resume": False}, "holds checkpoints of a run; resume=True goes on"),
    ],
)
def test_checkpoints_of_another_run_are_refused_before_anything_is_compiled(
    begun: Path, options: Any, said: str
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises((ValueError, OSError), match=said):
        patch.setattr(programs, "compiled", None)
        train(**{"method": "bc", "checkpoint_dir": begun, "resume": True, **options})


def test_another_scenario_format_or_package_is_told_apart(begun: Path, tmp_path: Path) -> None:
    place = tmp_path / "checkpoints"
    shutil.copytree(begun, place)
    content = json.loads((place / "run.json").read_text())
    settings = runs.Checkpointing(place, resume=True)

    def opened(change: Any) -> Any:
        changed = json.loads(json.dumps(content))
        change(changed)
        (place / "run.json").write_text(json.dumps(changed))
        return runs.opened(settings, content["run"])

    agents = {"environment": {**content["run"]["environment"], "agents": ["ann"]}}
    with pytest.raises(ValueError, match=r'environment.agents is \["ann"\] there and \["ann", "bo'):
        opened(lambda it: it["run"].update(agents))
    with pytest.raises(ValueError, match="version is 2, this package reads 1"):
        opened(lambda it: it.update(version=2))
    with pytest.raises(ValueError, match="not a file of checkpoints"):
        opened(lambda it: it.update(format="other"))
    with pytest.warns(UserWarning, match=r"was written with jax 0.1.0 \(now "):
        opened(lambda it: it["versions"].update(jax="0.1.0"))
    # A setting that came later had its default.
    assert opened(lambda it: it["run"]["config"].pop("gamma")) is not None
    with pytest.raises(ValueError, match=r"config.total_steps is 500000 there"):
        opened(lambda it: it["run"]["config"].pop("total_steps"))


def test_a_folder_with_other_files_and_arguments_that_cannot_be_meant_are_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "thesis.tex").write_text("do not delete")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="none of this package's checkpoints"):
            train("bc", checkpoint_dir=tmp_path, resume=resume)
    with pytest.raises(ValueError, match="resume=True needs checkpoint_dir"):
        train("bc", resume=True)
    for name in ("keep", "checkpoint_every"):
        wrong: Any = {name: 0}
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            train("bc", checkpoint_dir=tmp_path / "new", **wrong)
