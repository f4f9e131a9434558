"""A timeline says what the executor counted: which instruction when, and how each ended."""

import jax
import line_world
import numpy as np
import pytest
from PIL import Image

from leed_jax import execution, instructions, random_plans, timeline_figure, timelines
from leed_jax.scenarios import Scenario
from leed_jax.timelines import Timeline, timeline


def told(line: Timeline, agent: str = "ann") -> list[tuple]:
    return [(each.number, each.start, each.stop, each.end) for each in line.of(agent)]


def test_ends_are_told_apart():
    # From 0: at 2 after two steps, seen there in the third; then two of five steps to 7; from
    # then on to the left, until the clock shows 4, which it does at once; and home to 0.
    plan = line_world.plan(
        line_world.go(2), line_world.go(7, max_steps=2), line_world.do("left", until="late")
    )
    line = timeline(line_world.scenario(), {**plan})
    assert told(line) == [(0, 0, 3, "finished"), (1, 3, 5, "timed out"), (2, 5, 8, "episode")]
    # bob is where he is to be, and stays told so.
    assert told(line, "bob") == [(0, 0, 8, "episode")]
    assert (line.length, line.name) == (8, "toy/line")


def test_a_condition_ends_an_instruction_and_lists_start_over():
    plan = line_world.plan(line_world.do("right", until="late"), line_world.go(3), repeat=True)
    line = timeline(line_world.scenario(), plan)
    # Places 0 to 4 at clocks 0 to 4; the condition is looked at before the step of clock 4.
    assert told(line)[0] == (0, 0, 5, "condition")
    assert line.of("ann")[1].bound == {"place": 3, "action": line_world.NEGATIVE}
    assert [number for number, *_ in told(line)] == [0, 1, 0][: len(told(line))]


def test_counts_are_the_executor_s():
    scenario = line_world.scenario(max_instructions=3, end=9)
    for seed in range(12):
        plan = random_plans.random_plan(scenario.vocabulary, seed)
        key = jax.random.key(seed)
        line = timeline(scenario, plan, key)
        memory = execution.execute(scenario, [plan], key[None], scored=True).episodes.record.memory
        for n, agent in enumerate(("ann", "bob")):
            found = line.of(agent)
            last = max(each.stop for each in found) - 1
            late = sum(each.end == "timed out" for each in found)
            done = sum(each.end in ("finished", "condition") for each in found)
            assert late == memory.timed_out[0, last, n]
            assert done == memory.completed[0, last, n]
            # Nothing between them, nothing twice.
            assert [each.start for each in found] == [0, *(each.stop for each in found[:-1])]


def test_an_agent_whose_part_is_over_is_told_no_more():
    line = timeline(line_world.scenario(end=6), line_world.plan(line_world.do("right")))
    assert told(line) == [(0, 0, 6, "dead")]
    assert told(line, "bob") == [(0, 0, 8, "episode")]  # he stays at 5


def test_illegal_actions_are_counted():
    line = timeline(line_world.scenario(), line_world.plan(line_world.do("left")))
    assert line.of("ann")[0].refused == 8  # she stands at 0
    assert "8 illegal actions" in str(line)


def rules(scenario: Scenario) -> Scenario:
    """The line with rules: an instruction applies where its place is not reached."""

    def applies(state, program, memory):
        return state.place < program.arguments[:, 0]

    return scenario._replace(
        vocabulary=scenario.vocabulary._replace(timed=False, conditions=()),
        controls=scenario.controls._replace(applies=applies, conditions=()),
    )


def test_rules_overrule_one_another():
    scenario = rules(line_world.scenario())
    # To 3 first; there the next rule applies, and leads on to 5; then none: the last is in force.
    plan = line_world.plan(line_world.go(3), line_world.go(5), line_world.go(4))
    line = timeline(scenario, plan)
    assert told(line)[:2] == [(0, 0, 3, "overruled"), (1, 3, 5, "overruled")]
    # From 5 back to 4, where the second rule applies again.
    assert told(line)[2:] == [(2, 5, 6, "overruled"), (1, 6, 7, "overruled"), (2, 7, 8, "episode")]


def test_instructions_that_were_passed_over_are_shown():
    base = line_world.scenario()

    def passed(state, program):
        return (program.op == 0) & (state.place == program.arguments[:, 0])

    scenario = base._replace(controls=base.controls._replace(passed=passed))
    line = timeline(scenario, line_world.plan(line_world.go(0), line_world.go(2)))
    assert told(line) == [(0, 0, 0, "skipped"), (1, 0, 8, "episode")]


def test_text_and_figure(tmp_path):
    plan = line_world.plan(line_world.go(2), line_world.go(7, max_steps=2), line_world.do("left"))
    line = timeline(line_world.scenario(), plan)
    said = str(line).splitlines()
    assert said[0] == f"toy/line: 8 steps, team return {line.team_return:.2f}"
    assert said[1] == "ann"
    assert said[2] == "     0-2  1. GoTo 2: finished; place 2, action 7"
    assert said[3] == "     3-4  2. GoTo 7 for 2: timed out; place 7, action -1"
    line.save(tmp_path / "all.png")
    line.save(tmp_path / "ann.png", agents=["ann"], steps=(2, 6))
    sizes = []
    for name in ("all.png", "ann.png"):
        with Image.open(tmp_path / name) as image:
            sizes.append(image.size)
            assert np.asarray(image.convert("RGB")).std() > 10
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] > sizes[1][1]
    with pytest.raises(
        ValueError, match=r"agents must be 1 to 40 of \['ann', 'bob'\], got \['eve'"
    ):
        line.save(tmp_path / "no.png", agents=["eve"])
    with pytest.raises(ValueError, match=r"steps must be within 0\.\.8, got \(4, 9\)"):
        line.save(tmp_path / "no.png", steps=(4, 9))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.png", "ann.png"]


def test_repetitions_are_one_line_and_one_label():
    # At 1 after a step, which is seen in the next; from then on there is nothing to do, each time.
    plan = line_world.plan(line_world.go(1), repeat=True)
    line = timeline(line_world.scenario(), plan)
    assert told(line) == [(0, 0, 2, "finished"), *((0, s, s + 1, "finished") for s in range(2, 8))]
    assert str(line).splitlines()[1:3] == [
        "ann",
        "     0-7  1. GoTo 1: finished 7 times, first in step 1; place 1, action 2",
    ]
    figure = timeline_figure.draw(line, ["ann"], (0, line.length), timelines.WORDS)
    assert [text.get_text() for text in figure.axes[0].texts] == ["GoTo 1"]
    assert len(figure.axes[0].patches) == 7


def test_only_repetitions_that_ended_alike_are_joined():
    # After two steps at 2, after two more at 4, which is seen in each of the last four.
    plan = line_world.plan(line_world.go(4, max_steps=2), repeat=True)
    said = str(timeline(line_world.scenario(), plan)).splitlines()
    assert said[2:4] == [
        "     0-3  1. GoTo 4 for 2: timed out 2 times, first in step 1; place 4, action 1",
        "     4-7  1. GoTo 4 for 2: finished 4 times, first in step 4; place 4, action 1",
    ]


def test_demonstrations_are_shown_by_their_plan():
    scenario, plan = line_world.scenario(), line_world.plan(line_world.go(2))
    demos = execution.demonstrate(scenario, plan, num_episodes=2)
    assert instructions.ANY_EPISODE in demos.provenance["plans"]
    assert timeline(scenario, demos) == timeline(scenario, plan)
