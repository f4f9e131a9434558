"""Anybody's arrays become demonstrations, or the message says which number is wrong."""

from typing import Any

import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import demonstrations
from leed_jax.interchange import demonstrations_from_arrays
from leed_jax.types import EnvSpec

PAIR = line_world.array_env()._replace(
    spec=EnvSpec("toy/pair", ("ann", "bob"), (3, 1), (4, 2), horizon=5)
)
"""Agents of different sizes; nothing is played in it."""
FLOATS = PAIR._replace(spec=PAIR.spec._replace(continuous=True))


def by_agent(**changes: Any) -> dict[str, Any]:
    """Two episodes of 3 and 2 steps; everything can be told apart."""
    episodes = []
    for k, steps in enumerate((3, 2)):
        ann = 100.0 * (k + 1) + np.arange(steps * 3).reshape(steps, 3)
        episodes.append({"ann": ann, "bob": np.arange(1, steps + 1)[:, None] / 8})
    given = {
        "observations": episodes,
        "actions": [{"ann": [3, 0, 1], "bob": [1, 1, 0]}, {"ann": [2, 2], "bob": [0, 1]}],
        "rewards": [{"ann": [1, 2, 4], "bob": [0.5, 0, 0]}, {"ann": [8, 16], "bob": [0, 0.25]}],
    }
    return {**given, **changes}


def padded(given: dict[str, Any]) -> dict[str, Any]:
    """The same side by side, padded to four steps, with rubbish behind the ends."""
    observations = np.full((2, 4, 2, 3), 7.0)
    observations[:, :, 1, 1:] = 0  # bob has one number
    actions, rewards = np.full((2, 4, 2), 3), np.full((2, 4, 2), -7.0)
    for k, steps in enumerate((3, 2)):
        for n, agent in enumerate(("ann", "bob")):
            values = given["observations"][k][agent]
            observations[k, :steps, n, : values.shape[1]] = values
            actions[k, :steps, n] = given["actions"][k][agent]
            rewards[k, :steps, n] = given["rewards"][k][agent]
    return {"observations": observations, "actions": actions, "rewards": rewards}


def equal(one, other):
    for name in one.arrays._fields:
        a, b = getattr(one.arrays, name), getattr(other.arrays, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_ragged_episodes_by_name_are_padded_to_the_horizon():
    found = demonstrations_from_arrays(PAIR, **by_agent()).arrays
    np.testing.assert_array_equal(
        found.observation[1, :3, 0], [[200, 201, 202], [203, 204, 205], [0, 0, 0]]
    )
    np.testing.assert_array_equal(found.observation[0, 2, 1], [3 / 8, 0, 0])
    np.testing.assert_array_equal(found.action[0], [[3, 1], [0, 1], [1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(found.valid.sum(1), [[3, 3], [2, 2]])
    np.testing.assert_array_equal(found.returns, [[7, 0.5], [24, 0.25]])
    np.testing.assert_array_equal(found.action_mask[0, 0], [[1, 1, 1, 1], [1, 1, 0, 0]])
    assert found.action.dtype == np.int32 and found.observation.dtype == np.float32


def test_side_by_side_with_lengths_is_the_same_as_by_name():
    given = by_agent()
    one = demonstrations_from_arrays(PAIR, **given)
    equal(demonstrations_from_arrays(PAIR, **padded(given), lengths=[3, 2]), one)
    columns: dict[str, Any] = {
        name: {agent: [each[agent] for each in values] for agent in ("ann", "bob")}
        for name, values in given.items()
    }
    equal(demonstrations_from_arrays(PAIR, **columns), one)


def test_what_is_not_to_be_learnt_counts_in_returns_and_may_be_any_action():
    given = padded(by_agent())
    given["actions"][0, 1, 0] = -5
    valid = np.ones((2, 4, 2), bool)
    valid[0, 1, 0] = False
    found = demonstrations_from_arrays(PAIR, **given, lengths=[3, 2], valid=valid)
    assert found.arrays.valid.sum() == 2 * 5 - 1
    assert found.arrays.action[0, 1, 0] == 0
    np.testing.assert_array_equal(found.arrays.returns[0], [7, 0.5])
    # Steps without an axis of agents are for all of them.
    some = demonstrations_from_arrays(
        PAIR, **padded(by_agent()), lengths=[3, 2], valid=valid[..., 0]
    )
    assert some.arrays.valid.sum() == 2 * 4


def test_arrays_of_a_plan_s_own_demonstrations_give_them_back():
    demos = tiny_training.demos()
    arrays = demos.arrays
    found = demonstrations_from_arrays(
        tiny_training.scenario(),
        *(arrays.observation, arrays.action, arrays.reward),
        valid=arrays.valid,
        action_mask=arrays.action_mask,
        measures=demos.measures,
    )
    equal(found, demos)
    assert (found.spec, found.measures) == (demos.spec, demos.measures)


def test_they_filter_merge_save_and_load_like_any_other(tmp_path):
    demos = tiny_training.demos()
    arrays = demos.arrays
    own = demonstrations_from_arrays(
        tiny_training.scenario(),
        arrays.observation[:, :5],
        arrays.action[:, :5],
        arrays.reward[:, :5],
        provenance={"source": "a human"},
    )
    both = demonstrations.merge([demos, own.filter(best=0.5)])
    assert both.num_episodes == 6 + 3
    own.save(tmp_path / "own.npz")
    equal(demonstrations.load(tmp_path / "own.npz"), own)


def test_continuous_actions_keep_their_own_components():
    actions = [{"ann": np.full((s, 4), 0.5), "bob": np.full((s, 2), -1.0)} for s in (3, 2)]
    found = demonstrations_from_arrays(FLOATS, **by_agent(actions=actions)).arrays
    np.testing.assert_array_equal(found.action[1, 1], [[0.5] * 4, [-1, -1, 0, 0]])
    np.testing.assert_array_equal(found.action_mask[1, 4], [[1] * 4, [1, 1, 0, 0]])


def wrong(name, k, agent, change):
    given = by_agent()
    values = np.array(given[name][k][agent], float if name != "actions" else int)
    given[name][k] = {**given[name][k], agent: change(values)}
    return given


CASES = {
    r"actions: episode 1, step 0, bob: must be in 0..1, got 2": wrong(
        "actions", 1, "bob", lambda a: a + 2
    ),
    r"actions: episode 0, ann: must be an array of whole numbers, got float64": wrong(
        "actions", 0, "ann", lambda a: a * 1.0
    ),
    r"observations: episode 1, step 1, ann: must be finite": wrong(
        "observations", 1, "ann", lambda o: np.where(o == 205, np.nan, o)
    ),
    r"rewards: episode 0, step 2, ann: must be finite": wrong(
        "rewards", 0, "ann", lambda r: np.where(r == 4, 1e39, r)
    ),
    r"observations: episode 0, bob: must be \[S, 1\], got \[3, 2\]": wrong(
        "observations", 0, "bob", lambda o: np.tile(o, 2)
    ),
    r"observations: episode 0: agents have different numbers of steps": wrong(
        "observations", 0, "bob", lambda o: o[:2]
    ),
    r"rewards: episode 1 has 3 steps, actions have 2": by_agent(
        rewards=[by_agent()["rewards"][0]] * 2
    ),
    r"observations holds 1 episodes, actions 2": by_agent(
        observations=by_agent()["observations"][:1]
    ),
    r"actions: episode 0: agents must be \['ann', 'bob'\], got \['ann', 'eve'\]": by_agent(
        actions=[{"ann": [1], "eve": [1]}] * 2
    ),
    r"lengths must be 2 whole numbers": by_agent(lengths=[3, 3]),
    r"valid: episode 0, ann: must be an array of true or false": by_agent(
        valid=[{"ann": [2, 1, 0], "bob": [1, 1, 1]}] * 2
    ),
    r"an episode of toy/pair has at most 5": {
        "observations": np.zeros((1, 6, 2, 3)),
        "actions": np.zeros((1, 6, 2), int),
    },
    r"observations: episode 0, bob: it has 1 numbers of its own; what follows is padding": {
        "observations": np.ones((1, 2, 2, 3)),
        "actions": np.zeros((1, 2, 2), int),
    },
    r"observations: episode 0 has 3 steps, actions have 2 \(leave out the one after": {
        "observations": np.zeros((1, 3, 2, 3)),
        "actions": np.zeros((1, 2, 2), int),
    },
}


@pytest.mark.parametrize("message", CASES)
def test_a_message_names_the_place_and_what_was_allowed(message):
    with pytest.raises(ValueError, match=message):
        demonstrations_from_arrays(PAIR, **CASES[message])


def test_continuous_actions_out_of_range_are_refused():
    actions = [{"ann": np.zeros((s, 4)), "bob": np.full((s, 2), 2.0)} for s in (3, 2)]
    message = r"actions: episode 0, step 0, bob: must be in \[-1, 1\]"
    with pytest.raises(ValueError, match=message):
        demonstrations_from_arrays(FLOATS, **by_agent(actions=actions))


def test_actions_that_the_mask_forbids_are_refused():
    mask = np.broadcast_to(np.arange(4) < np.array([[4], [2]]), (2, 4, 2, 4)).copy()
    mask[0, 1, 1, 1] = False
    message = "actions: episode 0, step 1, bob: must be one that action_mask allows, got 1"
    with pytest.raises(ValueError, match=message):
        demonstrations_from_arrays(PAIR, **padded(by_agent()), lengths=[3, 2], action_mask=mask)
