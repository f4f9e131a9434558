"""Recorded conversations: found by what they answer, replayed, never lost, never trusted."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generation.fakes import CROWDED, OWN, Scripted, answer

from leed_jax import scenarios
from leed_jax.generation import (
    GenerationConfig,
    GenerationError,
    TranscriptDriftWarning,
    generate_demonstrations,
    generate_plans,
    records,
    replay,
    transcripts,
)
from leed_jax.scenarios import Scenario


@pytest.fixture
def recording(scenario: Scenario, quick: GenerationConfig, folder: Path) -> Path:
    """Two conversations: one with a rejected answer, one with two valid ones."""
    client = Scripted(["no", answer(CROWDED)], [answer(CROWDED), answer(OWN)], cost=0.01)
    config = dataclasses.replace(quick, conversations=2)
    generate_plans(scenario, client, config=config, transcript=folder / "kept")
    return folder / "kept"


def test_a_recording_has_the_documented_form(recording: Path) -> None:
    path = recording / "mpe_simple_spread" / "num_agents-3_relational_learnable_1.json"
    kept = json.loads(path.read_text())
    assert kept["format"] == "leed_jax.transcript" and kept["version"] == 1
    assert kept["scenario"] == {"name": "mpe/simple_spread", "options": {"num_agents": 3}}
    assert (kept["plans"], kept["goal"], kept["conversation"]) == ("relational", "learnable", 1)
    first, second = kept["rounds"]
    assert first["answer"] == answer(CROWDED) and second["round"] == 2
    assert {message["role"] for message in first["prompt"]} == {"system", "user"}
    assert first["outcome"]["team_return"] < second["outcome"]["team_return"]
    assert not list(recording.rglob("*.partial"))


def test_replay_gives_the_same_plans_and_usage_and_writes_nothing(
    scenario: Scenario, quick: GenerationConfig, recording: Path
) -> None:
    before = sorted(recording.parent.rglob("*"))
    # One round is less than was recorded: settings of asking do not cut what is there.
    config = dataclasses.replace(quick, max_rounds=1, max_total_tokens=1)
    replayed = generate_plans(scenario, "replay", config=config, transcript=recording)
    assert len(replayed.rounds) == 4
    assert replayed.rounds[3].team_return == replayed.team_return
    assert replayed.usage.source == "replay" and replayed.usage.model == "scripted-1"
    assert replayed.usage.calls == 4 and replayed.usage.cost_usd == pytest.approx(0.04)
    assert replayed.usage.seconds == pytest.approx(2.0)
    assert sorted(recording.parent.rglob("*")) == before


def test_replay_gives_the_demonstrations_that_the_live_run_gave(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    live = generate_demonstrations(
        scenario, Scripted([answer(CROWDED), answer(OWN)]), num_episodes=4, config=quick
    )
    replayed = generate_demonstrations(
        scenario, num_episodes=4, config=quick, transcript="leed_transcripts"
    )
    np.testing.assert_array_equal(live.arrays.observation, replayed.arrays.observation)
    assert live.provenance["request_hash"] == replayed.provenance["request_hash"]


def test_without_a_folder_the_shipped_answers_are_replayed(
    scenario: Scenario,
    quick: GenerationConfig,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcripts, "shipped", lambda _: recording / "mpe_simple_spread")
    assert len(generate_plans(scenario, config=quick).rounds) == 4


def test_the_shipped_answers_lie_in_the_package() -> None:
    folder = Path(str(transcripts.shipped("mpe/simple_spread")))
    assert folder.parts[-3:] == ("leed_jax", "transcripts", "mpe_simple_spread")


def test_a_drifted_prompt_is_reported_and_replay_goes_on(
    scenario: Scenario, quick: GenerationConfig, recording: Path
) -> None:
    changed = scenario._replace(task="Another task.\n" + scenario.task)
    with pytest.warns(TranscriptDriftWarning) as caught:
        generated = generate_plans(changed, config=quick, transcript=recording)
    said = [str(item.message) for item in caught]
    assert len(said) == 4 and len(generated.rounds) == 4
    assert any("conversation 1, round 2" in text for text in said)
    assert all("line 4 was '3 agents" in text and "is 'Another task.'" in text for text in said)


def test_nothing_recorded_says_what_is_and_how_to_record(
    scenario: Scenario, quick: GenerationConfig, recording: Path
) -> None:
    with pytest.raises(GenerationError) as caught:
        generate_plans(scenario, plans="concrete", config=quick, transcript=recording)
    text = str(caught.value)
    assert "plans='concrete'" in text.splitlines()[0]
    assert "mpe/simple_spread(num_agents=3), plans='relational', goal='learnable'" in text
    assert "files:<folder>" in text and "API key" in text
    with pytest.raises(GenerationError, match="no recorded answers for mpe/simple_spread"):
        generate_plans(scenarios.make("mpe/simple_spread", num_agents=7), config=quick)


def test_an_earlier_recording_is_never_overwritten(
    scenario: Scenario, quick: GenerationConfig
) -> None:
    for _ in range(3):
        generate_plans(scenario, Scripted([answer(OWN)] * 2), config=quick)
    names = sorted(path.name for path in Path("leed_transcripts").rglob("*.json"))
    stem = "num_agents-3_relational_learnable_0"
    assert names == [f"{stem}.json", f"{stem}_take_2.json", f"{stem}_take_3.json"]
    assert len(generate_plans(scenario, config=quick, transcript="leed_transcripts").rounds) == 6


def test_a_failed_conversation_is_on_disk_with_its_reason(
    scenario: Scenario, quick: GenerationConfig, folder: Path
) -> None:
    client = Scripted([answer(OWN), GenerationError("the provider is down")])
    generate_plans(scenario, client, config=quick)
    (path,) = folder.rglob("*.json")
    kept = json.loads(path.read_text())
    assert kept["ended"] == "the provider is down" and len(kept["rounds"]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version"),
        ({"format": "other"}, "format"),
        ({"extra": 1}, "extra"),
        ({"rounds": [{"round": 0}]}, "rounds.0.round"),
        ({"rounds": "none"}, "rounds"),
        ({"conversation": "0"}, "conversation"),
    ],
)
def test_a_file_that_is_no_transcript_is_refused_by_field(
    scenario: Scenario,
    quick: GenerationConfig,
    recording: Path,
    change: dict[str, Any],
    said: str,
) -> None:
    path = next(recording.rglob("*_0.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"_0\.json is no transcript: .*{said}"):
        generate_plans(scenario, config=quick, transcript=path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 10**6, b"{}", b"null"])
def test_a_broken_file_is_refused(folder: Path, data: bytes) -> None:
    (folder / "broken.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"broken\.json is no transcript"):
        transcripts.load(folder / "broken.json")


def test_a_file_that_is_too_large_is_refused_unread(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "MAX_FILE_BYTES", 10)
    (folder / "large.json").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        transcripts.load(folder / "large.json")


def test_options_become_file_names_that_every_system_takes() -> None:
    options = {"map": "a/b:c\\d", "sight": 0.5, "names": ["x", "y"]}
    slug = records.Specification("smax/3m", options, "relational", "return").slug
    assert slug.count("/") == 1 and not set(slug) & set(':\\[]" ,')


def test_in_the_feedback_numbers_may_differ_and_words_may_not():
    before = "Go 3 steps\n# Your previous answer\nIt was 1.5 (the best of your answers so far: 2)."
    device = before.replace("1.5 (the best of your answers so far: 2)", "-1.6")
    assert replay.first_difference(before, device) is None
    told = replay.first_difference(before, before.replace("It was", "It is"))
    assert told is not None and told.startswith("line 3 was")
    assert replay.first_difference(before, before.replace("Go 3", "Go 4")) is not None
