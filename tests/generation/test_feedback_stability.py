"""What errors of others do to an agent's own return, on a task where it can be counted."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest

from leed_jax import execution
from leed_jax.generation import GenerationConfig, prompts, scoring, stability
from leed_jax.generation.reviewers import Attempt
from leed_jax.generation.stability import StabilityReviewer, measure
from leed_jax.instructions import AgentPlan, Command, Instruction, Plan, Vocabulary
from leed_jax.scenarios import Controls, Scenario
from leed_jax.types import ArrayEnv, EnvSpec, Expert, TimeStep

HORIZON = 8
WORK = AgentPlan((Instruction("Work", {}),))
HARM = np.array([[5.0, 1.0, 0.25], [0.0, 5.0, 0.5], [2.0, 0.0, 5.0]])
"""[i, j]: what agent i loses in a step in which agent j idles; its own idling costs most."""


def workshop(harm: Any = HARM) -> Scenario:
    """Agents work (0) or idle (1); a step is worth 1 to each, less what idlers cost it."""
    loss = jnp.asarray(harm, jnp.float32)
    count = len(harm)
    agents = ("ann", "bob", "cleo")[:count]

    def time_step(clock: Any, reward: Any) -> TimeStep:
        return TimeStep(
            observation=jnp.zeros((count, 1)),
            reward=reward,
            terminated=jnp.zeros(count, bool),
            truncated=clock >= HORIZON,
            action_mask=jnp.ones((count, 2), bool),
            decision=jnp.ones(count, bool),
            global_state=jnp.zeros(1),
        )

    def step(key: Any, clock: Any, action: Any) -> Any:
        del key
        idle = (action == 1).astype(jnp.float32)
        return clock + 1, time_step(clock + 1, 1.0 - loss @ idle)

    return Scenario(
        name="toy/workshop",
        options={},
        env=ArrayEnv(
            lambda key: (jnp.array(0), time_step(jnp.array(0), jnp.zeros(count))),
            step,
            EnvSpec("toy/workshop", agents, (1,) * count, (2,) * count, HORIZON),
        ),
        vocabulary=Vocabulary(agents, (Command("Work", "work; never finished"),), (), HORIZON, 1),
        task="Work.",
        describe=str,
        controls=Controls(
            lambda state: (),
            lambda state, program, memory: (jnp.zeros(count), memory),
            (lambda target, state, agent: (jnp.array(0), jnp.array(False)),),
        ),
        advice={"learnable": "", "return": ""},
        feedback=lambda states, targets: dict.fromkeys(agents, ""),
        draw=lambda axes, state, targets: None,
    )


def plan(scenario: Scenario) -> Plan:
    return dict.fromkeys(scenario.env.spec.agents, WORK)


SHOP, PAIR = workshop(), workshop(np.zeros((2, 2)))
"""Once for all tests, which so share compiled programs."""
KEYS = jax.random.split(jax.random.key(4), 5)


def idled(share: float) -> np.ndarray:
    """[K N]: steps in which each of three agents idles by error, drawn here step by step."""
    counts = np.zeros((len(KEYS), 3))
    for k, key in enumerate(KEYS):
        acting = jax.random.split(key, 3)[2]
        for index in range(HORIZON):
            drawing, erring = jax.random.split(jax.random.fold_in(acting, index))
            drawn = jax.random.categorical(drawing, jnp.zeros((3, 2)))
            errs = jax.random.uniform(erring, (3,)) < share
            counts[k] += np.asarray(errs & (drawn == 1))
    return counts


@pytest.fixture(scope="module")
def found() -> stability.Stability:
    return measure(SHOP, [plan(SHOP)], KEYS, share=0.3)


def test_returns_are_those_of_the_errors_that_were_drawn(found: stability.Stability) -> None:
    np.testing.assert_array_equal(found.plan, np.full((5, 3), HORIZON))
    assert found.one_errs is not None and found.one_random is not None
    for share, together, alone in (
        (0.3, found.others_err, found.one_errs),
        (1.0, found.others_random, found.one_random),
    ):
        counts = idled(share)
        assert 0 < counts.sum() < HORIZON * 15
        for n in range(3):
            cost = counts * np.where(np.arange(3) == n, 0, HARM[n])
            np.testing.assert_allclose(together[:, n], HORIZON - cost.sum(1), atol=1e-5)
            for j in range(3):
                lost = counts[:, j] * HARM[n, j]
                np.testing.assert_allclose(alone[j, :, n], HORIZON - lost, atol=1e-5)


def test_volatility_is_the_deviation_over_the_conditions(found: stability.Stability) -> None:
    little, much = idled(0.3).mean(0), idled(1.0).mean(0)
    # Ann's: nobody errs, the others do, bob does, cleo does; little and much. Never ann herself.
    bob, cleo = HARM[0, 1], HARM[0, 2]
    losses = [0.0]
    for counts in (little, much):
        losses += [bob * counts[1] + cleo * counts[2], bob * counts[1], cleo * counts[2]]
    assert found.mean[0] == pytest.approx(HORIZON - np.mean(losses), abs=1e-5)
    assert found.deviation[0] == pytest.approx(np.std(losses), abs=1e-5)


def test_conditions_in_batches_are_the_same_program(
    found: stability.Stability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stability, "_ELEMENTS", 4 * 5 * HORIZON * 3)  # 13 conditions, 4 at a time
    scenario = workshop()  # functions of its own, so that no compiled program is found
    again = measure(scenario, [plan(scenario)], KEYS, share=0.3)
    for one, other in zip(found[1:], again[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def attempt(scenario: Scenario, keys: Any = KEYS) -> Attempt:
    plans = {"any_episode": plan(scenario)}
    executed = execution.execute(scenario, list(plans.values()), keys, scored=True)
    return Attempt(scenario, plans, "relational", keys, executed)


def test_every_agent_gets_a_sentence(found: stability.Stability) -> None:
    remarks = StabilityReviewer(0.3, 64)(attempt(SHOP))
    (line,) = remarks.team
    assert "on 5 of the same starts, with errors (random legal actions)" in line
    counts, much = idled(0.3).mean(0), idled(1.0).mean(0)
    both, more = counts[1] + counts[2] / 4, much[1] + much[2] / 4
    assert remarks.agents["ann"] == (
        f"its own return is 8.00 and changes by {-both:+.2f} when the others err in 30 % of their "
        f"steps (bob alone: {-counts[1]:+.2f}, cleo alone: {-counts[2] / 4:+.2f}), by "
        f"{-more:+.2f} when they act at random; deviation over all these cases "
        f"{found.deviation[0]:.2f}"
    )
    assert "(ann alone: +0.00, cleo alone: " in remarks.agents["bob"]


def test_two_agents_are_not_singled_out_and_one_has_no_others() -> None:
    pair = StabilityReviewer(0.5, 5)(attempt(PAIR))
    assert "on 5 of the same starts" in pair.team[0]
    assert pair.agents["bob"] == (
        "its own return is 8.00 and changes by +0.00 when the others err in 50 % of their steps, "
        "by +0.00 when they act at random; deviation over all these cases 0.00"
    )
    alone = workshop([[3.0]])
    empty: Any = None  # nothing is executed for a single agent
    assert StabilityReviewer()(Attempt(alone, {}, "relational", KEYS, empty)) == ((), {})


def test_without_errors_it_is_what_was_scored_from_scored_starts() -> None:
    scenario = line_world.scenario(start=None, scored=(1, 4))
    plans = [line_world.all_right(), line_world.plan(line_world.do("left"))]
    index = np.array([0, 1, 1])
    executed = execution.execute(scenario, plans, KEYS[:3], index, scored=True)
    found = measure(scenario, plans, KEYS[:3], index)
    np.testing.assert_array_equal(found.plan, executed.episodes.returns)
    # These two do not depend on each other, so nothing moves; and plan 1 is not plan 0.
    np.testing.assert_array_equal(found.others_random, found.plan)
    assert found.one_errs is None and found.plan[0, 0] != found.plan[1, 0]


def test_who_errs_acts_at_random_also_where_actions_are_continuous() -> None:
    planned = jnp.full((2, 3), 0.5)
    guide = Expert(lambda state: (), lambda state, memory: (planned, memory))
    mask = jnp.ones((2, 3), bool)
    step = TimeStep(planned, jnp.zeros(2), jnp.zeros(2, bool), jnp.array(False), mask, mask[:, 0],
                    jnp.zeros(1))  # fmt: skip
    policy = stability.erring(guide, jnp.array([0.0, 1.0]), continuous=True)
    _, action = policy.act(policy.init((), step), (), step, jax.random.key(1))
    drawn = jax.random.uniform(jax.random.split(jax.random.key(1))[0], (2, 3), minval=-1.0)
    np.testing.assert_array_equal(action, jnp.stack([planned[0], drawn[1]]))


def test_what_cannot_be_measured_is_refused() -> None:
    for share in (0.0, 1.0, 2.0):
        with pytest.raises(ValueError, match=r"share must be in \(0, 1\)"):
            StabilityReviewer(share)
        with pytest.raises(ValueError, match=r"generation\.stability_share must be in \(0, 1\)"):
            GenerationConfig(stability_share=share)
    with pytest.raises(ValueError, match="num_episodes must be at least 1"):
        StabilityReviewer(num_episodes=0)
    with pytest.raises(ValueError, match=r"generation\.stability_episodes must be a whole number"):
        GenerationConfig(stability_episodes=0)


def test_it_is_asked_for_by_a_setting_and_stands_behind_everything_else() -> None:
    assert scoring.reviewers_of(GenerationConfig()) == []
    config = dataclasses.replace(GenerationConfig(), stability=True, stability_share=0.3)
    reviewers = scoring.reviewers_of(config)
    assert reviewers == [StabilityReviewer(0.3, 16)]
    plans = {"any_episode": plan(PAIR)}
    score = scoring.score(PAIR, plans, "relational", KEYS, reviewers)
    review = prompts.Review(
        "", None, plans, score.team_return, score.measures, score.agents, score.team_return,
        remarks=score.remarks,
    )  # fmt: skip
    asked = prompts.request(
        PAIR, kind="relational", goal="return", starts=[jnp.array(0)], reviews=[review]
    )
    own = (
        "its only instruction stayed in force; its own return is 8.00 and changes by +0.00 when "
        "the others err in 30 % of their steps, by +0.00 when they act at random; deviation over "
        "all these cases 0.00"
    )
    assert asked.text.split(f"# {prompts.REVIEW}\n")[1] == (
        "Answer 1 was carried out:\n"
        '{"plans": {"any_episode": {"ann": {"instructions": [{"command": "Work"}], "repeat": '
        'false}, "bob": {"instructions": [{"command": "Work"}], "repeat": false}}}}\n'
        "The team's score was 16.0 per episode on average.\n"
        f"- ann: {own}\n- bob: {own}\n"
        "While an agent learns, the others do not follow the plan yet. So the answer was also "
        "carried out, on 5 of the same starts, with errors (random legal actions) of all agents "
        "but one; what that does to the own return of this one is said above. The less it "
        "changes, the steadier is what an agent learns from.\n"
        "Improve on it where you can, and give the whole answer again."
    )
