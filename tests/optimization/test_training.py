"""The loop around the training step: what it records, what seeds share, and that it learns."""

import dataclasses
from pathlib import Path
from typing import Any

import chex
import jax
import line_world
import numpy as np
import pytest
import tiny_training
from tiny_training import CONFIG, STEPS_PER_UPDATE

from leed_jax import execution, loggers, scenarios
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.generation import generate_demonstrations
from leed_jax.optimization import (
    checks,
    learners,
    loop,
    methods,
    results,
    trainer,
    training,
)

KEYS = {
    "method",
    "seed",
    "env_steps",
    "updates",
    "seconds",
    "team_return",
    "agent_return",
    "success",
    "loss",
}


def train(config: TrainConfig = CONFIG, method: Any = "leed", **options: Any) -> Any:
    demos = None if method == "ippo" else tiny_training.demos()
    return training.train(tiny_training.scenario(), demos, config, method=method, **options)


def test_a_line_of_the_history_has_the_documented_keys_and_no_others() -> None:
    history = tiny_training.result().history
    before, after = history[:2], history[2:]
    # Before the first update there is no loss and no λ that was used.
    assert all(set(line) == KEYS and line["loss"] == {} for line in before)
    assert all(set(line) == KEYS | {"expert_weight"} for line in after)
    for line in after:
        assert set(line["loss"]) == {"policy", "value", "entropy", "divergence", "expert"}
        assert set(line["success"]) == {"place_last", "place_mean", "place_sum"}
        assert len(line["agent_return"]) == len(line["expert_weight"]) == 2
        assert line["team_return"] == pytest.approx(sum(line["agent_return"]))


def test_evaluations_come_first_after_every_chunk_and_last_after_a_shorter_one() -> None:
    result = tiny_training.result()
    # 5 updates of 32 steps in chunks of 2, 2 and 1; every time a line for each of the two seeds.
    updates = [0, 0, 2, 2, 4, 4, 5, 5]
    assert [line["updates"] for line in result.history] == updates
    assert [line["env_steps"] for line in result.history] == [32 * count for count in updates]
    assert [line["seed"] for line in result.history] == [3, 5] * 4
    assert result.env_steps == 160
    seconds = [line["seconds"] for line in result.history]
    assert seconds == sorted(seconds) and seconds[-1] == result.train_seconds > 0


def test_the_weight_of_the_expert_term_falls_as_scheduled() -> None:
    # Linear from 1 to 0 over 5 updates: 1, 0.8, 0.6, 0.4, 0.2; means of the chunks.
    weights = [line["expert_weight"] for line in tiny_training.result().history[2::2]]
    np.testing.assert_allclose(weights, [[0.9] * 2, [0.5] * 2, [0.2] * 2], rtol=1e-6)


def test_a_seed_among_others_equals_the_same_seed_alone() -> None:
    both = tiny_training.result()
    alone = train(seeds=(5,))
    second = jax.tree.map(lambda leaf: leaf[1:], both.params)
    chex.assert_trees_all_close(second, alone.params, rtol=1e-5, atol=1e-6)
    first = jax.tree.map(lambda leaf: leaf[:1], both.params)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(first, alone.params, rtol=1e-5, atol=1e-6)
    returns = [line["team_return"] for line in both.history[1::2]]
    np.testing.assert_allclose(returns, [line["team_return"] for line in alone.history], rtol=1e-5)


def test_behaviour_cloning_takes_no_steps_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with loggers.MetricsWriter(path) as metrics:
        result = train(method="bc", seeds=2, metrics=metrics)
    assert loggers.read_metrics(path) == result.history
    assert result.env_steps == 0 and result.env_steps_per_second == 0
    assert {line["env_steps"] for line in result.history} == {0}
    assert result.steps.tolist() == [0] * result.curve().shape[1] != []
    assert result.history[-1]["updates"] == 5
    assert set(result.history[-1]["loss"]) == {"expert"}


def test_ippo_needs_no_demonstrations_and_has_no_expert_weight() -> None:
    history = train(method="ippo", seeds=2).history
    assert all(set(line) == KEYS for line in history)
    assert set(history[-1]["loss"]) == {"policy", "value", "entropy", "divergence"}


def test_rows_of_decisions_only_say_how_many_were_dropped_and_scored_starts_are_evaluated() -> None:
    env = line_world.array_env(start=None, scored=(2, 2))
    env = env._replace(spec=env.spec._replace(decision_share=0.6))
    result = training.train(env, tiny_training.demos(), CONFIG, seeds=2)
    before, after = result.history[:2], result.history[2:]
    assert all(set(line) == KEYS for line in before)
    assert all(set(line) == KEYS | {"expert_weight", "dropped_decisions"} for line in after)
    # Every step is a decision, and there is room for 5 rows of 8: in the first rollout 3 of 8 are
    # dropped, in the others, one of whose rows holds a last observation, 3 of 7.
    dropped = [line["dropped_decisions"] for line in after]
    np.testing.assert_allclose(dropped, [(3 / 8 + 3 / 7) / 2] * 2 + [3 / 7] * 4, rtol=1e-6)
    assert [line["env_steps"] for line in after] == [64, 64, 128, 128, 160, 160]
    # The only scored start is the same whatever the seed of the evaluation.
    evaluated = results.evaluate(env, result)
    np.testing.assert_allclose(evaluated.team_return, result.final())


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("mlp", "visited"),
        pytest.param("gru", "both", marks=pytest.mark.slow),
    ],
)
def test_networks_of_both_kinds_train_on_visited_states(kind: Any, labels: Any) -> None:
    config = CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(8,)),
        expert=ExpertConfig(weight=3.0, labels=labels, batch_size=4),
        learning_rate=0.02,
        anneal_learning_rate=False,
        eval_every_steps=STEPS_PER_UPDATE,
    )
    expert = execution.make_expert(tiny_training.scenario(), line_world.all_right())
    result = train(config, expert=expert)
    assert result.diverged == {}
    losses = [line["loss"]["expert"] for line in result.history[1:]]
    # The label is always the same, to go right; log 3 at the start, as nothing is preferred.
    assert losses[-1] < losses[0] < 1.2


def test_labels_of_visited_states_need_an_expert() -> None:
    config = CONFIG.replace(expert=ExpertConfig(labels="visited"))
    stored = dataclasses.replace(tiny_training.demos(), expert=None)
    with pytest.raises(ValueError, match="needs an expert"):
        training.train(tiny_training.scenario(), stored, config)


def test_visited_states_are_labelled_where_the_plan_is_known_and_reads_such_states() -> None:
    env, demos = tiny_training.scenario().env, tiny_training.demos()
    assert demos.expert is not None
    assert checks.guide(env, demos, None) is demos.expert
    assert checks.guide(env, dataclasses.replace(demos, expert=None), None) is None

    def reset(key: Any) -> Any:
        state, step = env.reset(key)
        return (state, step.observation), step

    assert checks.guide(env._replace(reset=reset), demos, None) is None

    def labels(method: str, expert: Any, config: TrainConfig = CONFIG) -> str:
        made = learners.make(env, config, methods.METHODS[method], expert)
        assert (made.expert is not None) == (made.config.expert.labels != "demonstrations")
        return made.config.expert.labels

    assert labels("leed", demos.expert) == "both"
    assert labels("leed", None) == "demonstrations"
    stored = CONFIG.replace(expert=ExpertConfig(labels="demonstrations"))
    assert labels("leed", demos.expert, stored) == "demonstrations"
    for method in ("bc", "dapg", "ippo"):
        assert labels(method, demos.expert) == "demonstrations"


@pytest.mark.parametrize("seeds", [0, ()])
def test_no_seed_at_all_is_refused(seeds: Any) -> None:
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        train(seeds=seeds)


def test_a_seed_that_diverges_keeps_its_last_finite_state_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluate, teams = loop.Loop._evaluate, []
    poisoned = tiny_training.poisoned(
        trainer.make_trainer, 5, last=3, poison=tiny_training.infinite_critic
    )

    def spied(loop: Any, state: Any, *rest: Any) -> None:
        teams.append(jax.tree.map(np.array, state.params))
        evaluate(loop, state, *rest)

    monkeypatch.setattr(trainer, "make_trainer", poisoned)
    monkeypatch.setattr(loop.Loop, "_evaluate", spied)
    config = CONFIG.replace(anneal_learning_rate=False, eval_every_steps=STEPS_PER_UPDATE)
    result = train(config, method="ippo", seeds=(3, 5))
    assert result.diverged == {5: results.Diverged(3, "parameters of the critic")}

    def team(params: Any, index: int) -> Any:
        return jax.tree.map(lambda leaf: leaf[index], params)

    # Teams after 0, 1, ..., 5 updates. From the second on seed 5 stands still, and seed 3 moves.
    assert len(teams) == 6
    for later in (3, 4, 5):
        chex.assert_trees_all_equal(team(teams[later], 1), team(teams[2], 1))
        for index, earlier in ((0, later - 1), (1, 1)):
            with pytest.raises(AssertionError):
                chex.assert_trees_all_equal(team(teams[later], index), team(teams[earlier], index))
    chex.assert_tree_all_finite(result.params)
    chex.assert_trees_all_equal(result.params, teams[5])
    good, bad = ([line for line in result.history if line["seed"] == seed] for seed in (3, 5))
    assert np.isfinite([line["team_return"] for line in [*good, *bad[:3]]]).all()
    # Its return is none from then on: the team that is evaluated is an old one.
    assert np.isnan([line["team_return"] for line in bad[3:]]).all()
    assert result.best_seed == 0


def test_a_term_gets_demonstrations_for_what_it_needs_and_not_for_its_name() -> None:
    *ppo, expert = methods.METHODS["leed"].terms
    assert [term.needs_demonstrations for term in (*ppo, expert)] == [False] * 4 + [True]
    shown = methods.Method("named_otherwise", (*ppo, expert._replace(name="shown")))
    found, leed = train(method=shown, seeds=tiny_training.SEEDS), tiny_training.result()
    chex.assert_trees_all_equal(found.params, leed.params)
    for line, wanted in zip(found.history[2:], leed.history[2:], strict=True):
        assert line["loss"]["shown"] == wanted["loss"]["expert"]
        assert line["expert_weight"] == wanted["expert_weight"]
    with pytest.raises(ValueError, match="'named_otherwise' learns from demonstrations"):
        training.train(tiny_training.scenario(), None, CONFIG, method=shown)


def test_leed_covers_the_landmarks_of_simple_spread_within_50_000_steps() -> None:
    scenario = scenarios.make("mpe/simple_spread", num_agents=3)
    demos = generate_demonstrations(scenario, model="replay", num_episodes=256)
    config = TrainConfig(total_steps=50_000)
    result = training.train(scenario, demos, config, method="leed", seeds=1)
    # 6 updates of 64 * 128 steps. Measured about -34; the demonstrations have -28.
    assert result.env_steps == 49_152
    assert result.final()[0] >= -42
    assert result.final("landmarks_covered")[0] > result.history[0]["success"]["landmarks_covered"]
