"""Plans are carried out to the letter: the program counter, step by step, on a countable world."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import line_world
import numpy as np
import pytest
from line_world import BEYOND, LEFT, NEGATIVE, RIGHT, STAY, do, go, plan

from leed_jax import execution
from leed_jax.instructions import AgentPlan
from leed_jax.scenarios import Program

pytestmark = pytest.mark.usefixtures("strict_promotion")
SCENARIO = line_world.scenario()
KEYS = jax.random.split(jax.random.key(0), 2)


def trace(*instructions: Any, **options: Any) -> execution.Step:
    """Ann's steps while she carries out a plan from place 0 (axis S first; bob stays at 5)."""
    executed = execution.execute(SCENARIO, [plan(*instructions, **options)], KEYS)
    return jax.tree.map(lambda values: np.asarray(values)[0], executed.episodes.record)


def test_a_finished_instruction_gives_way_and_the_last_one_stays_in_force():
    steps = trace(go(2), go(0))
    # Place before each step: over 2 for the first time in step 2, where the command is finished
    # (and its action, to stay, still carried out); from step 5 on the last one keeps her at 0.
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 2, 2, 1, 0, 0, 0])
    expected = [RIGHT, RIGHT, STAY, LEFT, LEFT, STAY, STAY, STAY]
    np.testing.assert_array_equal(steps.action[:, 0], expected)
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [0, 0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(steps.memory.elapsed[:, 0], [1, 2, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(steps.memory.completed[:, 0], [0, 0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(steps.memory.timed_out[:, 0], np.zeros(8))


def test_a_condition_ends_an_instruction_instead_of_being_finished():
    steps = trace(go(1, until="late"), go(0))
    # Over 1 from step 1 on, but the clock shows 4 in step 4: left in step 5, back at 0 in step 6.
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [0, 0, 0, 0, 1, 1, 1, 1])
    assert steps.memory.completed[-1, 0] == 1


def test_max_steps_ends_an_instruction_that_is_not_finished():
    steps = trace(do("right", max_steps=3), go(1, max_steps=8))
    np.testing.assert_array_equal(steps.action[:, 0], [RIGHT] * 3 + [LEFT] * 2 + [STAY] * 3)
    np.testing.assert_array_equal(steps.memory.timed_out[:, 0], [0, 0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(steps.memory.completed[:, 0], np.zeros(8))


def test_an_instruction_finished_in_its_last_allowed_step_counts_as_completed():
    steps = trace(go(2, max_steps=3), go(0))
    assert (steps.memory.completed[-1, 0], steps.memory.timed_out[-1, 0]) == (1, 0)


def test_max_steps_does_not_end_the_last_instruction():
    steps = trace(do("right", max_steps=1))
    np.testing.assert_array_equal(steps.action[:, 0], [RIGHT] * 8)
    np.testing.assert_array_equal(steps.memory.timed_out[:, 0], np.zeros(8))


def test_a_repeated_list_starts_over_and_starts_its_instructions_anew():
    steps = trace(go(1), go(0), repeat=True)
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [0, 1, 1, 0, 0, 1, 1, 0])
    # Started in steps 0, 2, 4 and 6; bob's only instruction once.
    np.testing.assert_array_equal(steps.memory.scenario[:, 0], [1, 1, 2, 2, 3, 3, 4, 4])
    np.testing.assert_array_equal(steps.memory.scenario[:, 1], np.ones(8))


def test_agents_go_through_their_lists_independently():
    steps = trace(go(1), do("right"), bob=AgentPlan((do("left", max_steps=2), go(4), go(5))))
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [0, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(steps.memory.counter[:, 1], [0, 1, 1, 2, 2, 2, 2, 2])
    np.testing.assert_array_equal(steps.state.place[:, 1], [5, 4, 3, 4, 4, 5, 5, 5])


def test_an_illegal_action_is_marked_and_the_first_legal_one_executed():
    steps = trace(go(1), do("left"))
    # Back at 0 in step 3, where she cannot go further left.
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(steps.legal[:, 0], [1, 1, 1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(steps.action[3:, 0], [STAY] * 5)


@pytest.mark.parametrize(("what", "action"), [("beyond", BEYOND), ("negative", NEGATIVE)])
def test_a_number_that_is_no_action_is_illegal(what, action):
    guide = execution.make_expert(SCENARIO, plan(do(what)))
    state, _ = SCENARIO.env.reset(KEYS[0])
    assert guide.label(state, guide.init(state))[0][0] == action
    steps = trace(do(what))
    assert not steps.legal[:, 0].any() and steps.legal[:, 1].all()
    np.testing.assert_array_equal(steps.action[:, 0], [STAY] * 8)


def test_an_expert_labels_visited_states_as_the_plan_acts():
    instructions = plan(go(2), go(0))
    guide = execution.make_expert(SCENARIO, instructions)
    steps = trace(*instructions["ann"].instructions)
    memory = guide.init(SCENARIO.env.reset(KEYS[0])[0])
    for index in range(line_world.HORIZON):
        state = jax.tree.map(lambda values, index=index: jnp.asarray(values[index]), steps.state)
        action, memory = guide.label(state, memory)
        np.testing.assert_array_equal(action, steps.action[index])


def test_demonstrations_know_the_plan_behind_them_if_there_is_a_single_one():
    demos = execution.demonstrate(SCENARIO, plan(go(2)), num_episodes=2)
    assert demos.expert is not None and demos.filter(best=0.5).expert is demos.expert
    state = SCENARIO.env.reset(KEYS[0])[0]
    chex.assert_trees_all_equal_shapes_and_dtypes(demos.expert.states, state)
    action, _ = demos.expert.label(state, demos.expert.init(state))
    np.testing.assert_array_equal(action, demos.arrays.action[0, 0])
    for change in ({"plan_kind": "concrete"}, {"plans": {}}):
        other = dataclasses.replace(demos, provenance={**demos.provenance, **change})
        assert execution.expert_behind(SCENARIO, other) is None


def test_another_plan_of_the_same_scenario_does_not_compile_again():
    scenario = line_world.scenario()
    execution.execute(scenario, [plan(go(2))], KEYS)
    execution.execute(scenario, [plan(do("right"), go(3), repeat=True)], KEYS)
    runner = execution._runner(scenario.env, scenario.vocabulary, scenario.controls)
    assert runner._cache_size() == 1


def test_a_scenario_with_other_controls_is_not_run_with_the_old_ones():
    go_to, do_it = SCENARIO.controls.controllers
    swapped = SCENARIO.controls._replace(controllers=(do_it, go_to))
    executed = execution.execute(SCENARIO._replace(controls=swapped), [plan(go(1))], KEYS)
    # Code 1 of GoTo is place 1; read by the controller of Do it means to go right for ever.
    np.testing.assert_array_equal(executed.episodes.record.action[0, :, 0], [RIGHT] * 8)


def test_room_for_more_instructions_changes_nothing():
    plans = [plan(go(1), go(0), repeat=True), plan(do("right", max_steps=2), go(1), go(0))]
    short, long = (
        execution.execute(line_world.scenario(max_instructions=length), plans, KEYS)
        for length in (3, 7)
    )
    jax.tree.map(np.testing.assert_array_equal, short, long)


def test_every_episode_runs_the_plan_it_is_given():
    plans = [plan(go(1)), plan(go(3))]
    keys = jax.random.split(jax.random.key(1), 3)
    executed = execution.execute(SCENARIO, plans, keys, np.array([1, 0, 1]))
    np.testing.assert_array_equal(executed.episodes.measures["place_last"], [3, 1, 3])
    np.testing.assert_array_equal(executed.plan_index, [1, 0, 1])
    each = execution.execute(SCENARIO, plans, keys[:2])
    np.testing.assert_array_equal(each.plan_index, [0, 1])


def test_numbers_of_plans_and_keys_that_do_not_fit_are_refused():
    plans = [plan(go(1)), plan(go(3))]
    keys = jax.random.split(jax.random.key(1), 3)
    with pytest.raises(ValueError, match="2 plans and 3 keys: plan_index is needed"):
        execution.execute(SCENARIO, plans, keys)
    for wrong in ([0, 1, 2], [0, 1, -1]):
        with pytest.raises(ValueError, match=r"plan_index must hold 3 numbers in 0\.\.1"):
            execution.execute(SCENARIO, plans, keys, np.array(wrong))


def test_what_the_vocabulary_does_not_hold_is_not_executed():
    with pytest.raises(ValueError, match="plan 0, ann, instruction 1: what must be one of"):
        execution.execute(SCENARIO, [plan(do("nothing"))], KEYS)


def test_scored_episodes_begin_at_scored_starts():
    scenario = line_world.scenario(scored=(3, 7))
    for scored, places in ((False, [0, 5]), (True, [3, 7])):
        executed = execution.execute(scenario, [plan(go(2))], KEYS, scored=scored)
        np.testing.assert_array_equal(executed.episodes.record.state.place[:, 0], [places] * 2)


def test_without_scored_starts_of_its_own_an_environment_is_scored_on_its_resets():
    env = SCENARIO.env
    assert env.scored is env and env.scored_episodes(7) == 7
    one = line_world.array_env(scored=(3, 7))
    assert one.scored.scored == one.scored and one.scored.spec == env.spec
    assert (one.scored_episodes(7), one._replace(scored_starts=9).scored_episodes(7)) == (1, 7)


# ------------------------------------------------------------------------- lists of rules


def rules(scenario: Any = SCENARIO) -> Any:
    """The world with lists of rules: to go to a place applies left of it, to do something late."""

    def applies(state: line_world.Line, program: Program, starts: Any) -> Any:
        del starts
        going = program.op == 0
        return jnp.where(going, state.place < program.arguments[:, 0], state.clock >= 4)

    return scenario._replace(
        vocabulary=scenario.vocabulary._replace(timed=False, conditions=()),
        controls=scenario.controls._replace(applies=applies, conditions=()),
    )


def test_the_first_rule_that_applies_acts_and_the_last_where_none_does():
    todo = plan(do("left"), go(2))
    executed = execution.execute(rules(), [todo], KEYS)
    steps = jax.tree.map(lambda values: np.asarray(values)[0], executed.episodes.record)
    # To go to 2 applies until she is there. Then nothing applies and the last rule keeps her;
    # from step 4 on the first one does, which she cannot follow at place 0.
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 2, 2, 2, 1, 0, 0])
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(steps.action[:6, 0], [RIGHT, RIGHT, STAY, STAY, LEFT, LEFT])
    np.testing.assert_array_equal(steps.legal[:, 0], [1, 1, 1, 1, 1, 1, 0, 0])
    # Each rule was taken up once, and no rule ever ended.
    np.testing.assert_array_equal(steps.memory.elapsed[:, 0], [1, 2, 3, 4, 1, 2, 3, 4])
    np.testing.assert_array_equal(steps.memory.scenario[:, 0], [1, 1, 1, 1, 2, 2, 2, 2])
    assert not steps.memory.completed.any() and not steps.memory.timed_out.any()


def test_a_rule_higher_up_goes_first_whenever_it_applies():
    executed = execution.execute(rules(), [plan(go(1), go(3), do("left"))], KEYS)
    steps = jax.tree.map(lambda values: np.asarray(values)[0], executed.episodes.record)
    # 0 -> 1 by the first, 1 -> 3 by the second; in step 3 no rule applies and the last one goes
    # left; at 2 the second applies again; so it goes on.
    np.testing.assert_array_equal(steps.memory.counter[:, 0], [0, 1, 1, 2, 1, 2, 1, 2])
    np.testing.assert_array_equal(steps.state.place[:, 0], [0, 1, 2, 3, 2, 3, 2, 3])


def test_the_padding_of_a_list_of_rules_never_applies():
    short, long = (
        execution.execute(
            rules(line_world.scenario(max_instructions=length)), [plan(go(1), do("left"))], KEYS
        )
        for length in (2, 7)
    )
    jax.tree.map(np.testing.assert_array_equal, short, long)


def test_an_expert_of_rules_labels_visited_states_as_the_rules_act():
    todo = plan(do("left"), go(2))
    executed = execution.execute(rules(), [todo], KEYS)
    steps = jax.tree.map(lambda values: np.asarray(values)[0], executed.episodes.record)
    guide = execution.make_expert(rules(), todo)
    memory = guide.init(SCENARIO.env.reset(KEYS[0])[0])
    for index in range(6):  # later she is told what she cannot do
        state = jax.tree.map(lambda values, index=index: jnp.asarray(values[index]), steps.state)
        action, memory = guide.label(state, memory)
        np.testing.assert_array_equal(action, steps.action[index])


def test_rules_of_a_timed_vocabulary_are_refused():
    timed = rules()._replace(vocabulary=SCENARIO.vocabulary)
    with pytest.raises(ValueError, match="a vocabulary for lists of rules must not be timed"):
        execution.make_expert(timed, plan(go(1)))
