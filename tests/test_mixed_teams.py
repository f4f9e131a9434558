"""Learned and scripted agents in one team: each follows its own, learners see their own rows."""

import dataclasses

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import episodes, execution
from leed_jax.episodes import random_policy
from leed_jax.interchange import demonstrations_from_policy
from leed_jax.mixed_teams import demonstrations_of, evaluate_policy, mixed_team, with_scripted
from leed_jax.optimization.results import evaluate
from leed_jax.optimization.training import train
from leed_jax.types import EnvSpec, Policy

KEYS = jax.random.split(jax.random.key(5), 4)


def left(observation):
    return jnp.full(observation.shape[0], line_world.LEFT)


def places(env, policy):
    played = episodes.run(env, policy, KEYS, record=lambda state, *_: state)
    state = played.record.env if hasattr(played.record, "env") else played.record
    return np.asarray(state.place), played


def test_every_agent_follows_its_own_member():
    # From 0 and 5: ann walks to the right by her plan, bob to the left by a function.
    scenario = line_world.scenario()
    team = mixed_team(scenario, {"ann": line_world.all_right(), "bob": left})
    path, _ = places(scenario.env, team)
    np.testing.assert_array_equal(path[0, :, 0], np.arange(8))
    np.testing.assert_array_equal(path[0, :, 1], [5, 4, 3, 2, 1, 0, 0, 0])


def test_a_team_of_one_member_is_that_member():
    scenario, plan = line_world.scenario(), line_world.plan(line_world.go(2), line_world.do("left"))
    alone = execution.as_policy(execution.make_expert(scenario, plan))
    path, _ = places(scenario.env, mixed_team(scenario, {"ann": plan, "bob": plan}))
    np.testing.assert_array_equal(path, places(scenario.env, alone)[0])


def test_an_evaluation_of_a_policy_is_that_of_its_team():
    result, scenario = tiny_training.result(), tiny_training.scenario()
    wanted = evaluate(scenario, result, num_episodes=6)
    found = evaluate_policy(scenario, result.policy(1), num_episodes=6, name="mine")
    np.testing.assert_allclose(found.agent_return[0], wanted.agent_return[1], rtol=1e-6)
    assert found.success.keys() == wanted.success.keys()
    assert "mine, 6 greedy episodes" in str(found)


def test_scripted_agents_play_as_in_the_whole_team():
    scenario = tiny_training.scenario()
    env = with_scripted(scenario, line_world.all_right(), ["bob"])
    assert env.spec.agents == ("ann",) and env.spec.action_sizes == (3,)
    team = mixed_team(scenario, {"ann": left, "bob": line_world.all_right()})
    path, whole = places(scenario.env, team)
    own, played = places(env, execution_free(left))
    np.testing.assert_array_equal(own, path)
    np.testing.assert_array_equal(played.rewards[..., 0], whole.rewards[..., 0])
    for name, values in whole.measures.items():
        np.testing.assert_array_equal(played.measures[name], values)


def execution_free(script):
    """A function as a policy, without the module under test."""
    return Policy(
        lambda state, step: (),
        lambda m, state, step, key: (m, step.legal(script(step.observation))),
    )


def test_learners_train_beside_scripted_agents_and_play_in_the_whole_team():
    scenario = tiny_training.scenario()
    env = with_scripted(scenario, line_world.all_right(), ["bob"])
    demos = demonstrations_of(tiny_training.demos(), env)
    whole = tiny_training.demos().arrays
    np.testing.assert_array_equal(demos.arrays.action, whole.action[:, :, :1])
    np.testing.assert_array_equal(demos.arrays.returns, whole.returns[:, :1])
    config = dataclasses.replace(tiny_training.CONFIG, total_steps=2 * 32)
    result = train(env, demos, config)
    assert np.isfinite(result.final()).all()
    team = mixed_team(scenario, {"ann": result, "bob": line_world.all_right()})
    path, _ = places(scenario.env, team)
    np.testing.assert_array_equal(path, places(env, result.policy())[0])


def test_sizes_are_the_learners_own():
    # ann has 2 numbers and 2 actions, bob has 3 and 4.
    base = line_world.array_env()
    spec = EnvSpec("toy/sizes", ("ann", "bob"), (2, 3), (2, 4), 8)

    def widen(step):
        mask = jnp.arange(4) < jnp.array([[2], [4]])
        seen = jnp.tile(step.observation, (1, 3)).at[0, 2].set(0)
        return step._replace(observation=seen, action_mask=mask)

    def reset(key):
        state, now = base.reset(key)
        return state, widen(now)

    def step(key, state, action):
        state, now = base.step(key, state, jnp.minimum(action, 2))
        return state, widen(now)

    env = base._replace(reset=reset, step=step, spec=spec)
    seen = []

    def script(observation):
        seen.append(observation.shape)
        return jnp.array([1, 2])

    mixed = with_scripted(env, script, ["bob"])
    assert (mixed.spec.observation_size, mixed.spec.num_actions) == (2, 2)
    demos = demonstrations_from_policy(mixed, lambda o: jnp.zeros(1, jnp.int32), num_episodes=2)
    assert demos.arrays.observation.shape == (2, 8, 1, 2)
    assert demos.arrays.action_mask.shape == (2, 8, 1, 2)
    np.testing.assert_array_equal(demos.arrays.observation[0, :, 0, 0], [0] * 8)  # ann stays
    assert set(seen) == {(2, 3)}
    path, _ = places(mixed, random_policy())
    np.testing.assert_array_equal(path[0, :, 1], [5, 6, 7, 8, 9, 10, 11, 12])


def test_what_does_not_fit_together_is_refused():
    scenario = line_world.scenario()
    with pytest.raises(ValueError, match=r"members must be of \['ann', 'bob'\], got \['ann'\]"):
        mixed_team(scenario, {"ann": left})
    for agents in (["eve"], [], ["ann", "bob"]):
        with pytest.raises(ValueError, match=r"agents must be some of \['ann', 'bob'\]"):
            with_scripted(scenario, left, agents)
    with pytest.raises(ValueError, match="a plan needs the scenario"):
        mixed_team(scenario.env, dict.fromkeys(("ann", "bob"), line_world.all_right()))
    other = dataclasses.replace(
        tiny_training.result(), spec=tiny_training.result().spec._replace(horizon=3)
    )
    with pytest.raises(ValueError, match="member: horizon is 3, the environment has 8"):
        mixed_team(scenario, {"ann": other, "bob": left})
    env = with_scripted(scenario, left, ["bob"])
    shorter = dataclasses.replace(
        tiny_training.demos(), spec=tiny_training.demos().spec._replace(name="toy/other")
    )
    with pytest.raises(ValueError, match="demonstrations: name is 'toy/other'"):
        demonstrations_of(shorter, env)
