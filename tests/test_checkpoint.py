"""Trained teams come back from files as they were, and nothing else is taken for one."""

import dataclasses
import json
import math
from pathlib import Path

import chex
import numpy as np
import pytest
import tiny_training

from leed_jax import checkpoint
from leed_jax.optimization import results
from leed_jax.optimization.results import TrainResult


@pytest.fixture(scope="module")
def result() -> TrainResult:
    return dataclasses.replace(tiny_training.result(), diverged={5: 3})


@pytest.fixture
def saved(result: TrainResult, tmp_path: Path) -> Path:
    path = tmp_path / "teams" / "leed"
    checkpoint.save_result(result, path)
    return path


def change(path: Path, **fields: object) -> None:
    """Puts other values into the card."""
    card = path.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **fields}))


def test_a_result_comes_back_bit_for_bit(result: TrainResult, saved: Path) -> None:
    assert sorted(file.name for file in saved.parent.iterdir()) == ["leed.json", "leed.safetensors"]
    back = checkpoint.load_result(saved)
    chex.assert_trees_all_equal(back.params, result.params)
    chex.assert_trees_all_equal_dtypes(back.params, result.params)
    for field in dataclasses.fields(result):
        if field.name != "params":
            assert getattr(back, field.name) == getattr(result, field.name), field.name
    assert isinstance(back.config.network.hidden_sizes, tuple)
    assert back.spec == result.spec and back.seeds == (3, 5) and back.diverged == {5: 3}


def test_a_team_with_shared_parameters_comes_back_and_plays_as_before(tmp_path: Path) -> None:
    shared = tiny_training.shared_result()
    checkpoint.save_result(shared, tmp_path / "shared")
    back = checkpoint.load_result(tmp_path / "shared")
    assert back.method == "ippo_shared"
    chex.assert_trees_all_equal(back.params, shared.params)
    one, two = (
        results.evaluate(tiny_training.scenario(), each, num_episodes=4) for each in (shared, back)
    )
    np.testing.assert_array_equal(one.agent_return, two.agent_return)


def test_a_return_that_is_not_a_number_comes_back_as_such(
    result: TrainResult, tmp_path: Path
) -> None:
    first, last = result.history[-2:]
    history = [first, {**last, "team_return": math.nan, "loss": {"policy": math.inf}}]
    checkpoint.save_result(dataclasses.replace(result, history=history), tmp_path / "leed")
    back = checkpoint.load_result(tmp_path / "leed")
    np.testing.assert_array_equal(back.final(), [first["team_return"], math.nan])
    assert math.isnan(back.history[-1]["loss"]["policy"])
    assert back.best_seed == 0


def test_a_result_that_was_loaded_can_be_saved_and_loaded_again(
    saved: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    checkpoint.save_result(checkpoint.load_result(saved), again)
    for suffix in (".json", ".safetensors"):
        assert again.with_suffix(suffix).read_bytes() == saved.with_suffix(suffix).read_bytes()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "another"}, "format 'another'"),
        ({"config": {"network": {"hidden_sizes": [4]}}}, "expert"),
        ({"config": {}}, "network"),
        ({"spec": {"name": "x"}}, "agents"),
        ({"diverged": {"five": 3}}, "five"),
    ],
)
def test_a_card_of_another_kind_is_refused_by_what_is_wrong(
    saved: Path, fields: dict[str, object], message: str
) -> None:
    change(saved, **fields)
    with pytest.raises(ValueError, match=f"holds no trained team: .*{message}"):
        checkpoint.load_result(saved)


@pytest.mark.parametrize("field", ["method", "seeds", "history", "env_steps", "config", "spec"])
def test_a_missing_field_is_named(saved: Path, field: str) -> None:
    card = saved.with_suffix(".json")
    kept = json.loads(card.read_text())
    del kept[field]
    card.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=field):
        checkpoint.load_result(saved)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_truncated_file_is_refused(saved: Path, suffix: str) -> None:
    file = saved.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="holds no trained team"):
        checkpoint.load_result(saved)


@pytest.mark.parametrize("content", ["[]", "7", "null"])
def test_a_card_that_is_no_object_is_refused(saved: Path, content: str) -> None:
    saved.with_suffix(".json").write_text(content)
    with pytest.raises(ValueError, match="holds no trained team"):
        checkpoint.load_result(saved)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_missed(saved: Path, suffix: str) -> None:
    saved.with_suffix(suffix).unlink()
    with pytest.raises(FileNotFoundError, match="leed"):
        checkpoint.load_result(saved)
