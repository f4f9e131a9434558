"""Demonstrations are checked where they enter, survive files and merging, and are drawn fairly."""

import dataclasses
import json
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import demonstration_files, demonstrations, weighting
from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.types import EnvSpec

pytestmark = pytest.mark.usefixtures("strict_promotion")
SPEC = EnvSpec("toy/line", ("ann", "bob"), (3, 2), (4, 4), 5)


def make(episodes: int = 3, steps: int = 5, seed: int = 0, **changes: Any) -> Demonstrations:
    """Random demonstrations; episode k has the length k + 2, bob's second step is not valid."""
    rng = np.random.default_rng(seed)
    valid = np.arange(steps)[None, :, None] < np.arange(episodes)[:, None, None] + 2
    valid = np.repeat(valid, 2, axis=2)
    valid[:, 1, 1] = False
    arrays = DemonstrationArrays(
        observation=rng.normal(size=(episodes, steps, 2, 3)).astype(np.float32),
        action=rng.integers(0, 4, (episodes, steps, 2)).astype(np.int32),
        action_mask=np.ones((episodes, steps, 2, 4), bool),
        reward=rng.normal(size=(episodes, steps, 2)).astype(np.float32),
        valid=valid,
        returns=rng.normal(size=(episodes, 2)).astype(np.float32),
    )
    measures = {"covered": 0.5}
    provenance = {"model": "someone", "seed": seed}
    return Demonstrations(arrays._replace(**changes), SPEC, measures, provenance)


def with_returns(returns: Any) -> Demonstrations:
    return make(len(returns), returns=np.array(returns, np.float32))


def assert_same(first: Demonstrations, second: Demonstrations) -> None:
    for name, values in first.arrays._asdict().items():
        np.testing.assert_array_equal(values, getattr(second.arrays, name), err_msg=name)
        assert values.dtype == getattr(second.arrays, name).dtype
    assert dataclasses.replace(first, arrays=second.arrays) == second


# ----------------------------------------------------------------------------------- files


def test_a_saved_file_loads_as_what_was_saved(tmp_path):
    demos = make()
    demos.save(tmp_path / "demos.npz")
    assert_same(demos, demonstrations.load(tmp_path / "demos.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["demos.npz"]


def rewrite(path: Any, **members: Any) -> None:
    """Replaces members of a saved file; None leaves them out."""
    with np.load(path) as found:
        values = dict(found)
    kept = {name: value for name, value in (values | members).items() if value is not None}
    np.savez_compressed(path, **kept)


def header(path: Any, **changes: Any) -> np.ndarray:
    """The header of a file with some entries changed."""
    with np.load(path) as found:
        values = json.loads(bytes(found["header"]))
    return np.frombuffer(json.dumps(values | changes).encode(), np.uint8)


def test_another_version_or_format_is_refused_and_named(tmp_path):
    path = tmp_path / "demos.npz"
    make().save(path)
    rewrite(path, header=header(path, version=2))
    with pytest.raises(ValueError, match="header: version 2, this package reads 1"):
        demonstrations.load(path)
    rewrite(path, header=header(path, format="of something else"))
    with pytest.raises(ValueError, match="header: not a file of demonstrations"):
        demonstrations.load(path)


def test_arrays_that_contradict_the_header_are_refused_and_named(tmp_path):
    path = tmp_path / "demos.npz"
    make().save(path)
    three = {"observation_sizes": (3, 2, 3), "action_sizes": (4, 4, 4)}
    spec = SPEC._replace(agents=("ann", "bob", "eve"), **three)._asdict()
    rewrite(path, header=header(path, spec=spec))
    with pytest.raises(ValueError, match=r"\[K, S, N, D\] = \[3, 5, 3, 3\] .* got \[3, 5, 2, 3\]"):
        demonstrations.load(path)


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "demos.npz"
    make().save(path)
    rewrite(path, reward=np.array([{"any": "thing"}], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        demonstrations.load(path)


@pytest.mark.parametrize(
    "members",
    [
        {"reward": None},
        {"header": None},
        {"header": np.frombuffer(b"[1]", np.uint8)},
        {"header": np.frombuffer(b"{", np.uint8)},
        {"header": np.frombuffer(b"\xff\xfe", np.uint8)},
        {"header": np.frombuffer(b'{"format": "leed_jax.demonstrations", "version": 1}', np.uint8)},
    ],
)
def test_a_file_with_missing_or_broken_members_is_refused(tmp_path, members):
    path = tmp_path / "demos.npz"
    make().save(path)
    rewrite(path, **members)
    with pytest.raises(ValueError, match=r"demos\.npz"):
        demonstrations.load(path)


def test_a_truncated_or_damaged_file_is_refused(tmp_path):
    path = tmp_path / "demos.npz"
    make().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"demos\.npz"):
            demonstrations.load(path)
    refused = 0
    for place in range(0, len(whole), 53):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # A few bytes (dates, attributes) mean nothing; nothing else may pass, or raise otherwise.
        try:
            assert_same(demonstrations.load(path), make())
        except ValueError:
            refused += 1
    assert refused > 20


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "demos.npz"
    make().save(path)
    monkeypatch.setattr(demonstration_files, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ValueError, match=r"unpacks to .* bytes, 1,000 are allowed"):
        demonstrations.load(path)


def test_a_missing_file_and_what_is_no_file_of_demonstrations(tmp_path):
    with pytest.raises(FileNotFoundError, match="no demonstrations at"):
        demonstrations.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("header", "hello")
    for name in ("text.npz", "other.npz", "."):
        with pytest.raises(ValueError):
            demonstrations.load(tmp_path / name)


def test_a_specification_without_a_share_of_decisions_is_read_and_another_share_is_no_other_world(
    tmp_path,
):
    path = tmp_path / "demos.npz"
    make().save(path)
    spec = SPEC._asdict()
    assert spec.pop("decision_share") == 1.0
    rewrite(path, header=header(path, spec=spec))
    found = demonstrations.load(path)
    assert found.spec == SPEC
    demonstrations.require_match(found, SPEC._replace(decision_share=0.3))


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "demos.npz"
    make().save(path)
    with pytest.raises(TypeError, match="JSON"):
        dataclasses.replace(make(), provenance={"model": object()}).save(path)
    assert_same(make(), demonstrations.load(path))
    assert [found.name for found in tmp_path.iterdir()] == ["demos.npz"]


# ---------------------------------------------------------------------------------- checks


def test_wrong_shapes_and_dtypes_are_refused_with_both_sizes():
    arrays = make().arrays
    with pytest.raises(ValueError, match=r"reward must be \[K, S, N\] = \[3, 5, 2\].*\[3, 5, 1\]"):
        make(reward=arrays.reward[:, :, :1])
    with pytest.raises(ValueError, match=r"valid must be .* of kind 'b'"):
        make(valid=np.asarray(arrays.valid).astype(int))
    with pytest.raises(ValueError, match=r"action must be \[K, S, N\], got shape \(3, 5\)"):
        make(action=arrays.action[:, :, 0])


def test_values_that_cannot_be_meant_are_refused():
    arrays = jax.tree.map(np.array, make().arrays)
    broken = arrays.observation.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="observation holds NaN"):
        make(observation=broken)
    with pytest.raises(ValueError, match=r"action must be in 0\.\.3"):
        make(action=arrays.action + 1)
    with pytest.raises(ValueError, match="valid marks no row"):
        make(valid=np.zeros_like(arrays.valid))
    mask = np.ones_like(arrays.action_mask)
    mask[0, 0, 0, arrays.action[0, 0, 0]] = False
    with pytest.raises(ValueError, match="action_mask forbids"):
        make(action_mask=mask)
    valid = arrays.valid.copy()
    valid[0, 0, 0] = False  # what is not learnt may be illegal
    make(action_mask=mask, valid=valid)


# ------------------------------------------------------------------------ filter and merge


def test_filter_keeps_the_best_and_the_good_enough():
    demos = with_returns([[1, 1], [5, -1], [0, 0], [3, 3]])  # team: 2, 4, 0, 6
    np.testing.assert_array_equal(demos.filter(min_team_return=2).team_returns, [2, 4, 6])
    np.testing.assert_array_equal(demos.filter(best=0.5).team_returns, [4, 6])
    np.testing.assert_array_equal(demos.filter(best=0.3).team_returns, [4, 6])  # ceil(1.2) = 2
    both = demos.filter(min_team_return=5, best=0.5)
    np.testing.assert_array_equal(both.arrays.observation, demos.arrays.observation[3:])
    assert demos.filter(best=1.0).num_episodes == 4
    # The means of all episodes would be wrong for those that are left.
    assert both.measures == {} and both.provenance == demos.provenance


def test_filter_refuses_to_leave_nothing():
    demos = with_returns([[1, 1], [2, 2]])
    with pytest.raises(ValueError, match=r"no episode is left.*the best has 4\.00"):
        demos.filter(min_team_return=5)
    for best in (0, 1.5):
        with pytest.raises(ValueError, match=r"best must be in \(0, 1\]"):
            demos.filter(best=best)


def test_merge_joins_episodes_and_averages_measures_by_their_number():
    first = dataclasses.replace(make(3), measures={"covered": 0.5, "only_here": 1})
    second = dataclasses.replace(make(1, seed=1), measures={"covered": 0.9})
    merged = demonstrations.merge([first, second])
    assert merged.num_episodes == 4
    np.testing.assert_array_equal(merged.arrays.action[3:], second.arrays.action)
    # (3 * 0.5 + 1 * 0.9) / 4 = 2.4 / 4 = 0.6
    assert merged.measures == {"covered": pytest.approx(0.6)}
    assert merged.provenance == {"merged": [first.provenance, second.provenance]}


def test_merge_of_different_environments_names_the_field():
    other = dataclasses.replace(make(), spec=SPEC._replace(name="toy/other"))
    with pytest.raises(ValueError, match="name is 'toy/other', the environment has 'toy/line'"):
        demonstrations.merge([make(), other])
    with pytest.raises(ValueError, match="at least one"):
        demonstrations.merge([])


# --------------------------------------------------------------------------- rows, weights


def test_rows_are_every_agents_own_valid_steps_and_those_who_have_fewer_repeat_them():
    demos = make()
    rows = demos.rows()
    # Episodes of 2, 3 and 4 steps: 9 for ann; 6 for bob, whose second step is out, in each.
    assert rows.action.shape == (2 + 3 + 4, 2) and demos.num_steps == 9
    flat = np.asarray(demos.arrays.observation).reshape(-1, 2, 3)  # 5 steps an episode
    ann, bob = [0, 1, 5, 6, 7, 10, 11, 12, 13], [0, 5, 7, 10, 12, 13]
    np.testing.assert_array_equal(rows.observation[:, 0], flat[ann, 0])
    np.testing.assert_array_equal(rows.observation[:, 1], flat[bob + bob[:3], 1])
    # Each of bob's 6 counts for 9/6 of a row, the first three in two halves.
    np.testing.assert_array_equal(rows.weight[:, 0], np.ones(9))
    np.testing.assert_array_equal(rows.weight[:, 1], [0.75] * 3 + [1.5] * 3 + [0.75] * 3)


def test_rows_of_agents_who_are_valid_in_the_same_steps_are_these_steps():
    demos = make()
    valid = np.repeat(np.asarray(demos.arrays.valid)[..., :1], 2, axis=2)
    together = dataclasses.replace(demos, arrays=demos.arrays._replace(valid=valid))
    for by in ("uniform", "return"):
        episodes = together.episodes(by)
        rows = together.rows(by)
        for found, values in zip(rows, episodes, strict=True):
            np.testing.assert_array_equal(found, values[valid.any(-1)])


def test_repeated_rows_leave_weighted_means_as_they_were():
    demos = make(8, 20)
    rows, episodes = demos.rows("return"), demos.episodes("return")
    for part in (rows, episodes):
        assert part.weight.dtype == np.float32
    first = np.asarray(rows.observation)[..., 0] * np.asarray(rows.weight)
    second = np.asarray(episodes.observation)[..., 0] * np.asarray(episodes.weight)
    counts = np.asarray(demos.arrays.valid).sum((0, 1))
    np.testing.assert_allclose(first.mean(0), second.sum((0, 1)) / counts, rtol=1e-5)


def test_weights_by_return_follow_the_formula():
    demos = with_returns([[0, 2], [2, 2]])
    # Ann: mean 1, deviation 1, best 2: exp(-2) = 0.1353 and exp(0) = 1. Bob: all alike, 1 and 1.
    weights = weighting.episode_weights(np.asarray(demos.arrays.returns), "return")
    np.testing.assert_allclose(weights, [[0.135335, 1], [1, 1]], rtol=1e-5)
    rows = demos.rows("return")
    # Ann has 2 rows of the first episode and 3 of the second; (2 * 0.135335 + 3) / 5 = 0.654134.
    low, high = 0.135335 / 0.654134, 1 / 0.654134
    np.testing.assert_allclose(rows.weight[:, 0], [low, low, high, high, high], rtol=1e-5)
    # Bob's 3 rows, the first two of them in halves.
    np.testing.assert_array_equal(
        rows.weight[:, 1], np.array([5 / 6, 5 / 6, 5 / 3, 5 / 6, 5 / 6], np.float32)
    )
    assert rows.weight.dtype == np.float32


@pytest.mark.parametrize("by", ["return", "advantage"])
def test_the_mean_weight_over_an_agents_valid_rows_is_one(by):
    weight = make(8, 20).rows(by).weight
    assert len(np.unique(weight)) > 2
    for agent in range(2):
        assert weight[weight[:, agent] > 0, agent].mean() == pytest.approx(1)


def test_an_agent_without_valid_rows_has_no_weight_and_no_nan():
    valid = np.array(make().arrays.valid)
    valid[:, :, 1] = False
    weight = make(valid=valid).rows("return").weight
    np.testing.assert_array_equal(weight[:, 1], 0)


def test_more_padding_changes_nothing_in_the_rows():
    demos = make()
    padded = DemonstrationArrays(
        *(
            np.pad(values, [(0, 0), (0, 4)] + [(0, 0)] * (np.ndim(values) - 2))
            if np.ndim(values) > 2
            else values
            for values in demos.arrays
        )
    )
    for by in ("uniform", "return", "advantage"):
        more = dataclasses.replace(demos, arrays=padded).rows(by)
        jax.tree.map(np.testing.assert_array_equal, demos.rows(by), more)


def test_uniform_batches_draw_every_row_alike():
    rows = make().rows()._replace(action=jnp.arange(18).reshape(9, 2))
    batch = demonstrations.sample(jax.random.key(0), rows, 9000)
    counts = np.bincount(np.asarray(batch.action)[:, 0] // 2, minlength=9)
    # 1000 expected each; the standard deviation is sqrt(9000 * 1/9 * 8/9) = 30.
    assert abs(counts - 1000).max() < 5 * 30
    np.testing.assert_array_equal(batch.weight, rows.weight[batch.action[:, 0] // 2])


def test_weighted_batches_draw_rows_by_their_mean_weight():
    weight = np.array([[0, 0], [2, 0], [1, 1], [3, 3], [0, 0], [1, 0]], np.float32)
    rows = demonstrations.Rows(
        observation=jnp.zeros((6, 2, 3)),
        action=jnp.repeat(jnp.arange(6), 2).reshape(6, 2),
        action_mask=jnp.ones((6, 2, 4), bool),
        weight=jnp.asarray(weight),
    )
    draw = jax.jit(lambda key: demonstrations.sample(key, rows, 11000, by_weight=True))
    batch = draw(jax.random.key(0))
    index = np.asarray(batch.action)[:, 0]
    # Mean weights 0, 1, 1, 3, 0, 0.5, together 5.5: of 11000 draws 0, 2000, 2000, 6000, 0, 1000;
    # the largest standard deviation is sqrt(11000 * 6/11 * 5/11) = 52.
    expected = np.array([0, 2000, 2000, 6000, 0, 1000])
    counts = np.bincount(index, minlength=6)
    assert abs(counts - expected).max() < 5 * 52
    assert counts[0] == counts[4] == 0
    np.testing.assert_array_equal(batch.weight, weight[index] > 0)


def test_print_tells_a_person_what_they_are():
    text = str(with_returns([[1, 1], [2, 2]]))
    for part in ("toy/line: 2 episodes, 2 agents", "mean 3.00, from 2.00 to 4.00", "by someone"):
        assert part in text
