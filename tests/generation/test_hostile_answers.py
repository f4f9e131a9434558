"""An answer is data: whatever it holds, it is refused with its fault named, and never executed."""

import json
from pathlib import Path
from typing import Any

import pytest
from generation import fakes
from generation.fakes import OWN, Scripted, answer

from leed_jax import execution
from leed_jax.generation import GenerationConfig, GenerationError, generate_plans
from leed_jax.scenarios import Scenario


def changed(**agents: Any) -> str:
    return answer({**OWN, **agents})


def one(**instruction: Any) -> dict[str, Any]:
    return {"instructions": [instruction]}


HOSTILE = {
    "prose": ("Sure! Here is a plan: agent_0 goes left.", "starts with text"),
    "fence": (f"```json\n{answer(OWN)}\n```", "starts with a code fence"),
    "wrong agent": (changed(agent_7=OWN["agent_0"]), "agent_7"),
    "missing agent": (answer({k: v for k, v in OWN.items() if k != "agent_1"}), "agent_1"),
    "unknown command": (changed(agent_0=one(command="Explode")), "Explode"),
    "out of range": (
        changed(agent_2=one(command="KeepAway", keep_distance=1e9)),
        "agent_2.*keep_distance.*less than or equal to 0.6",
    ),
    "a megabyte": ('{"comment": "' + "x" * 2**20 + '"}', "200,000 are allowed"),
    "deep nesting": ('{"plans": ' + "[" * 100_000 + "]" * 100_000 + "}", "characters|recursion"),
    "deep nesting, short": ('{"plans": ' + "[" * 50_000, "recursion limit"),
    "code": ("__import__('os').system('touch owned')", "starts with text"),
    "code in a field": (changed(agent_0=one(command="__import__('os')")), "unknown command"),
    "empty": ("", "is empty"),
    "white space": (" \n\t", "is empty"),
    "two objects": (answer(OWN) * 2, "is not JSON"),
    "lone surrogate": ('{"comment": "\ud800"}', "plans"),
    "null byte": ('{"comment": "\0"}', "is not JSON"),
    "not a number": (changed(agent_0=one(command="KeepAway", keep_distance="NaN")), "agent_0"),
    "long names": ('{"' + "k" * 190_000 + '": 1}', "kkk"),
}


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a hostile answer reached an environment")

    monkeypatch.setattr(execution, "execute", refuse)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_named_sent_back_and_kept(
    scenario: Scenario, quick: GenerationConfig, folder: Path, name: str
) -> None:
    text, fault = HOSTILE[name]
    client = Scripted([text, text])
    with pytest.raises(
        GenerationError, match=rf"(?s)after 2 rounds.*round 1: .*({fault})"
    ) as caught:
        generate_plans(scenario, client, config=quick)
    feedback = client.requests[0, 2].text
    assert "was not carried out" in feedback
    assert len(feedback) < len(client.requests[0, 1].text) + 6000
    assert all(result.rejection for result in caught.value.rounds)
    (path,) = folder.rglob("*.json")
    rounds = json.loads(path.read_text())["rounds"]
    kept = text[:1_000_000].encode("utf-8", "replace").decode()
    assert [item["answer"] for item in rounds] == [kept, kept]
    assert [item["outcome"]["valid"] for item in rounds] == [False, False]
    assert not (folder / "owned").exists()


@pytest.mark.usefixtures("no_environment")
def test_ten_hostile_answers_in_a_row_end_with_all_of_them_told(
    scenario: Scenario, folder: Path
) -> None:
    names = list(HOSTILE)[:10]
    client = Scripted([HOSTILE[name][0] for name in names])
    with pytest.raises(GenerationError, match="after 10 rounds") as caught:
        generate_plans(scenario, client, config=GenerationConfig(max_rounds=10))
    assert len(caught.value.rounds) == 10
    (path,) = folder.rglob("*.json")
    assert len(json.loads(path.read_text())["rounds"]) == 10


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("text", [None, 7, b"{}"])
def test_an_answer_that_is_no_text_is_refused(
    scenario: Scenario, quick: GenerationConfig, text: Any
) -> None:
    strange = fakes.Answer(text, "m", "stop")
    with pytest.raises(GenerationError, match="is no text but"):
        generate_plans(scenario, Scripted([strange, strange]), config=quick)
