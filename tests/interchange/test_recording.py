"""Whatever acts can be recorded: as a plan is, traced or called step by step."""

import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import execution
from leed_jax.interchange import demonstrations_from_policy


def right(observation):
    return jnp.full(observation.shape[0], line_world.RIGHT)


def same(one, other):
    for name, values in one.arrays._asdict().items():
        np.testing.assert_array_equal(values, getattr(other.arrays, name), err_msg=name)


def test_a_function_is_recorded_as_the_plan_that_does_the_same():
    # The plan goes to the right at the end of the line too, where it may not.
    demos = demonstrations_from_policy(tiny_training.scenario(), right, num_episodes=6)
    same(demos, tiny_training.demos())
    assert demos.measures == pytest.approx(tiny_training.demos().measures)
    assert demos.provenance["source"] == "policy"


def test_python_that_remembers_plays_the_same_episodes():
    calls = []

    def clumsy(observation):
        calls.append(observation.copy())
        observation[:] = 99  # what the environment saw must not follow
        return np.full(2, line_world.RIGHT)

    demos = demonstrations_from_policy(
        tiny_training.scenario(), clumsy, num_episodes=3, traced=False
    )
    traced = demonstrations_from_policy(tiny_training.scenario(), right, num_episodes=3)
    same(demos, traced)
    assert demos.measures == pytest.approx(traced.measures)
    assert len(calls) == 3 * line_world.HORIZON


def test_an_episode_of_python_stops_where_it_is_over():
    env = line_world.array_env(start=(0, 1), end=3)
    calls = []

    def step(observation):
        calls.append(observation)
        return np.full(2, line_world.RIGHT)

    demos = demonstrations_from_policy(env, step, num_episodes=1, traced=False)
    assert len(calls) == 3  # 0 -> 3; bob is there a step earlier
    same(demos, demonstrations_from_policy(env, right, num_episodes=1))


def test_a_policy_with_a_memory_is_recorded():
    scenario, plan = line_world.scenario(), line_world.plan(line_world.go(2), line_world.do("left"))
    policy = execution.as_policy(execution.make_expert(scenario, plan))
    demos = demonstrations_from_policy(scenario, policy, num_episodes=2)
    wanted = execution.demonstrate(scenario, plan, num_episodes=2)
    np.testing.assert_array_equal(demos.arrays.observation, wanted.arrays.observation)
    # As a policy a plan never acts illegally: its replaced actions cannot be told from its own.
    assert demos.arrays.valid.all() and not wanted.arrays.valid.all()


def test_what_is_no_policy_is_refused():
    scenario = line_world.scenario()
    with pytest.raises(ValueError, match=r"whole numbers of shape \[2\], got int32 of shape \[3\]"):
        demonstrations_from_policy(scenario, lambda seen: jnp.zeros(3, jnp.int32))
    with pytest.raises(ValueError, match=r"got float32 of shape \[2\]"):
        demonstrations_from_policy(scenario, lambda seen: seen[:, 0], num_episodes=1, traced=False)
    with pytest.raises(ValueError, match="pass traced=False"):
        demonstrations_from_policy(scenario, lambda seen: np.asarray(seen)[:, 0].astype(int))
    with pytest.raises(ValueError, match="a Policy is traced"):
        policy = execution.as_policy(execution.make_expert(scenario, line_world.all_right()))
        demonstrations_from_policy(scenario, policy, traced=False)
    with pytest.raises(ValueError, match="num_episodes must be at least 1, got 0"):
        demonstrations_from_policy(scenario, right, num_episodes=0)
