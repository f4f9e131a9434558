"""Demonstrations of plans that are worse than the best, by name."""

import line_world
import numpy as np
import pytest

from leed_jax import execution, instructions, plan_quality, random_plans
from leed_jax.generation import GenerationConfig, generate
from leed_jax.scenarios import make

FEW = GenerationConfig(feedback_episodes=8)
PLAN = line_world.plan(
    *(line_world.go(place) for place in (1, 2, 3)), bob=random_plans.AgentPlan((line_world.go(4),))
)


@pytest.mark.parametrize(
    "quality",
    ["good", "best:1", "corrupted", "corrupted:1.5", "corrupted:half", "random", "random:0.5"],
)
def test_other_qualities_are_refused_with_the_names_of_those_there_are(quality):
    with pytest.raises(ValueError, match=r"best, first, corrupted:<share>, random:<seed>, adv"):
        plan_quality.check(quality)


def test_corruption_replaces_the_asked_share_and_nothing_else():
    vocabulary = line_world.VOCABULARY
    assert random_plans.corrupted(PLAN, vocabulary, 0.0, 1) == PLAN
    changed = 0
    for seed in range(300):
        found = random_plans.corrupted(PLAN, vocabulary, 0.3, seed)
        for name, agent in found.items():
            assert len(agent.instructions) == len(PLAN[name].instructions)
            pairs = zip(agent.instructions, PLAN[name].instructions, strict=True)
            changed += sum(new != old for new, old in pairs)
    # Of 1,200 instructions 30 %, deviation 1.3 %; one replacement in a hundred is what was there.
    assert changed / 1200 == pytest.approx(0.3, abs=0.045)
    every = random_plans.corrupted(PLAN, vocabulary, 1.0, 5)
    assert instructions.decode(instructions.encode([every], vocabulary), vocabulary) == [every]
    assert every != PLAN and every == random_plans.corrupted(PLAN, vocabulary, 1.0, 5)
    with pytest.raises(ValueError, match="share"):
        random_plans.corrupted(PLAN, vocabulary, 1.1, 0)


def test_adversarial_is_the_worst_of_the_candidates():
    scenario = line_world.scenario()
    plans = [random_plans.random_plan(scenario.vocabulary, seed) for seed in range(6)]
    # The start is always the same, so that one episode tells what a plan is worth.
    keys = generate.demonstration_keys(0, 6)
    returns = np.asarray(execution.execute(scenario, plans, keys).episodes.returns).sum(-1)
    assert len(set(returns.tolist())) > 1
    assert plan_quality.worst(scenario, 6) == plans[int(np.argmin(returns))]
    demos = plan_quality.demonstrations(scenario, "random:3", num_episodes=2)
    np.testing.assert_allclose(demos.team_returns, returns[3], rtol=1e-6)
    assert demos.provenance["usage"]["calls"] == 0
    assert instructions.from_mapping(demos.provenance["plans"])["any_episode"] == plans[3]


def test_recorded_answers_in_all_qualities():
    scenario = make("mpe/simple_spread", num_agents=3)
    best, first, corrupted = (
        plan_quality.demonstrations(scenario, quality, num_episodes=8, config=FEW)
        for quality in ("best", "first", "corrupted:0.5")
    )
    assert len({round["round"] for round in first.provenance["rounds"]}) == 1
    assert len({round["round"] for round in best.provenance["rounds"]}) > 1
    assert corrupted.team_returns.mean() < best.team_returns.mean()
    assert corrupted.provenance["quality"] == "corrupted:0.5"
    # The same starts, so that nothing but the plan differs.
    starts = [demos.arrays.observation[:, 0] for demos in (best, first, corrupted)]
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0], starts[2])


def test_plans_of_chance_are_never_concrete():
    with pytest.raises(ValueError, match="relational"):
        plan_quality.demonstrations(line_world.scenario(), "random:1", plans="concrete")
    with pytest.raises(ValueError, match="num_episodes"):
        plan_quality.demonstrations(line_world.scenario(), "random:1", num_episodes=0)
