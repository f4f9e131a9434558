"""Plans by asking, executing and feeding back; demonstrations from the best of them."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from generation import fakes
from generation.fakes import CROWDED, FREE, OWN, Scripted, answer

from leed_jax import answers, demonstrations, episodes, execution, instructions
from leed_jax.generation import (
    Answer,
    AnswersNeeded,
    GenerationConfig,
    GenerationError,
    TranscriptDriftWarning,
    Usage,
    feedback,
    generate_demonstrations,
    generate_plans,
)
from leed_jax.scenarios import Scenario


def with_(config: GenerationConfig, **changes: Any) -> GenerationConfig:
    return dataclasses.replace(config, **changes)


def only_transcript(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("*.json")
    return json.loads(path.read_text())


def test_the_best_of_all_rounds_is_kept(scenario: Scenario, quick: GenerationConfig) -> None:
    client = Scripted([answer(CROWDED), answer(OWN), answer(CROWDED)])
    generated = generate_plans(scenario, client, config=with_(quick, max_rounds=3))
    assert (
        instructions.to_mapping(generated.plans["any_episode"])["agent_1"]["instructions"]
        == (OWN["agent_1"]["instructions"])
    )
    returns = [result.team_return or 0.0 for result in generated.rounds]
    assert generated.team_return == returns[1] and returns[0] == returns[2] < returns[1]
    assert client.closed and client.threads == {"leed-generation"}
    assert "round 2" in str(generated) and "cost unknown" in str(generated)


def test_the_next_prompt_tells_score_and_what_every_agent_did(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(CROWDED), answer(OWN)])
    first = generate_plans(scenario, client, config=quick).rounds[0]
    text = client.requests[0, 2].text
    assert f"score was {first.team_return:.1f} per episode" in text
    assert "- agent_1: its only instruction stayed in force; over its target" in text
    assert "- landmarks_covered (share of landmarks" in text
    assert "Your previous answer" not in client.requests[0, 1].text


def test_progress_through_a_list_is_counted_over_the_steps_that_were_made(
    scenario: Scenario,
) -> None:
    # agent_0: 2 steps, 3 steps, then the rest: two ended by max_steps, all three were started.
    # agent_1: 26 steps and never the second one. agent_2: 13 twice, over and over.
    def hold(*steps: int, repeat: bool = False) -> instructions.AgentPlan:
        made = [instructions.Instruction("Hold", max_steps=n) for n in steps]
        return instructions.AgentPlan(tuple(made), repeat)

    plan = {"agent_0": hold(2, 3, 26), "agent_1": hold(26, 1), "agent_2": hold(13, 13, repeat=True)}
    executed = execution.execute(scenario, [plan], jax.random.split(jax.random.key(0), 4))
    said = feedback.score(scenario, {"any_episode": plan}, executed).agents
    until = "per episode 0.0 ended as finished or by their until"
    started = "were never started; over its target"
    assert (
        f"of its 3 instructions, {until}, 2.0 by max_steps alone, 0.0 {started}" in said["agent_0"]
    )
    assert (
        f"of its 2 instructions, {until}, 1.0 by max_steps alone, 1.0 {started}" in said["agent_1"]
    )
    assert (
        f"of its 2 instructions, {until}, 2.0 by max_steps alone, 0.0 {started}" in said["agent_2"]
    )


def test_a_rejected_answer_comes_back_with_its_fault_and_costs_a_round(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted(["Sure! Here is the plan.", answer(OWN)])
    generated = generate_plans(scenario, client, config=quick)
    assert "starts with text" in client.requests[0, 2].text
    assert [result.rejection is None for result in generated.rounds] == [False, True]


def test_an_unusable_answer_is_a_rejected_round(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    cut = Answer('{"plans": {', "m", "length", completion_tokens=7)
    client = Scripted([cut, Answer("", "m", "no_choices"), answer(OWN)])
    generated = generate_plans(scenario, client, config=with_(quick, max_rounds=3))
    assert "cut off after 7 tokens" in client.requests[0, 2].text
    assert "no choices" in (generated.rounds[1].rejection or "")


def test_conversations_run_side_by_side_within_the_concurrency(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted(*[[answer(CROWDED)]] * 3, [answer(OWN)], [answer(CROWDED)], seconds=0.05)
    config = with_(quick, conversations=5, concurrency=2, max_rounds=1)
    generated = generate_plans(scenario, client, config=config)
    assert client.most_under_way == 2
    assert len(generated.rounds) == 5 and len(generated.transcripts) == 5
    best = max(generated.rounds, key=lambda result: result.team_return or -1e9)
    assert best.conversation == 3 and generated.team_return == best.team_return


def test_one_failed_conversation_does_not_end_the_others(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([GenerationError("provider is down")], [answer(OWN)])
    config = with_(quick, conversations=2, max_rounds=1)
    generated = generate_plans(scenario, client, config=config)
    assert generated.ended == ("conversation 0: provider is down",)


def test_nothing_valid_raises_what_was_tried(
    scenario: Scenario, quick: GenerationConfig, folder: Path
) -> None:
    with pytest.raises(GenerationError) as caught:
        generate_plans(scenario, Scripted(["no", ""]), config=quick)
    text = str(caught.value)
    assert "round 1: The answer starts with text" in text and "round 2: The answer is empty" in text
    (path,) = caught.value.transcripts
    assert str(path) in text
    rounds = only_transcript(folder)["rounds"]
    assert [item["answer"] for item in rounds] == ["no", ""]
    assert not any(item["outcome"]["valid"] for item in rounds)


def test_an_answer_is_on_disk_before_it_is_executed(
    scenario: Scenario, quick: GenerationConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(execution, "execute", out_of_memory)
    with pytest.raises(MemoryError):
        generate_plans(scenario, Scripted([answer(OWN)]), config=quick)
    assert only_transcript(folder)["rounds"][0]["answer"] == answer(OWN)


# ------------------------------------------------------------------------------------ caps


def test_a_token_cap_ends_with_the_best_so_far(scenario: Scenario, quick: GenerationConfig) -> None:
    client = Scripted([answer(OWN)] * 9, tokens=1000)
    config = with_(quick, max_rounds=9, max_answer_tokens=100, max_total_tokens=5500)
    generated = generate_plans(scenario, client, config=config)
    # 2,000 tokens a round, and about 1,700 expected for the next: after the second, 4,000 + 1,700.
    assert len(generated.rounds) == 2 and "max_total_tokens" in generated.ended[0]


def test_a_token_cap_counts_by_estimate_what_an_answer_does_not_tell(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN)] * 9, tokens=None)
    config = with_(quick, max_rounds=9, max_answer_tokens=100, max_total_tokens=5500)
    generated = generate_plans(scenario, client, config=config)
    assert 1 <= len(generated.rounds) < 9
    assert generated.usage.prompt_tokens is None and "tokens not told" in str(generated.usage)


def test_a_token_cap_too_small_for_one_request_sends_none(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN)])
    with pytest.raises(GenerationError, match="max_total_tokens = 100 would be exceeded"):
        generate_plans(scenario, client, config=with_(quick, max_total_tokens=100))
    assert not client.requests


def test_a_money_cap_ends_with_the_best_so_far(scenario: Scenario, quick: GenerationConfig) -> None:
    client = Scripted([answer(OWN)] * 9, cost=0.01)
    config = with_(quick, max_rounds=9, max_cost_usd=0.035)
    generated = generate_plans(scenario, client, config=config)
    assert len(generated.rounds) == 3 and "max_cost_usd" in generated.ended[0]
    assert generated.usage.cost_usd == pytest.approx(0.03)


def test_a_money_cap_ends_when_a_cost_is_not_known(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN)] * 9)
    config = with_(quick, max_rounds=9, max_cost_usd=1.0)
    generated = generate_plans(scenario, client, config=config)
    assert len(generated.rounds) == 1 and "not known" in generated.ended[0]


def test_a_time_cap_gives_up_what_is_under_way(scenario: Scenario, quick: GenerationConfig) -> None:
    client = Scripted([answer(OWN)], seconds=60)
    with pytest.raises(GenerationError, match=r"max_seconds = 0\.3 reached"):
        generate_plans(scenario, client, config=with_(quick, max_seconds=0.3))
    assert client.under_way == 0


# -------------------------------------------------------------------------- demonstrations


def test_demonstrations_hold_the_episodes_of_the_plan(
    scenario: Scenario, quick: GenerationConfig, tmp_path: Path
) -> None:
    def make(seed: int) -> demonstrations.Demonstrations:
        client = Scripted([answer(OWN), answer(CROWDED)])
        return generate_demonstrations(scenario, client, num_episodes=4, seed=seed, config=quick)

    demos = make(seed=0)
    assert demos.num_episodes == 4 and demos.arrays.valid.all()
    assert isinstance(demos.arrays.observation, np.ndarray)
    assert set(demos.measures) == {measure.name for measure in scenario.env.measures}
    np.testing.assert_array_equal(demos.arrays.observation, make(seed=0).arrays.observation)
    assert not np.array_equal(demos.arrays.observation, make(seed=1).arrays.observation)

    found = demos.provenance
    assert json.loads(json.dumps(found)) == found
    assert found["scenario"] == {"name": "mpe/simple_spread", "options": scenario.options}
    assert found["model"] == "scripted-1" and found["plan_kind"] == "relational"
    assert found["plans"]["any_episode"]["agent_2"]["repeat"] is False
    assert len(found["rounds"]) == 2 and len(found["request_hash"]) == 64
    assert found["usage"]["calls"] == 2 and found["usage"]["cost_usd"] is None
    assert set(found["versions"]) == {"leed_jax", "jax", "jaxmarl"}

    demos.save(tmp_path / "demos.npz")
    assert demonstrations.load(tmp_path / "demos.npz").provenance == found


def test_concrete_plans_run_from_exactly_the_starts_in_the_prompt(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN, CROWDED, FREE, OWN), answer(OWN, OWN, OWN, OWN)])
    demos = generate_demonstrations(scenario, client, plans="concrete", config=quick)
    assert demos.num_episodes == 4 and set(demos.provenance["plans"]) == {
        f"episode_{n}" for n in range(4)
    }
    prompt = client.requests[0, 1].text
    for n in range(4):
        # Observation of agent_0: velocity, position, ... (JaxMARL's simple_spread).
        x, y = np.round(demos.arrays.observation[n, 0, 0, 2:4], 2) + 0.0
        assert f"episode_{n}:\nagent_0: x {x:+.2f}, y {y:+.2f}" in prompt
    assert "team score of episode_3" in client.requests[0, 2].text


def test_reset_state_is_where_the_episode_of_the_key_starts(scenario: Scenario) -> None:
    key = jax.random.key(5)
    plan = answers.parse(answer(OWN), scenario.vocabulary)["any_episode"]
    executed = execution.execute(scenario, [plan], jax.random.split(key, 4))
    for index, one in enumerate(jax.random.split(key, 4)):
        state = episodes.reset_state(scenario.env, one)
        ran = executed.episodes.record.state.p_pos[index, 0]
        np.testing.assert_allclose(state.p_pos, ran, atol=1e-6)


def test_scored_shown_and_demonstrated_starts_are_different_ones(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN)])
    config = with_(quick, max_rounds=1)
    demos = generate_demonstrations(scenario, client, num_episodes=4, config=config)
    assert demos.provenance["rounds"][0]["team_return"] != pytest.approx(demos.team_returns.mean())
    x, y = np.round(demos.arrays.observation[0, 0, 0, 2:4], 2) + 0.0
    assert f"x {x:+.2f}, y {y:+.2f}" not in client.requests[0, 1].text


def test_rows_without_a_decision_or_after_the_end_are_not_learnt(scenario: Scenario) -> None:
    plan = answers.parse(answer(OWN), scenario.vocabulary)["any_episode"]
    executed = execution.execute(scenario, [plan], jax.random.split(jax.random.key(0), 4))
    ran, step = executed.episodes, executed.episodes.record
    decision = step.time_step.decision.at[0, 3, 1].set(False)
    observation = step.time_step.observation.at[2, 20:].set(np.nan)
    step = step._replace(
        time_step=step.time_step._replace(decision=decision, observation=observation),
        legal=step.legal.at[1, 2, 0].set(False),
    )
    ran = ran._replace(record=step, valid=ran.valid.at[2, 20:].set(False))
    demos = execution.from_executed(scenario, executed._replace(episodes=ran), {})
    expected = np.ones((4, 26, 3), bool)
    expected[0, 3, 1] = expected[1, 2, 0] = False
    expected[2, 20:] = False
    np.testing.assert_array_equal(demos.arrays.valid, expected)
    assert not np.asarray(demos.arrays.observation)[2, 20:].any()


# ----------------------------------------------------------------------------------- files


def test_a_chat_window_is_enough(scenario: Scenario, quick: GenerationConfig, folder: Path) -> None:
    def go() -> Any:
        return generate_plans(scenario, "files:chat", config=quick)

    with pytest.raises(AnswersNeeded, match=r"conversation_0_round_1\.answer\.txt") as caught:
        go()
    (prompt,), (reply,) = caught.value.prompts, caught.value.answers
    assert "landmark_2: x" in prompt.read_text()
    # Chat windows put a fence around the answer.
    reply.write_text(f"```json\n{answer(CROWDED)}\n```\n")
    with pytest.raises(AnswersNeeded, match="conversation_0_round_2") as caught:
        go()
    assert "score was" in caught.value.prompts[0].read_text()
    caught.value.answers[0].write_text(answer(OWN))
    Path("chat/model.txt").write_text("some-chat-model\n")
    generated = go()
    assert [result.team_return is None for result in generated.rounds] == [False, False]
    assert generated.usage.source == "files" and generated.model == "some-chat-model"
    recorded = only_transcript(folder / "chat")
    assert [item["source"] for item in recorded["rounds"]] == ["chat", "chat"]
    assert go().plans == generated.plans  # and the transcript is written again, not twice
    only_transcript(folder / "chat")


def test_every_answer_that_is_needed_is_named_at_once(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    with pytest.raises(AnswersNeeded) as caught:
        generate_plans(scenario, "files:chat", config=with_(quick, conversations=3))
    assert [path.name for path in caught.value.answers] == [
        f"conversation_{n}_round_1.answer.txt" for n in range(3)
    ]


def test_an_answer_to_another_prompt_is_reported(
    scenario: Scenario, quick: GenerationConfig, folder: Path
) -> None:
    (folder / "conversation_0_round_1.prompt.md").write_text("Another task.")
    (folder / "conversation_0_round_1.answer.txt").write_text(answer(OWN))
    with pytest.warns(TranscriptDriftWarning, match="line 1 was 'Another task.'"):
        generate_plans(scenario, f"files:{folder}", config=with_(quick, max_rounds=1))


# -------------------------------------------------------------------------- who calls, how


def test_it_works_inside_a_running_event_loop(scenario: Scenario, quick: GenerationConfig) -> None:
    async def notebook() -> Any:
        return generate_plans(scenario, Scripted([answer(OWN)] * 2), config=quick)

    assert asyncio.run(notebook()).usage.calls == 2


def test_progress_goes_to_stderr_and_only_when_asked_for(
    scenario: Scenario,
    quick: GenerationConfig,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    generate_plans(scenario, Scripted([answer(OWN)] * 2), config=quick)
    assert capfd.readouterr() == ("", "")
    generate_plans(scenario, Scripted([answer(OWN)] * 2), config=quick, progress=True)
    shown = capfd.readouterr()
    assert shown.out == "" and "round 2: " in shown.err and "cost unknown" in shown.err


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"max_rounds": 0}, "max_rounds"),
        ({"conversations": 10**9}, "conversations"),
        ({"concurrency": True}, "concurrency"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds"),
        ({"max_cost_usd": -1.0}, "max_cost_usd"),
        ({"temperature": 3.0}, "temperature"),
        ({"max_total_tokens": 0}, "max_total_tokens"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"generation.{name} must be"):
        GenerationConfig(**changes)


def test_arguments_that_cannot_be_meant_are_refused_before_anything_is_asked(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    client = Scripted([answer(OWN)])
    with pytest.raises(ValueError, match="num_episodes"):
        generate_demonstrations(scenario, client, num_episodes=0, config=quick)
    with pytest.raises(ValueError, match="goal must be one of"):
        generate_plans(scenario._replace(advice={"return": ""}), client, config=quick)
    with pytest.raises(ValueError, match="must be a folder"):
        generate_plans(scenario, client, transcript="answers.json", config=quick)
    assert not client.requests


def test_usage_reads_well() -> None:
    known = Usage(2, 3210, 512, 0.0123, 12.34, "m", "live")
    assert str(known) == "2 calls to m (live): 3,210 + 512 tokens, 0.0123 USD, 12.3 s"
    assert "cost unknown" in str(known._replace(cost_usd=None))
    untold = known._replace(completion_tokens=None)
    assert "(live): 3,210 + not told tokens, 0.0123 USD" in str(untold)
    assert "(live): tokens not told, 0.0123 USD" in str(untold._replace(prompt_tokens=None))
    assert fakes.AGENTS == ("agent_0", "agent_1", "agent_2")
