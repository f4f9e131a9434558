"""What is counted of an episode: nothing after its end, and every measure as it says."""

from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
from line_world import LEFT, RIGHT, STAY

from leed_jax import episodes
from leed_jax.types import Policy

pytestmark = pytest.mark.usefixtures("strict_promotion")
KEYS = jax.random.split(jax.random.key(3), 4)


def always(*actions: int) -> Policy:
    """Each agent always does the same."""
    return Policy(lambda state, step: (), lambda memory, *_: (memory, jnp.array(actions)))


def run(env: Any, policy: Policy, **options: Any) -> episodes.Episodes:
    """Episodes as arrays of the host."""
    found = jax.jit(lambda keys: episodes.run(env, policy, keys, **options))(KEYS)
    return jax.tree.map(np.asarray, found)


def test_an_episode_ends_when_everyone_is_terminated_and_nothing_counts_after():
    env = line_world.array_env(start=(0, 3), end=3)
    found = run(env, always(RIGHT, STAY))
    # Bob is at the end from the beginning. Ann reaches 1, 2 and 3, and is paid for each; the
    # environment would go on paying her (4, 5, ...), which is not counted.
    np.testing.assert_array_equal(found.length, [3] * 4)
    np.testing.assert_array_equal(found.valid[0], [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.rewards[0, :, 0], [1, 2, 3, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.returns[0], [1 + 2 + 3, 3 + 3 + 3])
    # After the steps she is at 1, 2, 3: the last is 3, the mean 6 / 3 = 2, the sum 6.
    assert {name: values[0] for name, values in found.measures.items()} == {
        "place_last": 3,
        "place_mean": 2,
        "place_sum": 6,
    }


def test_an_episode_without_termination_lasts_to_the_time_limit():
    found = run(line_world.array_env(start=(9, 3), end=100), always(LEFT, STAY))
    np.testing.assert_array_equal(found.length, [line_world.HORIZON] * 4)
    assert found.valid.all()
    # She goes from 9 to 8, 7, ..., 1: 8 + 7 + ... + 1 = 36.
    np.testing.assert_array_equal(found.returns[:, 0], [36] * 4)


def test_the_same_keys_give_the_same_starts_to_every_policy():
    env = line_world.array_env(start=None)
    starts = [
        run(env, policy, record=lambda state, *_: state.place).record[:, 0]
        for policy in (always(STAY, STAY), always(RIGHT, RIGHT), episodes.random_policy())
    ]
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0], starts[2])
    assert len(np.unique(starts[0], axis=0)) > 1


def test_what_is_recorded_is_from_before_the_step():
    env = line_world.array_env(start=(0, 5))
    found = run(
        env,
        always(RIGHT, STAY),
        record=lambda state, step, memory, action: (
            state.place,
            step.observation,
            action,
        ),
    )
    places, observations, actions = found.record
    np.testing.assert_array_equal(places[0, :, 0], range(8))
    np.testing.assert_array_equal(observations[0, :, 0, 0], range(8))
    np.testing.assert_array_equal(actions[0], [[RIGHT, STAY]] * 8)


def test_the_random_policy_takes_every_legal_action_and_no_other():
    policy = episodes.random_policy()
    _, step = line_world.array_env(start=(0, 5)).reset(KEYS[0])
    keys = jax.random.split(jax.random.key(0), 200)
    actions = jax.vmap(lambda key: policy.act((), None, step, key)[1])(keys)
    assert set(np.asarray(actions)[:, 0].tolist()) == {STAY, RIGHT}  # at 0 there is no left
    assert set(np.asarray(actions)[:, 1].tolist()) == {STAY, LEFT, RIGHT}


def test_the_reset_state_of_a_key_is_where_its_episode_starts():
    env = line_world.array_env(start=None)
    found = run(env, always(STAY, STAY), record=lambda state, *_: state.place)
    for key, start in zip(KEYS, found.record[:, 0], strict=True):
        np.testing.assert_array_equal(episodes.reset_state(env, key).place, start)
