"""Who else comments on executed plans: when that is asked for, and where it is told."""

import json
import math
from pathlib import Path

import line_world
import pytest
from generation.fakes import Scripted

from leed_jax.generation import GenerationConfig, GenerationError, feedback, generate_plans
from leed_jax.generation import reviewers as reviewing
from leed_jax.generation.reviewers import Attempt, Remarks

TOY = line_world.scenario()
QUICK = GenerationConfig(feedback_episodes=3)


def answer(place: int) -> str:
    told = {"instructions": [{"command": "GoTo", "place": place}]}
    return json.dumps({"comment": "", "plans": {"any_episode": {"ann": told, "bob": told}}})


class Critic:
    """Says where the plan leads ann, and remembers what it was shown."""

    name = "critic"

    def __init__(self) -> None:
        self.seen: list[Attempt] = []

    def __call__(self, attempt: Attempt) -> Remarks:
        self.seen.append(attempt)
        (plan,) = attempt.plans.values()
        place = plan["ann"].instructions[0].arguments["place"]
        return Remarks(("One line.", "Another."), {"ann": f"sent to {place}"})


def shrug(attempt: Attempt) -> Remarks:
    """Has nothing to say but this."""
    del attempt
    return Remarks(agents={"ann": "well"})


def test_remarks_are_told_in_the_next_prompt_behind_the_usual_feedback() -> None:
    critic, answers = Critic(), [answer(1), answer(2), answer(3)]
    config = GenerationConfig(feedback_episodes=3, max_rounds=3)
    usual, client = Scripted(answers), Scripted(answers)
    without = generate_plans(TOY, usual, config=config)
    found = generate_plans(TOY, client, config=config, reviewers=[critic, shrug])
    assert found.plans == without.plans and found.team_return == without.team_return
    assert client.requests[0, 1].text == usual.requests[0, 1].text
    for number in (1, 2):
        before = usual.requests[0, number + 1].text.splitlines()
        now = client.requests[0, number + 1].text.splitlines()
        (ann,) = [line for line in before if line.startswith("- ann: ")]
        expected = list(before)
        expected[before.index(ann)] = f"{ann}; sent to {number}; well"
        assert now == [*expected[:-1], "One line.", "Another.", expected[-1]]
    # Nobody would be told of the last round.
    first, second = critic.seen
    assert first.kind == "relational" and len(first.keys) == 3
    assert float(first.executed.episodes.returns[0, 0]) == 8 * 1.0
    assert float(second.executed.episodes.returns[0, 0]) == 1 + 7 * 2.0


def test_answers_are_found_by_who_commented_on_them(folder: Path) -> None:
    critic = Critic()
    recorded = generate_plans(TOY, Scripted([answer(1), answer(2)]), config=QUICK,
                              transcript=folder / "a", reviewers=[critic])  # fmt: skip
    (path,) = recorded.transcripts
    assert path.name == "default_relational_learnable_critic_0.json"
    assert json.loads(path.read_text())["reviewers"] == ["critic"]
    again = generate_plans(TOY, "replay", config=QUICK, transcript=folder / "a",
                           reviewers=[critic])  # fmt: skip
    assert again.plans == recorded.plans and again.request_hash == recorded.request_hash
    with pytest.raises(GenerationError, match=r"(?s)no recorded answers for .*reviewers critic"):
        generate_plans(TOY, "replay", config=QUICK, transcript=folder / "a")


def test_a_recording_from_before_there_were_reviewers_has_none(folder: Path) -> None:
    recorded = generate_plans(TOY, Scripted([answer(1), answer(2)]), config=QUICK,
                              transcript=folder / "b")  # fmt: skip
    (path,) = recorded.transcripts
    old = json.loads(path.read_text())
    assert old.pop("reviewers") == []
    path.write_text(json.dumps(old))
    again = generate_plans(TOY, "replay", config=QUICK, transcript=folder / "b")
    assert again.plans == recorded.plans


def test_an_answer_without_a_score_is_not_commented_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "score", lambda *_: feedback.Score(math.nan, {}, {}))
    critic = Critic()
    with pytest.raises(GenerationError, match="not a finite number"):
        generate_plans(TOY, Scripted([answer(1), answer(2)]), config=QUICK, reviewers=[critic])
    assert critic.seen == []


def test_reviewers_that_cannot_be_meant_are_refused_before_anything_is_asked() -> None:
    client = Scripted([answer(1)])
    with pytest.raises(ValueError, match="names of their own"):
        generate_plans(TOY, client, reviewers=[Critic(), Critic()])
    assert client.requests == {}
    assert reviewing.names([Critic(), shrug]) == ("critic", "shrug")


def test_a_remark_about_somebody_else_is_refused() -> None:
    def stray(attempt: Attempt) -> Remarks:
        del attempt
        return Remarks(agents={"zoe": "who?"})

    client = Scripted([answer(1), answer(2)])
    with pytest.raises(ValueError, match="must be about ann, bob; stray speaks of zoe"):
        generate_plans(TOY, client, config=QUICK, reviewers=[stray])
