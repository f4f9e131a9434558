"""Central critics: what each agent's sees, in every form that rows have, and that no other pays."""

from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import critics, methods, trainer
from leed_jax.optimization.minibatches import Data

CONFIG = TrainConfig(
    total_steps=3 * 2 * 16,
    num_envs=2,
    rollout_steps=16,
    num_epochs=1,
    num_minibatches=2,
    network=NetworkConfig(hidden_sizes=(8,)),
)
"""As many environments as agents: taking one for the other would fit."""


@pytest.fixture(scope="module")
def env():
    return line_world.array_env(start=None)


def test_a_critic_sees_the_state_then_its_agents_observation_then_its_number():
    # Environment e, agent i: observation 10 e + i; state of environment e: (100 + e, 200 + e).
    observation = jnp.array([[[0.0], [1.0]], [[10.0], [11.0]]])
    state = jnp.array([[100.0, 200.0], [101.0, 201.0]])
    wanted = [
        [[100, 200, 0, 1, 0], [100, 200, 1, 0, 1]],
        [[101, 201, 10, 1, 0], [101, 201, 11, 0, 1]],
    ]
    np.testing.assert_array_equal(critics.view(observation, state), wanted)
    # States of their own for agents whose rows are of different steps.
    own = jnp.stack([state, state + 1000], 1)
    by_agent = np.array(wanted)
    by_agent[:, 1, :2] += 1000
    np.testing.assert_array_equal(critics.view(observation, own), by_agent)
    assert critics.view(observation, None) is observation


@pytest.mark.parametrize(
    ("method", "kind", "share"),
    [
        pytest.param("mappo", "mlp", 1.0, marks=pytest.mark.slow),
        ("mappo_per_agent", "mlp", 0.5),
        ("mappo", "gru", 1.0),
    ],
)
def test_values_are_those_of_the_places_of_everyone(env, method, kind, share):
    env = env._replace(spec=env.spec._replace(decision_share=share))
    config = CONFIG.replace(network=NetworkConfig(kind=kind, hidden_sizes=(8,)))
    built = trainer.make_trainer(env, config, methods.METHODS[method])
    state = jax.jit(built.init)(jax.random.key(1))
    _, material, _ = jax.jit(built.collect)(state)
    # The world's state is where ann and bob are, and each sees her or his own place alone.
    seen = material.observation[..., 0]
    rows = seen.shape
    if share == 1.0:
        everyone = np.broadcast_to(np.asarray(seen)[..., None, :], (*rows, 2))
    else:
        # Every step is a decision, of which there is room for half: both agents' are the same.
        everyone = np.asarray(material.global_state)
        np.testing.assert_array_equal(everyone[..., 0, 0], seen[..., 0])
        np.testing.assert_array_equal(everyone[..., 1, 1], seen[..., 1])
    number = np.broadcast_to(np.eye(2), (*rows, 2))
    wanted = np.concatenate([everyone, np.asarray(seen)[..., None], number], -1)
    sets = 1 if method == "mappo" else 2
    critic = critics.make(config.network, env, sets=sets, central=True)
    assert jax.tree.leaves(state.params["critic"])[0].shape[0] == sets
    params, carry = state.params["critic"], critic.carry(rows[1])
    judge: Any = jax.jit(lambda seen: critic.apply(params, carry, seen, material.start)[0][..., 0])
    values = judge(jnp.asarray(wanted))
    np.testing.assert_allclose(material.batch.value, values, rtol=1e-5, atol=1e-6)
    # Whoever is elsewhere changes the other's value.
    wanted[..., 0, 1] += 1.0
    others = judge(jnp.asarray(wanted))
    assert (others[..., 0] != values[..., 0]).all()
    np.testing.assert_array_equal(others[..., 1], values[..., 1])
    # And a gradient step can be made of it.
    learn: Any = jax.jit(built.learn)
    new, metrics = learn(state, Data(None, None), material)
    assert all(np.isfinite(values).all() for values in metrics.values())
    before, after = (
        jax.tree.leaves(jax.device_get(p["critic"])) for p in (state.params, new.params)
    )
    assert max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) > 1e-4


def test_no_other_method_carries_the_global_state(env):
    built = trainer.make_trainer(env, CONFIG, methods.METHODS["ippo"])
    state = jax.eval_shape(built.init, jax.random.key(0))
    _, material, _ = jax.eval_shape(built.collect, state)
    assert material.global_state is None
    inputs = {leaf.shape[-2] for leaf in jax.tree.leaves(state.params["critic"]) if leaf.ndim == 3}
    assert inputs == {1, 8}


def test_actor_and_critic_are_two_networks_where_the_critic_is_central():
    config = CONFIG.replace(network=NetworkConfig(common_trunk=True))
    with pytest.raises(ValueError, match=r"network\.common_trunk must be false: .* mappo sees"):
        methods.resolve("mappo", config)
