"""What a scenario may change about the wording of its prompts, and what changes with it."""

from typing import Any

import jax
import jax.numpy as jnp
import line_world
import pytest

from leed_jax import episodes, execution
from leed_jax.generation import feedback, prompts
from leed_jax.generation.prompts import Review
from leed_jax.instructions import AgentPlan, Choice, Command
from leed_jax.scenarios import EVERYONE, Scenario

TOY = line_world.scenario()


def prompt(scenario: Scenario, *reviews: Review, kind: prompts.PlanKind = "relational") -> str:
    start = episodes.reset_state(scenario.env, jax.random.key(0))
    starts = [start] if kind == "relational" else [start, start]
    found = prompts.request(scenario, kind=kind, goal="return", starts=starts, reviews=reviews)
    return found.text


def section(text: str, title: str) -> str:
    return text.split(f"# {title}\n")[1].split("\n\n# ")[0]


def team(*agents: str) -> Scenario:
    return TOY._replace(vocabulary=TOY.vocabulary._replace(agents=agents))


def untimed(max_instructions: int = 3) -> Scenario:
    vocabulary = TOY.vocabulary._replace(timed=False, max_instructions=max_instructions)
    return TOY._replace(vocabulary=vocabulary)


def executed(scenario: Scenario) -> feedback.Score:
    """Ann goes to 2 and back within the episode; bob stays."""
    plan = line_world.plan(line_world.go(2), line_world.go(0), line_world.go(0))
    ran = execution.execute(scenario, [plan], jax.random.split(jax.random.key(0), 2))
    return feedback.score(scenario, {"any_episode": plan}, ran)


# ------------------------------------------------------------------------------ without times


def test_without_times_the_prompt_speaks_of_none() -> None:
    text = prompt(untimed())
    for word in ("max_steps", "until", "repeat", "met", "late"):
        assert f'"{word}"' not in text and f"- {word}" not in text and f" {word} " not in text
    assert section(text, "How instructions are carried out") == (
        "Every agent works through a list of its own, all agents at the same time. An instruction "
        "ends when its command is finished; then the next one starts. The last one stays in force."
        "\nAn agent has 1 to 3 instructions."
    )
    assert '"ann": {"instructions": [{"command": "Do", "what": "left"}]}, "bob": ...' in text
    assert "\nAn agent has 1 instruction." in prompt(untimed(max_instructions=1))


def test_without_times_a_review_can_be_given_back_as_it_is() -> None:
    scenario = untimed()
    score = executed(scenario)
    assert score.agents["ann"] == (
        "of its 3 instructions, per episode 2.0 ended as finished, 0.0 were never started"
    )
    plans = {"any_episode": {agent: AgentPlan((line_world.go(1),)) for agent in ("ann", "bob")}}
    review = Review(
        "", None, plans, score.team_return, score.measures, score.agents, score.team_return
    )
    assert (
        '{"plans": {"any_episode": {"ann": {"instructions": [{"command": "GoTo", "place": 1}]}, '
        '"bob": {"instructions": [{"command": "GoTo", "place": 1}]}}}}\n'
    ) in prompt(scenario, review)


# -------------------------------------------------------------------------------- other words


def test_a_choice_may_be_shown_instead_of_listed() -> None:
    places = tuple(f"p{number}" for number in range(300))
    shown = 'the name of a place in the list above, such as "p12"'
    commands = (Command("Visit", "go there", (Choice("place", places, "where to", shown),)),)
    scenario = TOY._replace(vocabulary=TOY.vocabulary._replace(commands=commands))
    text = prompt(scenario)
    assert section(text, "Commands") == f"- Visit: go there.\n  - place, {shown}: where to."
    assert "p299" not in text


def test_a_scenario_may_ask_in_its_own_words() -> None:
    asking = TOY._replace(plan_request="Write the timetable of this day:", describe=lambda _: "Mo")
    assert section(prompt(asking), "Episodes") == "Write the timetable of this day:\nMo"
    # Plans for given starts are asked for as ever.
    assert "timetable" not in prompt(asking, kind="concrete")
    usual = section(prompt(asking._replace(plan_request=None)), "Episodes")
    assert usual == (
        "Write one plan. It is carried out unchanged in thousands of episodes with different "
        "starts, so it must make sense in all of them. An example of a start:\nMo"
    )


def test_what_concerns_everyone_is_told_before_the_agents() -> None:
    told = {EVERYONE: "The road was full.\nBusiest: a, b.", "ann": "late"}
    plans = {"any_episode": line_world.all_right()}
    scored = executed(TOY._replace(feedback=lambda states, targets: told))
    assert scored.everyone == told[EVERYONE] and list(scored.agents) == ["ann", "bob"]
    review = Review("", None, plans, 1.0, {"delay": 2.0}, {"ann": "late"}, 1.0)
    without = prompt(TOY, review)
    assert "\n- delay: 2.00\n- ann: late\n" in without
    assert "\n- delay: 2.00\nThe road was full.\nBusiest: a, b.\n- ann: late\n" in prompt(
        TOY, review._replace(everyone=told[EVERYONE])
    )
    assert executed(TOY).everyone is None


# ------------------------------------------------------------------------------------- teams


@pytest.mark.parametrize(
    ("count", "form", "every"),
    [
        (1, "}]", "agent: car_0."),
        (2, '}, "car_1": ...}', "agent: car_0, car_1."),
        (12, ', "car_11": ...}', "agent: " + ", ".join(f"car_{n}" for n in range(12)) + "."),
        (13, '}, "car_1": ..., and so on to "car_12": ...}', "agent, car_0 to car_12."),
        (64, '}, "car_1": ..., and so on to "car_63": ...}', "agent, car_0 to car_63."),
    ],
)
def test_a_large_team_is_not_listed_by_name(count: int, form: str, every: str) -> None:
    text = section(prompt(team(*(f"car_{n}" for n in range(count)))), "Answer")
    assert '{"any_episode": {"car_0": {"instructions": ' in text
    assert form in text and text.endswith(f"\nEvery plan holds every {every}")
    assert (text.count("car_5") > 0) == (5 < count <= 12)


# ------------------------------------------------------------------------------ lists of rules


def rules() -> Scenario:
    """Going to a place applies left of it, doing something from time 4 on."""

    def applies(state: Any, program: Any, memory: Any) -> Any:
        del memory
        going = program.op == 0
        return jnp.where(going, state.place < program.arguments[:, 0], state.clock >= 4)

    scenario = untimed()
    return scenario._replace(
        vocabulary=scenario.vocabulary._replace(conditions=()),
        controls=scenario.controls._replace(applies=applies, conditions=()),
    )


def test_where_plans_are_lists_of_rules_the_prompt_says_so() -> None:
    assert section(prompt(rules()), "How instructions are carried out") == (
        "An agent's instructions are a list of rules in order of priority. Whenever it is to act, "
        "the first rule of its list that applies decides its action, and the next time the search "
        "begins at the top again; rules are never used up. Where no rule applies, the task says "
        "what is done.\nAn agent has 1 to 3 rules."
    )


def test_of_rules_it_is_told_how_often_each_decided() -> None:
    scenario = rules()
    plan = line_world.plan(line_world.do("right"), line_world.go(2), line_world.go(1))
    ran = execution.execute(scenario, [plan], jax.random.split(jax.random.key(0), 2))
    # To 2 in two steps; there no rule applies: by the third to 1, and back; then right.
    told = "decisions per episode by rule (those where none applied count for the last): "
    score = feedback.score(scenario, {"any_episode": plan}, ran)
    assert score.agents["ann"] == f"{told}1 Do 4.0, 2 GoTo 3.0, 3 GoTo 1.0"
    assert score.agents["bob"] == f"{told}1 GoTo 8.0"
    # Of several plans, each in its place; and steps that are no decisions do not count.
    other = line_world.plan(line_world.do("right"))
    both = execution.execute(scenario, [plan, other], jax.random.split(jax.random.key(0), 2))
    record = both.episodes.record
    decision = record.time_step.decision.at[:, 0].set(False)
    record = record._replace(time_step=record.time_step._replace(decision=decision))
    both = both._replace(episodes=both.episodes._replace(record=record))
    score = feedback.score(scenario, {"episode_0": plan, "episode_1": other}, both)
    assert score.agents["ann"] == f"{told}1 Do 4.0, 2 GoTo 2.0, 3 GoTo 1.0 | 1 Do 7.0"
