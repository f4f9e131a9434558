"""Rollouts on the toy line, where every row can be counted."""

import jax
import line_world
import numpy as np
import pytest

from leed_jax import execution
from leed_jax.config import NetworkConfig
from leed_jax.optimization import networks, rollout

NUM_ENVS, STEPS = 3, 20
PERIOD = line_world.HORIZON + 1  # steps of an episode, and the row of its last observation


@pytest.fixture(scope="module")
def collected():
    scenario = line_world.scenario()
    actor = networks.make_actor(NetworkConfig(hidden_sizes=(4,)), scenario.env.spec)
    params = jax.jit(actor.init)(jax.random.key(0))
    expert = execution.make_expert(scenario, line_world.all_right())
    begun = rollout.begin(scenario.env, actor, jax.random.key(1), NUM_ENVS, expert)
    return rollout.collect(
        scenario.env, actor, params, begun, jax.random.key(2), steps=STEPS, expert=expert
    )


def test_every_episode_has_its_steps_and_one_invalid_row_for_its_last_observation(collected):
    _, rows, _ = collected
    at = np.arange(STEPS) % PERIOD
    np.testing.assert_array_equal(rows.valid, np.tile((at < PERIOD - 1)[:, None], NUM_ENVS))
    np.testing.assert_array_equal(rows.start, np.tile((at == 0)[:, None], NUM_ENVS))


def test_rewards_are_those_of_the_step_and_zero_in_the_reset_row(collected):
    _, rows, _ = collected
    places = np.asarray(rows.observation)[..., 0]
    # The reward is the place that a step reaches, which the next row observes.
    inside = np.asarray(rows.valid)[:-1]
    np.testing.assert_array_equal(np.asarray(rows.reward)[:-1][inside], places[1:][inside])
    np.testing.assert_array_equal(np.asarray(rows.reward)[~np.asarray(rows.valid)], 0)


def test_resets_come_from_the_environment(collected):
    _, rows, _ = collected
    starts = np.asarray(rows.observation)[np.asarray(rows.start)][..., 0]
    np.testing.assert_array_equal(starts, np.tile([0, 5], (len(starts), 1)))


def test_actions_are_legal(collected):
    _, rows, _ = collected
    legal = np.take_along_axis(np.asarray(rows.action_mask), np.asarray(rows.action)[..., None], -1)
    assert legal.all()


def test_visited_states_carry_the_experts_label_where_it_is_legal(collected):
    _, rows, _ = collected
    at_the_end = np.asarray(rows.observation)[..., 0] == line_world.LAST_PLACE
    wanted = np.asarray(rows.valid)[..., None] & ~at_the_end
    np.testing.assert_array_equal(rows.labelled, wanted)
    assert (np.asarray(rows.label)[wanted] == line_world.RIGHT).all()


@pytest.mark.parametrize("what", ["beyond", "negative"])
def test_labels_that_are_no_action_are_left_out(what):
    # The experts of this plan give the numbers 7 and -1, of three actions.
    scenario = line_world.scenario()
    actor = networks.make_actor(NetworkConfig(hidden_sizes=(4,)), scenario.env.spec)
    params = jax.jit(actor.init)(jax.random.key(0))
    expert = execution.make_expert(scenario, line_world.plan(line_world.do(what)))
    begun = rollout.begin(scenario.env, actor, jax.random.key(1), NUM_ENVS, expert)
    _, rows, _ = rollout.collect(
        scenario.env, actor, params, begun, jax.random.key(2), steps=3, expert=expert
    )
    assert not np.asarray(rows.labelled)[..., 0].any()
    np.testing.assert_array_equal(np.asarray(rows.label)[..., 0], 0)
    assert np.asarray(rows.labelled)[..., 1].all()  # bob's plan is sound


def test_finished_episodes_are_counted_with_their_team_return(collected):
    _, rows, finished = collected
    whole = 2 * PERIOD
    assert int(finished.count) == 2 * NUM_ENVS
    np.testing.assert_allclose(
        finished.team_return, np.asarray(rows.reward)[:whole].sum(), rtol=1e-6
    )


def test_the_situation_goes_on_where_the_rollout_ended(collected):
    situation, rows, _ = collected
    np.testing.assert_array_equal(situation.over, [False] * NUM_ENVS)
    places = np.asarray(rows.observation)[-1, :, :, 0]
    moved = np.array([0, -1, 1])[np.asarray(rows.action)[-1]]
    np.testing.assert_array_equal(situation.time_step.observation[..., 0], places + moved)


def test_the_pool_has_a_reset_of_its_own_for_every_episode():
    env = line_world.array_env()
    # 20 steps hold at most ceil(20 / 9) = 3 resets, and one to spare.
    assert rollout.pool_size(env, NUM_ENVS, STEPS) == NUM_ENVS * 4
