"""Plans are scored from the starts that learners are evaluated from."""

import json

import pytest
import rich.console

import leed_jax as leed
from experiments import suite_plans, suites
from leed_jax.optimization import programs


def test_a_plan_is_scored_where_learners_are_and_only_once(tmp_path, monkeypatch):
    console = rich.console.Console(quiet=True)
    where = suite_plans.run("smoke", tmp_path, "simple_spread", console)
    (task,) = suite_plans.load(tmp_path, "smoke")
    cell = suites.cells("smoke", "simple_spread")[0]
    assert task == cell.task
    scenario = leed.make("mpe/simple_spread", num_agents=3)
    plan = leed.generate_plans(scenario, "replay").plans["any_episode"]
    wanted = leed.evaluate_policy(
        scenario,
        leed.mixed_team(scenario, dict.fromkeys(scenario.env.spec.agents, plan)),
        num_episodes=16,
        seed=programs.EVALUATION_SEED,
    )
    found = json.loads(where.read_text())["tasks"][task]
    assert found["episodes"] == 16 and found["metric"] == "team_return"
    assert found["score"] == pytest.approx(float(wanted.team_return[0]), rel=1e-5)
    monkeypatch.setattr(suite_plans, "measure", None)
    suite_plans.run("smoke", tmp_path, "simple_spread", console)


def test_a_file_of_something_else_is_refused(tmp_path):
    assert suite_plans.load(tmp_path, "paper") == {}
    where = suite_plans.path(tmp_path, "paper")
    where.parent.mkdir()
    where.write_text('{"tasks": {"x": {}}}')
    with pytest.raises(ValueError, match=r"plans\.json: not a file of plans' scores"):
        suite_plans.load(tmp_path, "paper")
