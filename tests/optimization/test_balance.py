"""λ that adapts to returns and distances, its guard, and what bad demonstrations do to it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import execution
from leed_jax.config import ExpertConfig, NetworkConfig
from leed_jax.optimization import balance, distances, methods, minibatches, schedules, trainer
from leed_jax.optimization.balance import Observed, Reference

EXPERT = Reference(jnp.array([10.0, 10.0]), jnp.zeros(2), None, None, None)
FAR = Reference(
    jnp.array([10.0]), jnp.zeros(1), jnp.zeros((1, 1, 1, 1)), jnp.ones((1, 1)), jnp.array([1.0])
)
"""A demonstration that stands at 0; demonstrations are 1 away from each other."""


def returned(*means, count=4.0):
    return Observed(jnp.array(count), count * jnp.array(means))


def test_the_gap_in_returns_shrinks_from_one_to_nothing_agent_by_agent():
    begun = balance.begin(2)
    np.testing.assert_array_equal(balance.gap(begun, EXPERT), 1)
    # No episode has ended yet.
    begun = balance.observe(begun, returned(0, 0, count=0.0), EXPERT, num_envs=4)
    np.testing.assert_array_equal(balance.gap(begun, EXPERT), 1)
    # The first returns are 0, and 12, which is better than the expert.
    known = balance.observe(begun, returned(0, 12), EXPERT, num_envs=4)
    np.testing.assert_array_equal(balance.gap(known, EXPERT), [1, 0])
    # As many episodes as environments count half: (0 + 8) / 2 = 4 of 10.
    known = balance.observe(known, returned(8, 0), EXPERT, num_envs=4)
    np.testing.assert_allclose(balance.gap(known, EXPERT), [0.6, 0], rtol=1e-6)
    # Three times as many: 4 + 0.75 (20 - 4) = 16, beyond the expert.
    known = balance.observe(known, returned(20, 0, count=12.0), EXPERT, num_envs=4)
    np.testing.assert_array_equal(balance.gap(known, EXPERT), 0)
    config = ExpertConfig(final_weight=0.5, schedule="return_gap")
    weight = schedules.adaptive_weight(
        config, jnp.array([2.5, 2.5]), jnp.array([1.0, 0.5]), jnp.array([0.5, 1.0])
    )
    np.testing.assert_allclose(weight, 1.5)


def test_an_expert_who_is_hardly_better_than_chance_counts_little():
    lucky = EXPERT._replace(return_deviation=jnp.array([20.0, 8.0]))
    begun = balance.begin(2)
    np.testing.assert_array_equal(balance.worth(begun, lucky), 1)
    # 10 and 4 above the first returns, in episodes that differ by 20 and 8: (1/2)^2 for both.
    known = balance.observe(begun, returned(0, 6), lucky, num_envs=4)
    np.testing.assert_allclose(balance.worth(known, lucky), 0.25)
    np.testing.assert_allclose(balance.share(known, lucky), 0.25)
    # Half of the way is left of 10, and nothing of 4: what the expert is worth stays.
    later = balance.observe(known, returned(10, 20), lucky, num_envs=4)
    np.testing.assert_allclose(balance.share(later, lucky), [0.125, 0])
    np.testing.assert_allclose(balance.worth(later, lucky), 0.25)
    # Better than chance by a deviation, or by more; and an expert whose episodes are all alike.
    good = EXPERT._replace(return_deviation=jnp.array([10.0, 3.0]))
    np.testing.assert_array_equal(balance.worth(known, good), 1)
    np.testing.assert_array_equal(balance.worth(known, EXPERT), 1)
    near = FAR._replace(return_deviation=jnp.array([20.0]))
    np.testing.assert_allclose(balance.share(at(5, 0, balance.begin(1)), near), 0.25)


def at(place, mean, known, count=4.0):
    seen = Observed(jnp.array(count), count * jnp.array([mean]))
    pieces = jnp.full((2, 1, 1, 1), float(place))
    seen = seen._replace(sequences=pieces, found=jnp.ones((2, 1), bool))
    return balance.observe(known, seen, FAR, num_envs=4)


def test_distance_goes_from_that_of_the_first_policy_to_that_between_demonstrations():
    known = at(5, 0, balance.begin(1))
    np.testing.assert_allclose(balance.share(known, FAR), 1)
    # Two pieces, as many as a rollout has, count half: (5 + 1) / 2 = 3, and (3 - 1) / (5 - 1).
    known = at(1, 0, known)
    np.testing.assert_allclose(balance.share(known, FAR), 0.5)
    # Returns 0, 0, then 8, 16: R = 4 and 10: no gap is left, whatever the distance.
    known = at(5, 8, at(5, 0, known))
    np.testing.assert_allclose(balance.gap(known, FAR), 0.6, rtol=1e-6)
    assert balance.share(known, FAR) > 0.5
    known = at(5, 16, known)
    np.testing.assert_array_equal(balance.share(known, FAR), 0)


def test_distances_that_tell_nothing_are_not_asked():
    known = at(1.04, 0, balance.begin(1))
    np.testing.assert_array_equal(balance.share(known, FAR), 1)


def test_demonstrations_are_prepared_like_rollouts():
    demos = tiny_training.demos()
    found: Any = balance.reference(
        demos, ExpertConfig(schedule="dtw", dtw_episodes=3, dtw_points=4)
    )
    np.testing.assert_allclose(found.agent_return, np.asarray(demos.arrays.returns).mean(0))
    # Four points of the valid rows of episodes 0, 2 (2.5, rounded to even) and 5.
    arrays = demos.arrays
    for place, episode in enumerate((0, 2, 5)):
        for agent in range(2):
            rows = np.asarray(arrays.observation)[
                episode, np.asarray(arrays.valid)[episode, :, agent], agent
            ]
            middles = [int((point + 0.5) / 4 * len(rows)) for point in range(4)]
            np.testing.assert_array_equal(found.sequences[place, agent], rows[middles])
    for agent in range(2):
        every = np.asarray(arrays.observation)[np.asarray(arrays.valid)[..., agent], agent]
        np.testing.assert_allclose(found.deviation[agent, 0], every.std(), rtol=1e-5)
    each = distances.to_nearest(found.sequences, found.sequences, found.deviation, same=True)
    np.testing.assert_allclose(found.distance, each.mean(0), rtol=1e-6)


GUARD = ExpertConfig(guard_patience=0.02, guard_progress=0.1, guard_loss=0.5)
"""Of 100 updates: two without progress are allowed."""


def guarded(returns, expert_losses):
    """Trust after every update, for an expert's return of 10."""
    known, trusts = balance.begin(1), []
    only = EXPERT._replace(agent_return=EXPERT.agent_return[:1])
    for mean, loss in zip(returns, expert_losses, strict=True):
        seen = Observed(jnp.array(1e6), jnp.array([1e6 * mean]))
        known = balance.observe(known, seen, only, num_envs=1)
        args = jnp.array([loss]), jnp.array([2.0]), only
        known = balance.guard(known, *args, config=GUARD, num_updates=100)
        trusts.append(float(known.trust[0]))
    return np.array(trusts)


FALL = np.exp(-0.5)


def test_trust_falls_when_the_loss_is_low_and_the_return_does_not_follow():
    # A fall by 0.2 is progress until the loss is below 1: updates 1 and 2. Then two for patience.
    trusts = guarded([0.0] * 7, [1.7, 0.9, 0.6, 0.3, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(trusts, [1, 1, 1, 1, FALL, FALL**2, FALL**3], rtol=1e-5)


def test_trust_stays_while_the_return_follows_or_the_loss_falls():
    assert (guarded(np.arange(0, 9, 1.2), [0.1] * 8) == 1).all()
    assert (guarded([0.0] * 5, [1.8, 1.6, 1.4, 1.2, 0.99]) == 1).all()
    # A loss that no longer falls is no progress, low or not.
    np.testing.assert_allclose(guarded([0.0] * 4, [2.0] * 4), [1, 1, FALL, FALL**2], rtol=1e-5)


def test_progress_stops_the_fall_of_trust_and_does_not_bring_it_back():
    trusts = guarded([0, 0, 0, 0, 2, 2, 2, 2], [0.5] * 8)
    # The first loss of all is 2: 0.5 is a fall, in update 1.
    wanted = [1, 1, 1, FALL, FALL, FALL, FALL, FALL**2]
    np.testing.assert_allclose(trusts, wanted, rtol=1e-5)


def test_logarithms_of_densities_may_be_negative_from_the_start():
    known = balance.begin(1)._replace(episodes=jnp.array(1.0))
    only = EXPERT._replace(agent_return=EXPERT.agent_return[:1])
    for loss in (-2.0, -2.9, -3.8, -3.9, -3.9, -3.9):
        args = jnp.array([loss]), jnp.array([-2.0]), only
        known = balance.guard(known, *args, config=GUARD, num_updates=100)
    # Low is below -2 - 0.5 * 2 = -3: -3.8 is still progress, what follows is not.
    np.testing.assert_allclose(known.trust, FALL, rtol=1e-5)


def ran(demos, settings, env) -> Any:
    """All updates in one program: final state, metrics of every update, what it compares with."""
    train = trainer.make_train(env, settings, demos=demos)
    state, metrics = jax.jit(train.run)(jax.random.key(0), train.data)
    return state, metrics, train.data.reference


# With a share just below 1 rows are of decisions, which here are all steps.
@pytest.mark.parametrize(
    ("schedule", "share"),
    [pytest.param("return_gap", 1.0, marks=pytest.mark.slow), ("dtw", 0.99)],
)
def test_adversarial_demonstrations_do_not_stop_learning(schedule, share):
    scenario = tiny_training.scenario()
    env = scenario.env._replace(spec=scenario.env.spec._replace(decision_share=share))
    left = line_world.plan(
        line_world.do("left"), bob=line_world.AgentPlan((line_world.do("left"),))
    )
    bad = execution.demonstrate(scenario, left, num_episodes=6)
    settings = tiny_training.CONFIG.replace(
        total_steps=60 * 8 * 16,
        num_envs=8,
        rollout_steps=16,
        num_epochs=2,
        learning_rate=1e-2,
        network=NetworkConfig(hidden_sizes=(16,)),
        expert=ExpertConfig(weight=3.0, batch_size=16, schedule=schedule, dtw_points=4),
    )
    _, metrics, reference = ran(bad, settings, env)
    # To the right from places 0 to 5, at most to 9, in eight steps: about 50 each.
    best = float(tiny_training.demos().team_returns.mean())
    assert float(reference.agent_return.sum()) < 0.2 * best
    assert float(metrics["train_return"][-10:].mean()) > 0.85 * best
    np.testing.assert_array_equal(metrics["expert_weight"][-30:], 0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [("mlp", 0.5), ("gru", 1.0)])
def test_lambda_adapts_for_rows_of_decisions_and_for_recurrent_networks(kind, share):
    env = tiny_training.scenario().env
    env = env._replace(spec=env.spec._replace(decision_share=share))
    settings = tiny_training.CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(8,)),
        expert=ExpertConfig(weight=1.0, batch_size=8, schedule="dtw", dtw_points=4),
    )
    state, metrics, reference = ran(tiny_training.demos(), settings, env)
    assert state.balance.updates == 5
    assert (metrics["distance"] > 0).all()
    # Trust as the update before left it.
    left = balance.share(state.balance, reference) * metrics["trust"][-2]
    np.testing.assert_allclose(metrics["expert_weight"][-1], left, rtol=1e-6)


def test_an_adaptive_lambda_needs_demonstrations():
    scenario = tiny_training.scenario()
    expert = ExpertConfig(schedule="return_gap", labels="visited")
    settings = dataclasses.replace(tiny_training.CONFIG, expert=expert)
    with pytest.raises(ValueError, match=r"expert\.schedule='return_gap' compares the agents"):
        trainer.make_train(scenario, settings)


def test_an_adaptive_lambda_looks_at_the_term_that_imitates_whatever_its_name():
    expert = ExpertConfig(batch_size=8, schedule="return_gap")
    settings = dataclasses.replace(tiny_training.CONFIG, expert=expert)
    *ppo, imitates = methods.METHODS["leed"].terms
    method = methods.Method("own", (*ppo, imitates._replace(name="shown")))
    built = trainer.make_trainer(tiny_training.scenario().env, settings, method)
    data = minibatches.data(tiny_training.demos(), settings)
    state = jax.eval_shape(built.init, jax.random.key(0))
    _, metrics = jax.eval_shape(built.update, state, data)
    assert {"shown", "return_gap", "trust"} <= set(metrics) and "expert" not in metrics


def test_other_methods_and_schedules_keep_no_balance():
    env, settings = tiny_training.scenario().env, tiny_training.CONFIG
    adaptive = dataclasses.replace(settings, expert=ExpertConfig(schedule="dtw"))
    for chosen, method in ((settings, "leed"), (adaptive, "ippo"), (adaptive, "bc")):
        built = trainer.make_trainer(env, chosen, methods.resolve(method, chosen))
        state = jax.eval_shape(built.init, jax.random.key(0))
        assert state.balance == state.rewards == state.situation.agent_return == ()
