"""The recorded answers that come with the package: offline, up to date, and good enough."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from leed_jax import scenarios
from leed_jax.generation import (
    TranscriptDriftWarning,
    generate_demonstrations,
    generate_plans,
    records,
    transcripts,
)
from leed_jax.scenarios import Scenario

SHIPPED = [
    (3, "relational", "learnable"),
    (3, "relational", "return"),
    (3, "concrete", "return"),
    (4, "relational", "learnable"),
    (5, "relational", "learnable"),
    (6, "relational", "learnable"),
]
LARGE = [(number, "relational", "learnable") for number in (8, 16, 32)]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a replay must not use the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield


def kept(scenario: Scenario, plans: str, goal: str) -> list[records.Transcript]:
    return transcripts.recorded(records.specification(scenario, plans, goal))


def test_every_shipped_file_is_listed_here() -> None:
    files = {file.name for file in transcripts.shipped("mpe/simple_spread").iterdir()}
    assert files == {f"num_agents-{n}_{plans}_{goal}_0.json" for n, plans, goal in SHIPPED + LARGE}


@pytest.mark.parametrize(
    ("num_agents", "plans", "goal"),
    [*SHIPPED, *(pytest.param(*each, marks=pytest.mark.slow) for each in LARGE)],
)
def test_shipped_answers_replay_without_network_or_drift(
    scenario: Scenario, num_agents: int, plans: Any, goal: Any
) -> None:
    # A drift warning is an error here, like every warning.
    if num_agents != 3:  # the session's scenario has its programs compiled already
        scenario = scenarios.make("mpe/simple_spread", num_agents=num_agents)
    generated = generate_plans(scenario, "replay", plans=plans, goal=goal)
    (conversation,) = kept(scenario, plans, goal)
    assert len(generated.rounds) == len(conversation.rounds) >= 2  # an answer, and feedback on it
    assert generated.ended == () and generated.usage.source == "replay"
    for played, recorded in zip(generated.rounds, conversation.rounds, strict=True):
        assert (played.rejection is None) == recorded.outcome.valid
        # Devices round differently, and a plan's condition may then hold a step later.
        assert played.team_return == pytest.approx(recorded.outcome.team_return, rel=0.02)
    assert set(scenario.env.spec.agents) == set(next(iter(generated.plans.values())))


@pytest.mark.parametrize(("num_agents", "plans", "goal"), SHIPPED)
def test_a_recorded_round_says_who_answered_and_when(
    num_agents: int, plans: str, goal: str
) -> None:
    scenario = scenarios.make("mpe/simple_spread", num_agents=num_agents)
    (conversation,) = kept(scenario, plans, goal)
    for number, recorded in enumerate(conversation.rounds, 1):
        assert recorded.round == number and recorded.source == "chat"
        assert recorded.model and recorded.date.startswith("20")


@pytest.mark.parametrize(
    # Measured -27.9 and -23.4; the standard error of a mean is about 0.35.
    ("goal", "least"),
    [("learnable", -34.0), ("return", -29.0)],
)
def test_demonstrations_for_three_agents_are_as_good_as_promised(
    scenario: Scenario, goal: Any, least: float
) -> None:
    demos = generate_demonstrations(scenario, model="replay", goal=goal, num_episodes=1000)
    assert demos.num_episodes == 1000
    assert demos.team_returns.mean() >= least


def test_the_plan_for_the_highest_return_sends_agents_to_what_is_free(scenario: Scenario) -> None:
    generated = generate_plans(scenario, goal="return")
    (plan,) = generated.plans.values()
    used = [row.arguments for agent in plan.values() for row in agent.instructions]
    assert any("nearest_free" in arguments.values() for arguments in used)


def test_a_prompt_that_has_changed_is_reported_and_its_answers_still_hold(
    scenario: Scenario,
) -> None:
    drifted = scenario._replace(task="Another task.")
    with pytest.warns(TranscriptDriftWarning, match=r"the prompt is not the .* is 'Another task.'"):
        changed = generate_plans(drifted, "replay")
    assert changed.plans == generate_plans(scenario, "replay").plans
