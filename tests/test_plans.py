"""Plans written by hand are short, and checked as a model's answer is."""

import line_world
import numpy as np
import pytest

from leed_jax import execution, instructions, random_plans
from leed_jax.answers import InvalidAnswerError
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.plans import plan, random_plan

SCENARIO = line_world.scenario()


def test_every_way_to_write_an_instruction_is_the_same_instruction():
    go = Instruction("GoTo", {"place": 3}, "met", 2)
    ends = {"until": "met", "max_steps": 2}
    forms = [
        ("GoTo", 3, ends),
        ("GoTo", {"place": np.int64(3), **ends}),
        {"command": "GoTo", "place": 3, **ends},
        go,
    ]
    for form in forms:
        found = plan(SCENARIO, {"ann": [form, ("Do", "left")], "bob": AgentPlan((go,), True)})
        assert found["ann"] == AgentPlan((go, line_world.do("left")))
        assert found["bob"] == AgentPlan((go,), True)
        instructions.encode([found], SCENARIO.vocabulary)


def test_one_list_serves_all_and_repeats_where_it_is_said():
    found = plan(SCENARIO, [("GoTo", 1), ("GoTo", 2)], repeat=("bob",))
    lists = (line_world.go(1), line_world.go(2))
    assert found == {"ann": AgentPlan(lists), "bob": AgentPlan(lists, True)}
    assert all(each.repeat for each in plan(SCENARIO, [("GoTo", 1)], repeat=True).values())


def test_faults_are_named_as_a_model_is_told_of_them():
    with pytest.raises(InvalidAnswerError) as caught:
        plan(SCENARIO, {"ann": ["Jump", ("GoTo", 30)], "eve": [("Do", "sing")]})
    said = str(caught.value)
    assert "ann, instruction 1: unknown command 'Jump'; allowed: 'GoTo', 'Do'" in said
    assert "ann, instruction 2, command GoTo, field place" in said and "equal to 9" in said
    assert "eve: is not a known name here; allowed: ann, bob" in said
    assert "bob: is missing" in said


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([("GoTo", 1, 2)], r"ann, instruction 1: GoTo takes place; got \[1, 2\]"),
        ([("GoTo", 1, {"place": 2})], "ann, instruction 1: GoTo is given place twice"),
        ([("GoTo", 1), 7], "ann, instruction 2: must be a command's name, or a tuple"),
        ({"ann": "GoTo", "bob": []}, "ann: must be a list of instructions, got 'GoTo'"),
        ([("GoTo", object())], "is neither a text nor a number"),
    ],
)
def test_what_is_no_instruction_is_refused(told, message):
    with pytest.raises(ValueError, match=message):
        plan(SCENARIO, told)


def test_unknown_agents_do_not_repeat():
    with pytest.raises(ValueError, match=r"repeat: agents are \['ann', 'bob'\], got \['eve'\]"):
        plan(SCENARIO, [("GoTo", 1)], repeat=["eve"])


def test_a_random_plan_is_the_vocabulary_s_and_runs():
    found = random_plan(SCENARIO, seed=4)
    assert found == random_plans.random_plan(SCENARIO.vocabulary, 4)
    assert execution.demonstrate(SCENARIO, found, num_episodes=2).num_episodes == 2
