"""What a training run hands back: numbers per seed, the best team, and how good it is."""

import dataclasses
import math
from typing import Any

import jax
import line_world
import numpy as np
import pytest
import tiny_training

from leed_jax import episodes
from leed_jax.optimization import results
from leed_jax.optimization.results import TrainResult


@pytest.fixture(scope="module")
def result() -> TrainResult:
    return tiny_training.result()


@pytest.fixture(scope="module")
def evaluated(result: TrainResult) -> results.Evaluation:
    return results.evaluate(tiny_training.scenario(), result, num_episodes=16)


def with_final(result: TrainResult, *returns: float) -> TrainResult:
    """The result as if the last evaluation had been this one."""
    lines = zip(result.history[-2:], returns, strict=True)
    last = [{**line, "team_return": value} for line, value in lines]
    return dataclasses.replace(result, history=[*result.history[:-2], *last])


def test_an_evaluation_has_a_number_per_seed_and_agent(evaluated: results.Evaluation) -> None:
    assert (evaluated.method, evaluated.seeds, evaluated.num_episodes) == ("leed", (3, 5), 16)
    assert evaluated.agent_return.shape == (2, 2)
    np.testing.assert_allclose(evaluated.team_return, evaluated.agent_return.sum(-1))
    assert {name: values.shape for name, values in evaluated.success.items()} == {
        "place_last": (2,),
        "place_mean": (2,),
        "place_sum": (2,),
    }
    # Ann's reward is the place she reaches, and the measure sums the same places.
    np.testing.assert_allclose(evaluated.success["place_sum"], evaluated.agent_return[:, 0])


def test_an_evaluation_prints_interquartile_means_and_every_seed(
    evaluated: results.Evaluation,
) -> None:
    title, team, *success = str(evaluated).splitlines()
    assert title == "leed, 16 greedy episodes per seed"
    assert f"IQM {evaluated.iqm.iqm:.2f} [" in team
    assert team.endswith("  ".join(f"{value:.2f}" for value in evaluated.team_return))
    assert [line.split()[0] for line in success] == list(evaluated.success)


def test_the_interquartile_mean_of_two_seeds_is_their_mean(evaluated: results.Evaluation) -> None:
    # Of two values none is cut: floor(2 / 4) = 0 at either end.
    assert evaluated.iqm.iqm == pytest.approx(evaluated.team_return.mean())


@pytest.mark.parametrize(
    ("field", "value"), [("name", "another"), ("horizon", 99), ("agents", ("ann", "eve"))]
)
def test_a_result_of_another_environment_is_refused_by_field(
    result: TrainResult, field: str, value: Any
) -> None:
    foreign = dataclasses.replace(result, spec=result.spec._replace(**{field: value}))
    with pytest.raises(ValueError, match=f"{field} is "):
        results.evaluate(tiny_training.scenario(), foreign)


def test_final_is_the_last_evaluation_of_every_seed(result: TrainResult) -> None:
    last = result.history[-2:]
    assert result.final().tolist() == [line["team_return"] for line in last]
    assert result.final("place_last").tolist() == [line["success"]["place_last"] for line in last]
    with pytest.raises(KeyError, match="unheard_of"):
        result.final("unheard_of")


def test_steps_are_those_of_the_curves_evaluations(result: TrainResult) -> None:
    # Before the first of five updates, and after two, four and five, of 4 times 8 steps each.
    assert result.steps.tolist() == [0, 64, 128, 160] and result.steps.dtype == np.int64
    for seed, curve in zip(result.seeds, result.curve(), strict=True):
        told = [(x["env_steps"], x["team_return"]) for x in result.history if x["seed"] == seed]
        assert list(zip(result.steps.tolist(), curve.tolist(), strict=True)) == told
    assert len(dataclasses.replace(result, history=result.history[:2]).steps) == 1


def test_the_best_seed_has_the_highest_last_evaluation_and_never_diverged(
    result: TrainResult,
) -> None:
    assert with_final(result, 1.0, 2.0).best_seed == 1
    assert with_final(result, 2.0, 1.0).best_seed == 0
    assert with_final(result, math.nan, -5.0).best_seed == 1
    assert with_final(result, math.nan, math.nan).best_seed == 0


def test_speed_counts_the_steps_of_all_seeds(result: TrainResult) -> None:
    # 2 seeds of 160 steps in 4 seconds.
    timed = dataclasses.replace(result, train_seconds=4.0)
    assert timed.env_steps_per_second == 80


@pytest.mark.parametrize("greedy", [True, False])
def test_a_policy_plays_legal_actions_only(result: TrainResult, greedy: bool) -> None:
    policy = result.policy(0, greedy=greedy)
    env = tiny_training.scenario().env
    keys = jax.random.split(jax.random.key(0), 8)
    played: Any = jax.jit(
        lambda keys: episodes.run(env, policy, keys, record=lambda *now: (now[1], now[3]))
    )(keys)
    step, action = played.record
    legal = np.take_along_axis(np.asarray(step.action_mask), np.asarray(action)[..., None], -1)
    assert action.shape == (8, line_world.HORIZON, 2) and legal.all()


def test_a_policy_is_the_best_seeds_unless_another_is_named(result: TrainResult) -> None:
    env = tiny_training.scenario().env
    state, step = env.reset(jax.random.key(0))
    # Logits of order one hundredth, plus 10 for staying in the first team, for right in the second.
    bias = np.zeros((2, 2, 3), np.float32)
    bias[0, :, line_world.STAY] = bias[1, :, line_world.RIGHT] = 10
    actor = dict(result.params["actor"]["params"])
    actor["head"] = {**actor["head"], "bias": bias}
    params = {**result.params, "actor": {"params": actor}}
    second_is_best = dataclasses.replace(with_final(result, 1.0, 2.0), params=params)

    def actions(index: int | None) -> list[int]:
        policy = second_is_best.policy(index)
        return policy.act(policy.init(state, step), state, step, jax.random.key(0))[1].tolist()

    assert actions(None) == actions(1) == [line_world.RIGHT] * 2
    assert actions(0) == [line_world.STAY] * 2


def test_scored_starts_are_played_and_not_more_often_than_there_are(result: TrainResult) -> None:
    scenario = line_world.scenario(start=None, scored=(2, 2))
    evaluated = results.evaluate(scenario, result, num_episodes=16)
    assert evaluated.num_episodes == 1
    env, policy = scenario.env, result.policy(1)
    start = env._replace(reset=env.scored.reset)
    played = episodes.run(start, policy, jax.random.split(jax.random.key(0), 1))
    np.testing.assert_allclose(evaluated.agent_return[1], played.returns[0])


def test_a_network_for_all_agents_gives_them_the_same_action_for_the_same_observation() -> None:
    shared = tiny_training.shared_result()
    assert {leaf.shape[:2] for leaf in jax.tree.leaves(shared.params)} == {(2, 1)}
    env = line_world.array_env(start=(4, 4))
    state, step = env.reset(jax.random.key(0))
    policy = shared.policy(0)
    _, action = policy.act(policy.init(state, step), state, step, jax.random.key(0))
    assert action.shape == (2,) and action[0] == action[1]
    assert results.evaluate(tiny_training.scenario(), shared).agent_return.shape == (2, 2)
