"""How imitators of a plan fare: one short cloning of a plan that half of the team can follow."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import execution, imitation_feedback
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.episodes import Episodes
from leed_jax.generation.reviewers import Attempt
from leed_jax.imitation_feedback import Imitated, ImitationReviewer, imitate
from leed_jax.instructions import AgentPlan
from leed_jax.optimization.results import TrainResult
from leed_jax.types import TimeStep

CONFIG = TrainConfig(
    total_steps=40 * 32,
    num_envs=4,
    rollout_steps=8,
    num_epochs=1,
    num_minibatches=4,
    learning_rate=1e-2,
    eval_every_steps=40 * 32,
    eval_episodes=1,
    network=NetworkConfig(hidden_sizes=(16,)),
    expert=ExpertConfig(batch_size=32),
)
TOY = line_world.scenario(start=None)
PLAN = line_world.plan(
    # She turns round when the clock shows 4, which she does not see.
    line_world.do("right", until="late"),
    line_world.do("left"),
    bob=AgentPlan((line_world.do("left"),)),
)
KEYS = jax.random.split(jax.random.key(9), 12)


def attempt(kind: Any = "relational") -> Attempt:
    executed = execution.execute(TOY, [PLAN], KEYS, scored=True)
    return Attempt(TOY, {"any_episode": PLAN}, kind, KEYS, executed)


@pytest.fixture(scope="module")
def cloned() -> tuple[Imitated, TrainResult]:
    """And the team that was trained for it."""
    trained = []

    def train(*arguments: Any, **options: Any) -> TrainResult:
        trained.append(imitating_train(*arguments, **options))
        return trained[0]

    imitating_train = imitation_feedback.train
    demos = execution.demonstrate(TOY, PLAN, num_episodes=20, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imitation_feedback, "train", train)
        found = imitate(attempt(), demos, CONFIG, seed=3)
    (result,) = trained
    assert (result.method, result.seeds) == ("bc", (3,))
    return found, result


def test_the_plan_and_its_imitators_play_the_same_starts(
    cloned: tuple[Imitated, TrainResult],
) -> None:
    found, _ = cloned
    tried = attempt().executed.episodes
    np.testing.assert_array_equal(found.plan.returns, tried.returns)
    np.testing.assert_array_equal(found.plan.measures["place_sum"], tried.measures["place_sum"])
    assert found.imitators.returns.shape == (12, 2)
    assert not np.array_equal(found.imitators.returns, found.plan.returns)


def test_an_agent_agrees_with_the_plan_as_far_as_it_sees_what_the_plan_sees(
    cloned: tuple[Imitated, TrainResult],
) -> None:
    # Again, from the recorded episodes: what does the trained team do in each of their steps?
    found, result = cloned
    policy, step = result.policy(0), attempt().executed.episodes.record

    def would(now: TimeStep) -> Any:
        return policy.act(policy.init((), now), (), now, jax.random.key(0))[1]

    action = jax.jit(jax.vmap(jax.vmap(would)))(step.time_step)
    legal = np.asarray(step.legal)
    same = np.asarray(action == step.action) & legal
    expected = same.sum((0, 1)) / legal.sum((0, 1))
    np.testing.assert_allclose(found.agreement, expected, rtol=1e-6)
    # Bob always does one thing; ann, who sees where she is and not the time, has to guess.
    assert found.agreement[1] == 1.0 and 0.5 < found.agreement[0] < 0.95
    assert not legal[:, :, 1].all()  # at the end of the line bob's instruction does not count


def hand_made(returns: Any, **measures: Any) -> Episodes:
    number = len(returns)
    return Episodes(
        returns=jnp.asarray(returns, jnp.float32),
        measures={name: jnp.asarray(values, jnp.float32) for name, values in measures.items()},
        length=jnp.full(number, 8),
        valid=jnp.ones((number, 8), bool),
        rewards=jnp.zeros((number, 8, 2)),
        record=(),
    )


def test_what_the_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Imitated(
        hand_made([[1, 2], [3, 4]], place_last=[1, 3], place_mean=[2, 2], place_sum=[0, 10]),
        hand_made([[0, 1], [0, 2]], place_last=[5, 7], place_mean=[2, 2], place_sum=[4, 8]),
        np.array([0.75, np.nan]),
    )
    monkeypatch.setattr(imitation_feedback, "imitate", lambda *_: made)
    monkeypatch.setattr(imitation_feedback, "MAX_MEASURES", 2)
    reviewer = ImitationReviewer(CONFIG, num_episodes=20)
    remarks = reviewer(attempt())
    # place_last: 4 apart, deviations 1 and 1; place_sum: 1 apart, 5 and 2; place_mean: equal.
    assert remarks.team == (
        "Learners that see nothing but their own observation have imitated this answer "
        "(behavioural cloning of 20 episodes, a short training). On the same starts their score "
        "was 1.5 per episode on average, that of the instructions themselves 5.0. They differ "
        "most in:",
        "- place_last (ann's): imitators 6.00, instructions 2.00",
        "- place_sum (ann's): imitators 6.00, instructions 5.00",
    )
    assert remarks.agents == {
        "ann": "its imitator's own return is 0.00 instead of 2.00; it would do the same in 75.0 % "
        "of the decisions",
        "bob": "its imitator's own return is 1.50 instead of 3.00",
    }
    monkeypatch.setattr(imitation_feedback, "MAX_MEASURES", 3)
    remarks = reviewer(attempt("concrete"))
    assert "cloning of 12 episodes" in remarks.team[0]  # those of the given starts
    assert remarks.team[0].endswith("They differ in:") and len(remarks.team) == 4


def test_a_plan_without_a_legal_action_is_not_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imitation_feedback, "imitate", None)  # must not come to that
    never = {agent: AgentPlan((line_world.do("beyond"),)) for agent in line_world.AGENTS}
    executed = execution.execute(TOY, [never], KEYS, scored=True)
    tried = Attempt(TOY, {"any_episode": never}, "relational", KEYS, executed)
    (line,) = ImitationReviewer(CONFIG, 4)(tried).team
    assert line.startswith("The plan could not be imitated: ")


def test_what_cannot_be_cloned_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ValueError, match="num_episodes must be at least 1, got 0"):
        ImitationReviewer(num_episodes=0)
    visited = dataclasses.replace(CONFIG.expert, labels="visited")
    with pytest.raises(ValueError, match=r"expert\.labels must be 'demonstrations'"):
        ImitationReviewer(CONFIG.replace(expert=visited))


def test_of_continuous_actions_it_is_told_how_far_they_are_apart() -> None:
    mask = jnp.array([[True, True], [True, False]])
    step = TimeStep(mask, jnp.zeros(2), jnp.zeros(2, bool), jnp.array(False), mask, mask[:, 0],
                    jnp.zeros(1))  # fmt: skip
    plan, imitator = jnp.array([[0.5, 2.0], [0.0, 0.0]]), jnp.array([[0.0, 1.0], [0.2, 0.9]])
    # Beyond the bounds there is nothing more, and bob has one component alone.
    apart = imitation_feedback._alike(step, plan, imitator)
    np.testing.assert_allclose(apart, [0.25, 0.2], atol=1e-6)
    env = TOY.env._replace(spec=TOY.env.spec._replace(continuous=True))
    made = Imitated(hand_made([[1, 2]]), hand_made([[1, 1]]), np.asarray(apart))
    said = imitation_feedback._sentence(TOY._replace(env=env), made, 1)
    assert said == (
        "its imitator's own return is 1.00 instead of 2.00; the imitator's action is off by 0.20 "
        "per component (of -1 to 1)"
    )
