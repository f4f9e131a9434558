"""Who knows the goal hides it as well as its plan does: simple_adversary and simple_push."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import execution, scenarios
from leed_jax.instructions import AgentPlan, Instruction, Plan
from leed_jax.random_plans import random_plan
from leed_jax.scenarios import Program
from leed_jax.scenarios.mpe import _contest_controls as controls
from leed_jax.scenarios.mpe import _sentences as sentences

EPISODES = 128
PLACES = jnp.array([[-1.0, 0.5], [-0.2, 0.0], [0.9, 0.0], [-1.0, 0.0], [1.0, 0.0]])
"""Adversary, two good agents, two landmarks."""


@functools.cache
def scenario(task: str) -> scenarios.Scenario:
    return scenarios.make(f"mpe/simple_{task}")


def state_of(task: str = "adversary", places: Any = PLACES, goal: int = 0) -> Any:
    with jax.numpy_dtype_promotion("standard"):  # JaxMARL's own code needs it
        state, _ = jax.jit(scenario(task).env.reset)(jax.random.key(0))
    return state.replace(p_pos=jnp.asarray(places), goal=jnp.array(goal))


def program(rows: list[list[int]], started: bool = True) -> Program:
    codes = jnp.array([row + [0] * (4 - len(row)) for row in rows])
    return Program(codes[:, 0], codes[:, 1:], jnp.full(len(rows), started))


def only(command: str, **arguments: str | float) -> AgentPlan:
    return AgentPlan((Instruction(command, arguments),))


def move(target: str, keep_distance: float = 0.0) -> AgentPlan:
    return only("MoveTo", target=target, keep_distance=keep_distance)


def executed(task: str, *plans: AgentPlan) -> execution.Executed:
    """Episodes in which each agent has one of ``plans``."""
    agents = scenario(task).env.spec.agents
    todo = dict(zip(agents, plans, strict=True))
    return run(task, [todo] * EPISODES)


def run(task: str, plans: list[Plan]) -> execution.Executed:
    """An episode of each plan; always as many, so that it compiles once."""
    return execution.execute(scenario(task), plans, jax.random.split(jax.random.key(0), EPISODES))


def score(task: str, ran: execution.Executed) -> float:
    judge = scenario(task).judge
    assert judge is not None
    return float(judge(ran.episodes).score.mean())


THEIRS, SHARED, GOAL, KNOWN = (move(t) for t in ("theirs", "shared_out", "goal", "landmark_1"))


# ------------------------------------------------------------------------------- the words


@pytest.mark.usefixtures("strict_dtypes")
def test_every_way_to_name_a_landmark_leads_there():
    distance = jnp.linalg.norm(PLACES[:3, None] - PLACES[3:], axis=-1)
    goal = jnp.array(0)
    for code, expected in (
        (controls.GOAL, [0, 0, 0]),
        (controls.DECOY, [1, 1, 1]),
        (controls.SECOND, [1, 1, 1]),
        (controls.NEAREST, [0, 0, 1]),  # 0.5; 0.8 from the one, 1.2 from the other; 0.1
        (controls.FARTHEST, [1, 1, 0]),
        (controls.THEIRS, [1, 0, 0]),  # a good agent is 0.1 from 1; the adversary 0.5 from 0
        (controls.NOT_THEIRS, [0, 1, 1]),
        (controls.SHARED_OUT, [1, 0, 1]),  # agent_0, 0.8 from the goal, is nearer than agent_1
    ):
        found = controls._landmark(jnp.full(3, code), distance, goal)
        np.testing.assert_array_equal(found, expected, err_msg=controls.TARGETS[code])


@pytest.mark.usefixtures("strict_dtypes")
def test_the_adversary_does_not_learn_the_goal_from_its_instruction():
    for goal in (0, 1):
        state = state_of(goal=goal)
        for op in (controls.MOVE_TO, controls.GUARD):
            for name in (controls.GOAL, controls.DECOY, controls.SHARED_OUT):
                target, _ = controls.resolve(state, program([[op, name, 1]] * 3), jnp.full(3, -1))
                np.testing.assert_allclose(target.point[0], PLACES[0])
                assert int(target.landmark[0]) == -1 and int(target.landmark[1]) >= 0


@pytest.mark.usefixtures("strict_dtypes")
def test_points_to_follow_and_to_guard_worked_by_hand():
    rows = [[controls.GUARD, controls.FIRST, 1, 4], [controls.FOLLOW, 2], [controls.FOLLOW, 2]]
    target, _ = controls.resolve(state_of(), program(rows), jnp.full(3, -1))
    # 0.2 from (-1, 0) towards agent_0 at (-0.2, 0); agent_1's place; its own place.
    np.testing.assert_allclose(target.point, [[-0.8, 0], [0.9, 0], [0.9, 0]], atol=1e-6)
    rows = [[controls.GUARD, controls.FIRST, 0, 4], [controls.GUARD, controls.SECOND, 2, 12]]
    rows += [[controls.MOVE_TO_POINT, 50, 0, 2]]
    target, _ = controls.resolve(state_of(), program(rows), jnp.full(3, -1))
    # Itself: the landmark. Not beyond agent_1, 0.1 from the landmark. -1.5 + 50 * 0.05 = 1.
    np.testing.assert_allclose(target.point, [[-1, 0], [0.9, 0], [1.0, -1.5]], atol=1e-6)
    np.testing.assert_allclose(target.keep_distance, [0, 0, 0.1], rtol=1e-6)


@pytest.mark.usefixtures("strict_dtypes")
def test_landmarks_are_kept_while_the_instruction_lasts_but_not_those_of_the_others():
    rows = [[controls.MOVE_TO, controls.THEIRS]] + [[controls.MOVE_TO, controls.NEAREST]] * 2
    _, kept = controls.resolve(state_of(), program(rows), jnp.full(3, -1))
    np.testing.assert_array_equal(kept, [1, 0, 1])
    # agent_0 gets to 0.05 from landmark_0 and agent_1 far away, to the left.
    moved = PLACES.at[1].set(jnp.array([-1.0, 0.05])).at[2].set(jnp.array([-3.0, 0.0]))
    _, after = controls.resolve(state_of(places=moved), program(rows, started=False), kept)
    np.testing.assert_array_equal(after, [0, 0, 1])


def test_conditions_and_measures_worked_by_hand():
    arrived, close = scenario("adversary").controls.conditions
    state = state_of(goal=1)
    target = controls.Target(
        jnp.array([[-1.0, 0.45], [0, 0], [0.9, 0.05]]), jnp.zeros(3), jnp.zeros(3, int)
    )
    np.testing.assert_array_equal(arrived(state, target), [True, False, True])
    np.testing.assert_array_equal(close(state, target), [False] * 3)
    near = state_of(places=PLACES.at[0].set(jnp.array([-0.4, 0.0])))
    np.testing.assert_array_equal(close(near, target), [True, True, False])
    read = {m.name: float(m.read(state)) for m in scenario("adversary").env.measures}
    assert read["good_distance"] == pytest.approx(0.1)  # agent_1 from (1, 0)
    assert read["adversary_distance"] == pytest.approx(np.hypot(2, 0.5), abs=1e-5)
    assert read["adversary_at_goal"] == 0


# -------------------------------------------------------------------------- what it is worth


def test_covering_both_landmarks_hides_the_goal_from_who_watches():
    open_, hidden = (executed("adversary", THEIRS, good, good) for good in (GOAL, SHARED))
    # Measured over 256 episodes: at the goal in the end in 100% and in 35%.
    assert np.mean(open_.episodes.measures["adversary_at_goal"]) > 0.95
    assert np.mean(hidden.episodes.measures["adversary_at_goal"]) < 0.55
    assert score("adversary", hidden) > score("adversary", open_) + 0.08
    assert np.asarray(hidden.episodes.record.legal).all()


def test_fixed_roles_are_told_by_who_plays_them():
    chase = only("Follow", agent="agent_0")
    fixed = executed("adversary", chase, GOAL, move("decoy"))
    shared = executed("adversary", chase, SHARED, SHARED)
    assert np.mean(fixed.episodes.measures["adversary_at_goal"]) > 0.95
    assert np.mean(shared.episodes.measures["adversary_at_goal"]) < 0.65


@pytest.mark.parametrize(("task", "good"), [("adversary", (SHARED, SHARED)), ("push", (GOAL,))])
def test_sending_the_adversary_away_gains_nothing(task, good):
    away = only("MoveToPoint", x=1.5, y=1.5, keep_distance=0.0)
    sent, guessing = executed(task, away, *good), executed(task, KNOWN, *good)
    assert np.mean(sent.episodes.measures["adversary_distance"]) > 1
    good_distance = float(np.mean(sent.episodes.measures["good_distance"]))
    assert score(task, sent) == pytest.approx(sentences.PAR - good_distance, abs=1e-5)
    assert score(task, sent) == pytest.approx(score(task, guessing), abs=0.03)


@pytest.mark.parametrize(("task", "least"), [("adversary", 0.25), ("push", 0.05)])
def test_random_plans_score_far_lower(task, least):
    plans = [random_plan(scenario(task).vocabulary, seed) for seed in range(EPISODES)]
    good = (SHARED, SHARED) if task == "adversary" else (GOAL,)
    # Measured over 256 episodes: -0.13 and -0.36 against 0.31 and 0.10.
    assert score(task, executed(task, THEIRS, *good)) > least
    assert score(task, run(task, plans)) < 0


def test_the_adversary_of_push_bars_the_way_of_who_gives_way():
    bold, timid = (executed("push", THEIRS, move("goal", d)) for d in (0.0, 0.3))
    told = scenario("push").feedback(
        timid.episodes.record.state, timid.episodes.record.memory.targets
    )
    # Measured over 256 episodes: the good agent 0.32 and 0.43 from the goal on average.
    assert np.mean(timid.episodes.measures["good_distance"]) > 0.05 + np.mean(
        bold.episodes.measures["good_distance"]
    )
    assert "sent to the goal in 100% of the steps" in told["agent_0"]


def test_the_good_agents_know_the_goal_and_their_rewards_are_of_two_sides():
    returns = np.asarray(executed("adversary", THEIRS, SHARED, SHARED).episodes.returns)
    np.testing.assert_allclose(returns[:, 1], returns[:, 2], rtol=1e-5)
    measures = executed("adversary", THEIRS, SHARED, SHARED).episodes.measures
    adversary, good = (26 * np.asarray(measures[f"{n}_distance"]) for n in ("adversary", "good"))
    np.testing.assert_allclose(returns[:, 0], -adversary, rtol=1e-4)
    np.testing.assert_allclose(returns[:, 1], adversary - good, rtol=1e-3, atol=1e-3)
