"""A team that is asked in groups: own prompts, one plan for all, recorded and replayed."""

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import jax
import line_world
import pytest
from generation.fakes import Scripted

from leed_jax import episodes
from leed_jax.generation import (
    AnswersNeeded,
    GenerationConfig,
    GenerationError,
    RoundResult,
    feedback,
    generate_plans,
    groups,
    transcripts,
)
from leed_jax.generation.groups import Question
from leed_jax.scenarios import EVERYONE, Scenario

WORDS = 600
"""Characters about every agent in the task, so that a group's prompt is longer by 200 tokens."""


def worded(scenario: Scenario, agents: tuple[str, ...]) -> Scenario:
    """``scenario`` in words about ``agents``."""
    return scenario._replace(
        task="\n".join(f"{agent} walks. ".ljust(WORDS - 1, "-") for agent in agents),
        describe=lambda state: f"{', '.join(agents)} on a line.",
        vocabulary=scenario.vocabulary._replace(agents=agents),
        for_agents=lambda own: worded(scenario, own),
    )


@pytest.fixture(scope="module")
def team() -> Scenario:
    told = {"ann": "ann walked", "bob": "bob walked", EVERYONE: "All walked.\nNobody ran."}
    toy = line_world.scenario()._replace(feedback=lambda states, targets: told)
    return worded(toy, line_world.AGENTS)


def question(scenario: Scenario) -> Question:
    start = episodes.reset_state(scenario.env, jax.random.key(0))
    return Question(scenario, "relational", "learnable", [start])


@pytest.fixture
def config(team: Scenario) -> GenerationConfig:
    """Too few tokens for a prompt about two agents, enough for a prompt about one."""
    whole = question(team).request().tokens
    return GenerationConfig(max_rounds=3, feedback_episodes=2, max_prompt_tokens=whole - 100)


def go(agent: str, place: int) -> str:
    return answer(**{agent: {"command": "GoTo", "place": place}})


def right(agent: str) -> str:
    return answer(**{agent: {"command": "Do", "what": "right"}})


def answer(**agents: Any) -> str:
    plan = {agent: {"instructions": [item]} for agent, item in agents.items()}
    return json.dumps({"plans": {"any_episode": plan}})


REPAIRED = [
    {0: go("ann", 0), 1: "Bob stays."},
    {1: go("bob", 5)},
    {0: right("ann"), 1: right("bob")},
]
"""Bob's first answer is rejected, so that he alone is asked in the second round."""


# ------------------------------------------------------------------------------ who, with whom


def test_a_team_is_split_in_order_into_equal_groups() -> None:
    assert groups.split("abcdef", 3) == [("a", "b"), ("c", "d"), ("e", "f")]
    assert groups.split("abcde", 2) == [("a", "b"), ("c", "d", "e")]
    assert groups.split("ab", 1) == [("a", "b")]


def test_the_fewest_groups_whose_prompts_all_fit_are_taken(team: Scenario) -> None:
    seven = worded(team, tuple("tuvwxyz"))

    def longest(count: int) -> int:
        asked = groups.questions(question(seven), count)
        return max(one.request().tokens for one in asked)

    # 7 agents in 4 groups are 1, 2, 2, 2, and in 5 or 6 groups still two together.
    assert longest(1) > longest(2) > longest(3) > longest(4) > longest(7)
    for count in (1, 2, 3, 4, 7):
        assert groups.fewest(question(seven), longest(count)) == count
    with pytest.raises(GenerationError, match=r"prompt for a single agent .*max_prompt_tokens = "):
        groups.fewest(question(seven), longest(7) - 1)
    assert groups.fewest(question(seven._replace(for_agents=None)), 1) == 1


def test_words_for_other_agents_than_asked_for_are_refused(team: Scenario) -> None:
    wrong = team._replace(for_agents=lambda agents: worded(team, ("ann",)))
    with pytest.raises(ValueError, match=r"for_agents\(\('bob',\)\) must give .* got \('ann',\)"):
        groups.parts(question(wrong), 2)


# ------------------------------------------------------------------------------------ rounds


def test_groups_are_asked_apart_and_executed_together(
    team: Scenario, config: GenerationConfig
) -> None:
    client = Scripted(REPAIRED)
    generated = generate_plans(team, client, config=config)
    # Ann stays at 0 and bob at 5 for 8 steps: 40. Then ann walks 1 + 2 + ... + 8 = 36, and bob
    # 6 + 7 + 8 and five times 9, where the line ends: 66.
    assert generated.rounds == (
        RoundResult(0, 1, None, None, group=0),
        RoundResult(0, 1, None, generated.rounds[1].rejection, group=1),
        RoundResult(0, 2, 40.0, None, group=1),
        RoundResult(0, 3, 102.0, None, group=0),
        RoundResult(0, 3, 102.0, None, group=1),
    )
    assert generated.rounds[1].rejection and "starts with text" in generated.rounds[1].rejection
    assert "round 1, group 0: valid, kept until the other groups' answers are" in str(generated)
    assert "round 3, group 1: team return 102.00" in str(generated)
    assert generated.team_return == 102.0 and generated.usage.calls == 5
    assert {name: list(plan) for name, plan in generated.plans.items()} == {
        "any_episode": ["ann", "bob"]
    }
    asked = [client.requests[0, 3, group].text for group in (0, 1)]
    assert generated.request_hash == hashlib.sha256("\n\n".join(asked).encode()).hexdigest()


def test_every_prompt_holds_its_own_agents_and_its_own_review(
    team: Scenario, config: GenerationConfig
) -> None:
    client = Scripted(REPAIRED)
    generate_plans(team, client, config=config)
    text = {key[1:]: request.text for key, request in client.requests.items()}
    assert sorted(text) == [(1, 0), (1, 1), (2, 1), (3, 0), (3, 1)]
    for (_, group), prompt in text.items():
        mine, others = ("ann", "bob") if group == 0 else ("bob", "ann")
        assert f"Every plan holds every agent: {mine}." in prompt and f"{mine} walks." in prompt
        assert f"{others} walk" not in prompt and f'"{others}"' not in prompt
    assert "previous answer" not in text[1, 0] + text[1, 1]
    assert "Answer 1 was not carried out." in text[2, 1] and "Bob stays." in text[2, 1]
    # Each counts its own answers.
    assert "Answer 1 was carried out" in text[3, 0] and "Answer 2 was carried out" in text[3, 1]
    for prompt, agent in ((text[3, 0], "ann"), (text[3, 1], "bob")):
        assert "The team's score was 40.0 per episode" in prompt
        line = f"- {agent}: its only instruction stayed in force; {agent} walked\nImprove"
        assert f"All walked.\nNobody ran.\n{line}" in prompt


def test_a_recording_is_replayed_in_the_groups_it_was_made_in(
    team: Scenario, config: GenerationConfig, folder: Path
) -> None:
    live = generate_plans(team, Scripted(REPAIRED), config=config, transcript=folder / "kept")
    (path,) = live.transcripts
    kept = json.loads(path.read_text())
    assert kept["groups"] == 2
    places = [(item["round"], item["group"]) for item in kept["rounds"]]
    assert places == [(1, 0), (1, 1), (2, 1), (3, 0), (3, 1)]
    returns = [item["outcome"]["team_return"] for item in kept["rounds"]]
    assert returns == [None, None, 40.0, 102.0, 102.0]
    # A limit that would ask the whole team at once does not matter now.
    whole = dataclasses.replace(config, max_prompt_tokens=32_000)
    replayed = generate_plans(team, "replay", config=whole, transcript=folder / "kept")
    assert replayed.plans == live.plans and replayed.rounds == live.rounds
    assert replayed.request_hash == live.request_hash
    alone = team._replace(for_agents=None)
    with pytest.raises(GenerationError, match="cannot be asked in 2 groups: it has no for_agents"):
        generate_plans(alone, "replay", config=whole, transcript=folder / "kept")


def test_given_starts_get_plans_of_all_groups(team: Scenario, config: GenerationConfig) -> None:
    def both(agent: str, *places: int) -> str:
        plans = {
            f"episode_{n}": {agent: {"instructions": [{"command": "GoTo", "place": place}]}}
            for n, place in enumerate(places)
        }
        return json.dumps({"plans": plans})

    client = Scripted([{0: both("ann", 0, 1), 1: both("bob", 5, 5)}])
    config = dataclasses.replace(config, concrete_starts=2, max_rounds=1)
    generated = generate_plans(team, client, plans="concrete", config=config)
    places = {
        name: [plan[agent].instructions[0].arguments["place"] for agent in plan]
        for name, plan in generated.plans.items()
    }
    assert places == {"episode_0": [0, 5], "episode_1": [1, 5]}
    # 40 as above, and 8 more where ann stands on 1 instead of 0.
    assert generated.team_return == 44.0


def test_a_score_that_is_no_number_is_sent_back_to_all_groups(
    team: Scenario, config: GenerationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback, "score", lambda *_: feedback.Score(math.nan, {}, {}))
    client = Scripted([{0: go("ann", 0), 1: go("bob", 5)}] * 2)
    config = dataclasses.replace(config, max_rounds=2)
    with pytest.raises(GenerationError, match="after 2 rounds") as caught:
        generate_plans(team, client, config=config)
    assert len(caught.value.rounds) == 4
    assert all("not a finite number" in (one.rejection or "") for one in caught.value.rounds)
    for group in (0, 1):
        assert "not a finite number" in client.requests[0, 2, group].text


# ------------------------------------------------------------------- caps, failures and files


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_groups_are_asked_side_by_side_within_the_concurrency(
    team: Scenario, config: GenerationConfig, concurrency: int
) -> None:
    client = Scripted(*[[{0: go("ann", 0), 1: go("bob", 5)}]] * 2, seconds=0.05)
    config = dataclasses.replace(
        config, concurrency=concurrency, conversations=2, max_rounds=1, feedback_episodes=2
    )
    assert len(generate_plans(team, client, config=config).rounds) == 4
    assert client.most_under_way == concurrency


def test_a_cap_in_the_middle_of_a_round_keeps_what_was_answered(
    team: Scenario, config: GenerationConfig, folder: Path
) -> None:
    client = Scripted([{0: go("ann", 0), 1: go("bob", 5)}], tokens=5000)
    config = dataclasses.replace(config, concurrency=1, max_total_tokens=10_000)
    # The first group takes 10,000 tokens, prompt and answer.
    with pytest.raises(GenerationError, match="max_total_tokens = 10,000 would be exceeded"):
        generate_plans(team, client, config=config)
    assert list(client.requests) == [(0, 1, 0)]
    (path,) = folder.rglob("*.json")
    (kept,) = json.loads(path.read_text())["rounds"]
    assert kept["outcome"]["valid"] and kept["outcome"]["team_return"] is None
    with pytest.raises(GenerationError, match="round 1, group 1: no answer was recorded"):
        generate_plans(team, "replay", config=config, transcript=path)


def test_a_group_without_an_answer_ends_the_conversation(
    team: Scenario, config: GenerationConfig, folder: Path
) -> None:
    script = {0: GenerationError("provider is down"), 1: go("bob", 5)}
    alone = Scripted([script])
    with pytest.raises(GenerationError, match="provider is down"):
        generate_plans(team, alone, config=dataclasses.replace(config, concurrency=1))
    assert list(alone.requests) == [(0, 1, 0)]
    (path,) = folder.rglob("*.json")
    kept = transcripts.load(path)
    assert kept.rounds == [] and kept.unanswered[0].reason == "provider is down"
    path.unlink()
    # What is under way already is waited for and kept.
    with pytest.raises(GenerationError, match="provider is down") as caught:
        generate_plans(team, Scripted([script]), config=config)
    (result,) = caught.value.rounds
    assert result.group == 1 and result.rejection is None
    (path,) = caught.value.transcripts
    assert json.loads(Path(path).read_text())["ended"] == "provider is down"


def test_answers_of_groups_come_from_files(team: Scenario, config: GenerationConfig) -> None:
    config = dataclasses.replace(config, concurrency=1, max_rounds=2)

    def needed() -> dict[str, Path]:
        with pytest.raises(AnswersNeeded) as caught:
            generate_plans(team, "files:chat", config=config)
        assert all(Path(prompt).exists() for prompt in caught.value.prompts)
        return {Path(path).name: Path(path) for path in caught.value.answers}

    first = needed()
    stem = "conversation_0_round_{}_group_{}.answer.txt".format
    assert list(first) == [stem(1, 0), stem(1, 1)]
    first[stem(1, 0)].write_text(go("ann", 0))
    assert list(needed()) == [stem(1, 1)]
    first[stem(1, 1)].write_text(go("bob", 5))
    second = needed()
    assert list(second) == [stem(2, 0), stem(2, 1)]
    second[stem(2, 0)].write_text(right("ann"))
    second[stem(2, 1)].write_text("no")
    generated = generate_plans(team, "files:chat", config=config)
    assert [result.team_return for result in generated.rounds] == [40.0, 40.0, None, None]
    assert generated.usage.source == "files" and generated.team_return == 40.0
    assert len(list(Path("chat").rglob("*.json"))) == 1
