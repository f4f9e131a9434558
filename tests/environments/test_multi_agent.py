"""An array environment as a JaxMARL environment: dictionaries, spaces, resets, and back again."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
from line_world import AGENTS, HORIZON, LEFT, RIGHT, STAY

from leed_jax import scenarios
from leed_jax.environments import jaxmarl
from leed_jax.types import ArrayEnv

KEY = jax.random.key(0)


def line(**options: Any) -> ArrayEnv:
    """The line with true sizes that differ: bob sees nothing but padding behind his place."""
    env = line_world.array_env(**options)
    spec = env.spec._replace(observation_sizes=(2, 1), action_sizes=(3, 2))

    def padded(found: Any) -> Any:
        state, step = found
        observation = jnp.pad(step.observation, ((0, 0), (0, 1)))
        mask = step.action_mask & jnp.array([[True] * 3, [True, True, False]])
        return state, step._replace(observation=observation, action_mask=mask)

    return env._replace(
        spec=spec,
        reset=lambda key: padded(env.reset(key)),
        step=lambda key, state, action: padded(env.step(key, state, action)),
    )


def actions(ann: int, bob: int) -> dict[str, Any]:
    return {"ann": jnp.array(ann), "bob": jnp.array(bob)}


def test_names_and_spaces_have_the_true_sizes():
    env = jaxmarl.as_multi_agent_env(line())
    assert (env.name, env.agents, env.num_agents) == ("toy/line", list(AGENTS), 2)
    assert [env.observation_space(agent).shape for agent in AGENTS] == [(2,), (1,)]
    assert [env.action_space(agent).n for agent in AGENTS] == [3, 2]


def test_dictionaries_hold_each_agents_own_values():
    env = jaxmarl.as_multi_agent_env(line(start=(0, 5), end=4))
    seen, state = env.reset(KEY)
    assert {agent: row.tolist() for agent, row in seen.items()} == {"ann": [0, 0], "bob": [5]}
    legal = env.get_avail_actions(state)
    # Ann cannot go left of 0; bob's third action is padding.
    assert legal["ann"].tolist() == [True, False, True] and legal["bob"].tolist() == [True, True]
    seen, state, reward, done, info = env.step_env(KEY, state, actions(RIGHT, LEFT))
    assert {agent: row.tolist() for agent, row in seen.items()} == {"ann": [1, 0], "bob": [4]}
    assert {agent: float(value) for agent, value in reward.items()} == {"ann": 1.0, "bob": 4.0}
    # Bob's return ends at 4 and more.
    assert {name: bool(value) for name, value in done.items()} == {
        "ann": False, "bob": True, "__all__": False,
    }  # fmt: skip
    assert info["decision"].shape == info["truncated"].shape == (2,)
    assert not info["truncated"].any()


def test_everyone_is_done_at_the_time_limit_and_a_step_resets():
    env = jaxmarl.as_multi_agent_env(line(start=(0, 5)))
    first, state = env.reset(KEY)
    for clock in range(1, HORIZON + 1):
        before = state
        seen, state, reward, done, info = env.step(KEY, state, actions(RIGHT, STAY))
        assert all(bool(value) is (clock == HORIZON) for value in done.values())
        assert float(reward["ann"]) == clock
    assert info["truncated"].all()
    np.testing.assert_array_equal(seen["ann"], first["ann"])  # of the new episode
    assert int(state.env.clock) == 0
    # A reset to a given state instead, as JaxMARL offers it.
    seen, state, *_ = env.step(KEY, before, actions(RIGHT, STAY), before)
    assert int(state.env.clock) == HORIZON - 1 and float(seen["ann"][0]) == HORIZON - 1


@pytest.mark.parametrize(
    "env",
    [line(start=None, end=7), scenarios.make("road/ow", horizon=30).env],
    ids=["line", "road"],
)
def test_there_and_back_again_is_the_same_environment(env):
    there = jaxmarl.as_multi_agent_env(env)
    back = jaxmarl.as_array_env(
        there,
        name=env.spec.name,
        horizon=env.spec.horizon,
        terminated=lambda state: state.time_step.terminated,
        action_mask=there.get_avail_actions,
    )
    back.spec.require(env.spec, "there and back")

    def episode(world: ArrayEnv, key: Any) -> Any:
        def body(state: Any, key: Any) -> Any:
            state, step = world.step(key, *state)
            return (state, choose(step, key)), step

        def choose(step: Any, key: Any) -> Any:
            return jax.random.categorical(key, jnp.where(step.action_mask, 0.0, -jnp.inf))

        state, step = world.reset(key)
        keys = jax.random.split(key, world.spec.horizon)
        return step, jax.lax.scan(body, (state, choose(step, key)), keys)[1]

    keys = jax.random.split(KEY, 3)
    ours, theirs = (
        jax.jit(jax.vmap(functools.partial(episode, world)))(keys) for world in (env, back)
    )
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("observation", "reward", "terminated", "truncated", "action_mask"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name), err_msg=name)
    assert np.asarray(ours[1].terminated | ours[1].truncated[..., None]).any()


@pytest.mark.slow
def test_jaxmarls_own_log_counts_the_returns():
    env = jaxmarl.as_multi_agent_env(line(start=(0, 5)))
    from jaxmarl.wrappers.baselines import LogWrapper

    logged = LogWrapper(env)
    keys = jax.random.split(KEY, 4)
    _, state = jax.vmap(logged.reset)(keys)
    chosen = {agent: jnp.full(4, RIGHT if agent == "ann" else STAY) for agent in AGENTS}
    for _ in range(HORIZON):
        _, state, _, _, info = jax.vmap(logged.step)(keys, state, chosen)
    # Ann was paid 1 + 2 + ... + 8, bob 8 times 5.
    np.testing.assert_array_equal(info["returned_episode_returns"], [[36.0, 40.0]] * 4)
    np.testing.assert_array_equal(info["returned_episode_lengths"], np.full((4, 2), 8.0))
