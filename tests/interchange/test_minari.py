"""Demonstrations in Minari's files come back as they were, and others' data sets are understood."""

import json
import sys
from typing import Any

import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax.demonstrations import Demonstrations
from leed_jax.interchange import demonstrations_from_arrays, load_minari, save_minari
from leed_jax.types import EnvSpec

minari = pytest.importorskip("minari", reason="the extra data is not installed")

MIXED = line_world.array_env()._replace(
    spec=EnvSpec("toy/mixed", ("ann", "bob"), (12, 12), (3, 2), 5, observation_shape=(2, 2, 3))
)
SOLO = EnvSpec("toy/solo", ("ann",), (2,), (3,), 5)


def mixed(continuous: bool = False) -> tuple[Demonstrations, Any]:
    """Grids, agents of different sizes, masks, rewards whose sums are rounded, ragged episodes."""
    draw = np.random.default_rng(0)
    env = MIXED._replace(spec=MIXED.spec._replace(continuous=continuous))
    shapes = [(k, s) for k, s in enumerate((5, 3, 4))]
    actions = [{"ann": draw.integers(0, 3, s), "bob": draw.integers(0, 2, s)} for _, s in shapes]
    if continuous:
        actions = [
            {"ann": draw.uniform(-1, 1, (s, 3)), "bob": draw.uniform(-1, 1, (s, 2))}
            for _, s in shapes
        ]
    masks = [{"ann": draw.random((s, 3)) < 0.5, "bob": np.ones((s, 2), bool)} for _, s in shapes]
    for mask, action in zip(masks, actions, strict=True):
        if not continuous:
            mask["ann"][np.arange(len(action["ann"])), action["ann"]] = True
        else:
            mask["ann"][:] = True
    demos = demonstrations_from_arrays(
        env,
        [draw.normal(size=(s, 2, 2, 2, 3)) for _, s in shapes],
        actions,
        [draw.normal(size=(s, 2)) for _, s in shapes],
        valid=[draw.random((s, 2)) < 0.8 for _, s in shapes],
        action_mask=masks,
        measures={"apples": 2.5},
        provenance={"source": "a human", "plans": {"any_episode": ["nested", 1]}},
    )
    return demos, env


@pytest.mark.parametrize("continuous", [False, True])
def test_a_round_trip_is_exact(tmp_path, continuous):
    demos, env = mixed(continuous)
    save_minari(demos, tmp_path, "toys/mixed-v3")
    found = load_minari(env, tmp_path, "toys/mixed-v3")
    for name, values in demos.arrays._asdict().items():
        again = getattr(found.arrays, name)
        assert again.dtype == values.dtype
        np.testing.assert_array_equal(again, values, err_msg=name)
    assert found.spec == demos.spec
    assert (found.measures, found.provenance) == (demos.measures, demos.provenance)
    assert [path.name for path in (tmp_path / "toys" / "mixed-v3").iterdir()] == ["data"]


def test_executed_plans_come_back_with_all_that_is_learnt_from(tmp_path):
    demos = tiny_training.demos()
    save_minari(demos, tmp_path, "line-v0")
    found = load_minari(tiny_training.scenario(), tmp_path, "line-v0")
    for one, other in ((demos.rows(), found.rows()), (demos.episodes(), found.episodes())):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found.arrays.returns, demos.arrays.returns)


def test_minari_itself_finds_it_and_reads_what_the_page_promises(tmp_path, monkeypatch):
    demos, _ = mixed()
    save_minari(demos, tmp_path, "mixed-v0", author="Ann")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert list(minari.list_local_datasets()) == ["mixed-v0"]
    dataset = minari.load_dataset("mixed-v0")
    assert (dataset.total_episodes, dataset.total_steps) == (3, 5 + 3 + 4)
    episode = dataset[1]
    assert episode.observations["ann"].shape == (3 + 1, 2, 2, 3)
    np.testing.assert_array_equal(episode.observations["ann"][2], episode.observations["ann"][3])
    assert all(
        dataset.observation_space.contains(
            {agent: values[t] for agent, values in episode.observations.items()}
        )
        for t in range(4)
    )
    assert dataset.action_space["bob"].n == 2
    np.testing.assert_array_equal(episode.terminations, [0, 0, 1])  # before the horizon of 5
    np.testing.assert_array_equal(dataset[0].truncations, [0, 0, 0, 0, 1])
    assert not episode.truncations.any() and not dataset[0].terminations.any()
    np.testing.assert_array_equal(episode.rewards, demos.arrays.reward[1, :3].sum(-1))
    np.testing.assert_array_equal(
        episode.infos["agent_reward"]["bob"], [0, *demos.arrays.reward[1, :3, 1]]
    )


def foreign(tmp_path, monkeypatch, action_space, actions, rewards, observations, space):
    """A data set that Minari's own function writes."""
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    steps = len(rewards)
    buffer = EpisodeBuffer(
        observations=observations,
        actions=actions,
        rewards=rewards,
        terminations=[False] * steps,
        truncations=[False] * (steps - 1) + [True],
    )
    with pytest.warns(UserWarning):  # of an author, an e-mail address and so on
        minari.create_dataset_from_buffers(
            "theirs-v0", [buffer], action_space=action_space, observation_space=space
        )


def test_a_single_agent_s_data_set_of_others_is_understood(tmp_path, monkeypatch):
    from gymnasium import spaces

    seen = np.arange(8, dtype=np.float64).reshape(4, 2)
    box = spaces.Box(-10, 10, (2,))
    foreign(tmp_path, monkeypatch, spaces.Discrete(3, start=1), [1, 3, 2], [0.5, 1, 2], seen, box)
    env = line_world.array_env()._replace(spec=SOLO)
    found = load_minari(env, tmp_path, "theirs-v0").arrays
    np.testing.assert_array_equal(found.action[0, :, 0], [0, 2, 1, 0, 0])
    np.testing.assert_array_equal(found.observation[0, :3, 0], seen[:3])
    np.testing.assert_array_equal(found.valid[0, :, 0], [1, 1, 1, 0, 0])
    assert found.returns[0, 0] == 3.5


def test_others_continuous_actions_are_scaled_and_their_reward_shared(tmp_path, monkeypatch):
    from gymnasium import spaces

    box = spaces.Box(-np.inf, np.inf, (1,))
    room = spaces.Dict({"bob": box, "ann": box})
    torque = spaces.Box(np.float32(0), np.float32(4), (2,))
    acts = spaces.Dict({"bob": torque, "ann": torque})
    rows = np.array([[0, 4], [1, 2]], np.float32)
    seen = np.ones((3, 1), np.float32)
    both = {"ann": rows, "bob": rows[::-1].copy()}
    observed = {"ann": seen, "bob": 2 * seen}
    foreign(tmp_path, monkeypatch, acts, both, [3, 5], observed, room)
    spec = EnvSpec("toy/two", ("ann", "bob"), (1, 1), (2, 2), 4, continuous=True)
    env = line_world.array_env()._replace(spec=spec)
    found = load_minari(env, tmp_path, "theirs-v0").arrays
    np.testing.assert_array_equal(found.action[0, :2, 0], [[-1, 1], [-0.5, 0]])
    np.testing.assert_array_equal(found.action[0, :2, 1], [[-0.5, 0], [-1, 1]])
    np.testing.assert_array_equal(found.reward[0, :2], [[1.5, 1.5], [2.5, 2.5]])
    np.testing.assert_array_equal(found.observation[0, 1], [[1], [2]])
    short = env._replace(spec=spec._replace(horizon=1))
    with pytest.raises(ValueError, match="has 2 steps; an episode of toy/two has at most 1"):
        load_minari(short, tmp_path, "theirs-v0")
    other = env._replace(spec=spec._replace(agents=("ann", "eve")))
    with pytest.raises(ValueError, match=r"observations must be by agents \['ann', 'eve'\]"):
        load_minari(other, tmp_path, "theirs-v0")
    discrete = env._replace(spec=spec._replace(continuous=False))
    with pytest.raises(ValueError, match=r"actions of ann are Box.*environment's are discrete"):
        load_minari(discrete, tmp_path, "theirs-v0")


def test_rewards_that_were_changed_since_give_other_returns(tmp_path):
    import h5py

    demos, env = mixed()
    folder = save_minari(demos, tmp_path, "mixed-v0")
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        rewards: Any = file["episode_0/infos/agent_reward/ann"]
        rewards[1] += 8
    found = load_minari(env, tmp_path, "mixed-v0").arrays.returns
    np.testing.assert_allclose(found - demos.arrays.returns, [[8, 0], [0, 0], [0, 0]], atol=1e-5)


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    demos, env = mixed()
    folder = save_minari(demos, tmp_path, "mixed-v0")
    with pytest.raises(FileExistsError, match="there is a dataset at"):
        save_minari(demos, tmp_path, "mixed-v0")
    with pytest.raises(FileNotFoundError, match="no Minari dataset at"):
        load_minari(env, tmp_path, "mixed-v1")
    for name in ("mixed", "../mixed-v0", "/mixed-v0", "mixed-vx"):
        with pytest.raises(ValueError, match="dataset_id must be"):
            load_minari(env, tmp_path, name)
    longer = env._replace(spec=env.spec._replace(horizon=6))
    with pytest.raises(ValueError, match="horizon is 5, the environment has 6"):
        load_minari(longer, tmp_path, "mixed-v0")
    slash = demos.spec._replace(agents=("a/b", "bob"))
    with pytest.raises(ValueError, match=r"agents \['a/b'\]: HDF5 has no such names"):
        save_minari(Demonstrations(demos.arrays, slash), tmp_path, "slash-v0")
    # Without its spaces Minari would make the environment that a file names.
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata["action_space"]
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="its metadata have no action_space"):
        load_minari(env, tmp_path, "mixed-v0")


def test_without_minari_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ImportError, match=r"pip install 'leed_jax\[data\]'"):
        save_minari(mixed()[0], tmp_path, "mixed-v0")
