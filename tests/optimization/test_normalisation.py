"""Moments of observations among the parameters, and rewards in units of their deviation."""

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import checkpoint, load_policy
from leed_jax.config import NetworkConfig
from leed_jax.optimization import methods, minibatches, networks, normalisation, rollout, trainer
from leed_jax.optimization.normalisation import Moments
from leed_jax.optimization.results import TrainResult

CONFIG = tiny_training.CONFIG.replace(
    rollout_steps=10, normalize_observations=True, scale_rewards=True
)


def test_moments_of_samples_taken_one_after_the_other_are_those_of_all():
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, [[0.1], [5.0]], (40, 2, 1)).astype(np.float32)
    counted = rng.random((40, 2)) < 0.7
    known = normalisation.begin(2, 1)
    joined = jax.jit(normalisation.joined)
    for part in np.split(np.arange(40), [3, 4, 25]):
        one = jax.jit(normalisation.moments, static_argnums=2)(values[part], counted[part], 2)
        known = joined(known, one)
    for agent in range(2):
        mine = values[counted[:, agent], agent, 0].astype(np.float64)
        assert known.count[agent] == len(mine)
        assert known.mean[agent, 0] == pytest.approx(mine.mean(), rel=1e-5)
        assert known.variance[agent, 0] == pytest.approx(mine.var(), rel=1e-4)


def test_agents_that_share_parameters_share_moments():
    values, counted = jnp.array([[[1.0], [3.0]]]), jnp.ones((1, 2), bool)
    found = normalisation.moments(values, counted, 1)
    np.testing.assert_allclose([found.count[0], found.mean[0, 0], found.variance[0, 0]], [2, 2, 1])


def test_a_sample_of_nothing_changes_nothing():
    known = Moments(jnp.array([2.0]), jnp.array([[3.0]]), jnp.array([[4.0]]))
    nothing = normalisation.moments(jnp.full((5, 1, 1), 9.0), jnp.zeros((5, 1), bool), 1)
    jax.tree.map(np.testing.assert_array_equal, normalisation.joined(known, nothing), known)


def test_a_network_sees_normalised_observations_and_gives_moments_no_gradient():
    spec = line_world.array_env().spec
    network = networks.make_actor(NetworkConfig(hidden_sizes=(8,)), spec)
    plain = {"actor": jax.jit(network.init)(jax.random.key(0))}
    params = normalisation.attach(plain, ("actor",), 2, 1)["actor"]
    seen = jnp.array([[[[4.0], [50.0]]]])
    start = jnp.zeros((1, 1), bool)

    @jax.jit
    def outputs(params, observation):
        return network.apply(params, network.carry(1), observation, start)[0]

    known = {"count": jnp.ones(2), "mean": jnp.array([[2.0], [1.0]])}
    known["variance"] = jnp.array([[4.0], [0.0]])
    params = {"params": params["params"] | {normalisation.LAYER: known}}
    # (4 - 2) / 2 = 1; a feature that never varied stops at 10.
    wanted = outputs(plain["actor"], jnp.array([[[[1.0], [10.0]]]]))
    np.testing.assert_allclose(outputs(params, seen), wanted, rtol=1e-5, atol=1e-7)
    gradient = jax.jit(jax.grad(lambda params: outputs(params, seen).sum()))(params)
    for leaf in jax.tree.leaves(gradient["params"][normalisation.LAYER]):
        np.testing.assert_array_equal(leaf, 0.0)


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    known = Moments(jnp.array([5.0]), jnp.array([[-7.0]]), jnp.array([[4.0]]))
    np.testing.assert_allclose(normalisation.reward_factor(known, 2), [0.5, 0.5])
    np.testing.assert_array_equal(normalisation.reward_factor(normalisation.begin(1, 1), 2), 1.0)


@pytest.fixture(scope="module")
def updates():
    """Before and after an update, and the rollout that it learnt from."""
    env = tiny_training.scenario().env
    method = methods.resolve("leed", CONFIG)
    built = trainer.make_trainer(env, CONFIG, method)
    data = minibatches.data(tiny_training.demos(), CONFIG)
    state = jax.jit(built.init)(jax.random.key(0))
    collected, material, _ = jax.jit(built.collect)(state)
    learnt, _ = jax.jit(built.learn)(collected, data, material)
    again, second, _ = jax.jit(built.collect)(learnt)
    return state, collected, material, learnt, again, second


def test_moments_of_observations_are_of_valid_rows_and_frozen_within_an_update(updates):
    state, collected, material, learnt, *_ = updates
    jax.tree.map(np.testing.assert_array_equal, collected.params, state.params)
    valid = np.asarray(material.batch.valid)[0, :, 0]
    assert not valid.all()  # last observations of episodes are not counted
    for network in ("actor", "critic"):
        known = learnt.params[network]["params"][normalisation.LAYER]
        for agent in range(2):
            mine = np.asarray(material.observation)[0, valid, agent, 0]
            assert known["count"][agent] == valid.sum()
            assert known["mean"][agent, 0] == pytest.approx(mine.mean(), rel=1e-5)
            assert known["variance"][agent, 0] == pytest.approx(mine.var(), rel=1e-4)


def test_moments_of_returns_follow_the_episodes(updates):
    state, collected, *_, again, _ = updates
    # The rollout again, its sums of rewards worked out step by step.
    env = tiny_training.scenario().env
    actor = networks.make_actor(CONFIG.network, env.spec)
    _, rollout_key, _ = jax.random.split(state.key, 3)
    plain = state.situation._replace(discounted=())
    _, rows, _ = jax.jit(
        lambda params, situation, key: rollout.collect(env, actor, params, situation, key, steps=10)
    )(state.params["actor"], plain, rollout_key)
    sums, found = np.zeros((4, 2)), []
    for reward, valid, start in zip(
        *map(np.asarray, (rows.reward, rows.valid, rows.start)), strict=True
    ):
        sums = np.where(start[:, None], 0.0, CONFIG.gamma * sums) + reward
        found.append(sums[valid])
    found = np.concatenate(found)
    np.testing.assert_array_equal(collected.rewards.count, len(found))
    np.testing.assert_allclose(collected.rewards.mean[:, 0], found.mean(0), rtol=1e-5)
    np.testing.assert_allclose(collected.rewards.variance[:, 0], found.var(0), rtol=1e-4)
    assert (again.rewards.count > collected.rewards.count).all()


def test_a_normalised_team_survives_its_file_in_jax_and_in_numpy(updates, tmp_path):
    *_, learnt, _, _ = updates
    params = jax.tree.map(lambda leaf: np.asarray(leaf)[None], learnt.params)
    spec = tiny_training.scenario().env.spec
    line = {"seed": 0, "env_steps": 40, "updates": 1, "seconds": 1.0, "team_return": 5.0}
    result = TrainResult(
        method="leed",
        config=CONFIG,
        spec=spec,
        seeds=(0,),
        params=params,
        history=[line | {"agent_return": [2.0, 3.0], "success": {}}],
        env_steps=40,
        train_seconds=1.0,
        compile_seconds=1.0,
        peak_memory_mb=1.0,
        diverged={},
    )
    checkpoint.save_result(result, tmp_path / "team")
    loaded = checkpoint.load_result(tmp_path / "team")
    jax.tree.map(np.testing.assert_array_equal, loaded.params, params)
    actor = networks.make_actor(CONFIG.network, spec)
    seen = np.array([[2.0], [7.0]], np.float32)
    first = jnp.zeros((1, 1), bool)
    wanted, _ = jax.jit(actor.apply)(
        learnt.params["actor"], actor.carry(1), jnp.array(seen)[None, None], first
    )
    outputs, _ = load_policy(tmp_path / "team").outputs(seen)
    np.testing.assert_allclose(outputs, wanted[0, 0], atol=1e-5)
