"""Trained teams come back from files as they were, and nothing else is taken for one."""

import dataclasses
import json
import math
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
import tiny_training

from leed_jax import checkpoint, teams
from leed_jax.optimization import results
from leed_jax.optimization.results import Diverged, TrainResult

DIVERGED = Diverged(3, "metric expert")


@pytest.fixture(scope="module")
def result() -> TrainResult:
    return dataclasses.replace(tiny_training.result(), diverged={5: DIVERGED})


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
    assert back.spec == result.spec and back.seeds == (3, 5) and back.diverged == {5: DIVERGED}


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
        ({"config": {"network": {"hidden_sizes": [4]}}}, r"config\.expert is missing"),
        ({"config": {}}, r"config\.network is missing"),
        ({"spec": {"name": "x"}}, r"spec\.agents"),
        ({"seeds": [3]}, "diverged.'5' must be one of the seeds"),
        ({"seeds": [3, 3]}, "seeds must be different whole numbers"),
        ({"env_steps": -1}, "env_steps must be a count"),
        ({"history": []}, "history must be an evaluation or more"),
        ({"parameters_sha256": "0" * 64}, "check sum is not the card's"),
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


def test_a_card_for_another_network_is_refused_by_the_first_tensor(saved: Path) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    card["config"]["network"]["hidden_sizes"] = [9]
    saved.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"actor/params/encoder/kernel is \[2, 2, 1, 8\]; by the"):
        checkpoint.load_result(saved)


def test_parameters_of_another_team_are_noticed(
    result: TrainResult, saved: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    doubled = {k: jax.tree.map(lambda leaf: 2 * leaf, v) for k, v in result.params.items()}
    checkpoint.save_result(dataclasses.replace(result, params=doubled), other)
    other.with_suffix(".safetensors").rename(saved.with_suffix(".safetensors"))
    with pytest.raises(ValueError, match="damaged, or of another team"):
        checkpoint.load_result(saved)


def test_a_card_without_a_check_sum_is_one_of_an_older_version(saved: Path) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    del card["parameters_sha256"], card["leed_jax"]
    card["diverged"] = {"5": 3}
    saved.with_suffix(".json").write_text(json.dumps(card))
    assert checkpoint.load_result(saved).diverged[5].update == 3


def test_a_card_that_holds_a_name_twice_is_refused(saved: Path) -> None:
    card = saved.with_suffix(".json")
    card.write_text(card.read_text().replace("{", '{"version": 1, ', 1))
    with pytest.raises(ValueError, match="'version' is there twice"):
        checkpoint.load_result(saved)


def test_a_card_that_would_take_much_room_is_not_read(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teams, "MAX_LISTS", 5)
    with pytest.raises(ValueError, match=r"more than 4,000,000 values, or 5 lists"):
        checkpoint.load_result(saved)
    monkeypatch.setattr(teams, "MAX_CARD_BYTES", 100)
    with pytest.raises(ValueError, match=r"bytes, 100 are allowed"):
        checkpoint.load_result(saved)


def test_a_team_of_another_environment_is_refused_by_field_with_what_to_do(saved: Path) -> None:
    env = tiny_training.scenario().env
    another = env._replace(spec=env.spec._replace(agents=("ann", "eve")))
    with pytest.raises(ValueError, match=r"agents is .*'bob'.*'eve'.*make the scenario that it is"):
        results.evaluate(another, checkpoint.load_result(saved))


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
