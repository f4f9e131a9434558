"""`leed generate`, its preview, and `leed transcripts`; no model is asked anywhere."""

import json
import math
from pathlib import Path
from typing import Any

import line_world
import pytest
import tiny_training
from generation.fakes import Scripted

from leed_jax import commands, demonstrations, instructions, scenarios
from leed_jax.generation import GenerationConfig, generate, generate_plans, llm, transcripts
from leed_jax.generation.preview import Preview, Tokens, preview_generation


@pytest.fixture
def scenario(monkeypatch: pytest.MonkeyPatch) -> scenarios.Scenario:
    """The toy world in place of every scenario, with nothing recorded for it."""
    found = tiny_training.scenario()
    monkeypatch.setattr(scenarios, "make", lambda name, **options: found)
    return found


@pytest.fixture
def recorded(scenario, tmp_path_factory, monkeypatch) -> Path:
    """A folder with a conversation about it: nonsense, then a valid answer."""
    folder = tmp_path_factory.mktemp("recorded")
    config = GenerationConfig(max_rounds=2, feedback_episodes=4)
    plan = instructions.to_mapping(line_world.all_right())
    answer = json.dumps({"comment": "", "plans": {"any_episode": plan}})
    generate_plans(
        scenario, Scripted(["no \x1b[2J plan", answer]), config=config, transcript=folder
    )
    monkeypatch.setattr(transcripts, "shipped", lambda name: folder / "toy_line")
    return folder


def priced(model: str, prompts: int, answers: int) -> float | None:
    return None if model == "my/own" else 2e-6 * prompts + 1e-5 * answers


# ------------------------------------------------------------------------------ preview


def test_the_preview_counts_every_round_of_every_conversation(scenario, monkeypatch):
    monkeypatch.setattr(llm, "price", priced)
    config = GenerationConfig(max_rounds=3, conversations=2, max_answer_tokens=100)
    found = preview_generation(scenario, "openai/gpt-x", config=config)
    (asked,) = found.requests
    assert asked == generate.question(scenario, "relational", "learnable").request()
    # Two conversations of three prompts, of which the second and third repeat an answer.
    prompts, answers = 2 * (3 * (len(asked.text) // 3) + 2 * 100), 2 * 3 * 100
    assert (found.calls, found.at_most) == (6, Tokens(prompts, answers))
    assert found.at_most_usd == pytest.approx(2e-6 * prompts + 1e-5 * answers)
    assert found.expected is None and found.expected_usd is None
    assert "expected   unknown: no answer was recorded" in str(found)


def test_what_is_expected_is_as_long_as_what_was_recorded(scenario, recorded, monkeypatch):
    monkeypatch.setattr(llm, "price", priced)
    (path,) = recorded.rglob("*.json")
    lengths = [len(kept.answer) for kept in transcripts.load(path).rounds]
    answer = math.ceil(sum(lengths) / 6)
    found = preview_generation(scenario, "my/own", config=GenerationConfig(max_total_tokens=90_000))
    asked = len(found.requests[0].text) // 3
    assert found.expected == Tokens(2 * asked + answer, 2 * answer)
    assert (found.expected_usd, found.at_most_usd) == (None, None)
    text = str(found)
    assert text.startswith(f"===== prompt of round 1, about {asked:,} tokens =====\n")
    assert found.requests[0].text in text
    assert "price not known" in text and "ends at    max_total_tokens = 90,000" in text


@pytest.mark.parametrize("model", ["replay", "files:answers"])
def test_recorded_answers_and_chat_windows_cost_nothing(scenario, model, monkeypatch):
    def asked(*_: Any) -> None:
        pytest.fail("a price was looked up")

    monkeypatch.setattr(llm, "price", asked)
    assert preview_generation(scenario, model).at_most_usd == 0.0


# ------------------------------------------------------------------------------ generate


def test_a_dry_run_asks_nobody_and_writes_nothing(scenario, monkeypatch, tmp_path, capsys):
    def asked(*_: Any, **__: Any) -> None:
        pytest.fail("a model was asked")

    monkeypatch.setattr("leed_jax.commands.generating.generate_demonstrations", asked)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(llm, "price", priced)
    given = ["--dry-run", "model=openai/gpt-x", "generation.max_rounds=1"]
    assert commands.main(["generate", *given]) == 0
    shown = capsys.readouterr().out
    assert "what openai/gpt-x would be asked" in shown and "calls      1" in shown
    assert list(tmp_path.iterdir()) == []


def test_demonstrations_of_recorded_answers_are_saved(scenario, recorded, tmp_path, capsys):
    path = tmp_path / "new" / "demos.npz"
    given = ["--out", str(path), "--num-demonstrations", "3", "--no-progress"]
    assert commands.main(["generate", *given, "generation.feedback_episodes=4"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    found = demonstrations.load(path)
    assert found.arrays.valid.shape[0] == 3 and found.provenance["source"] == "replay"
    assert commands.main(["generate", *given]) == 1  # it may have been paid for
    assert "exists; choose another name" in capsys.readouterr().err


def test_a_chat_window_gets_its_list_of_files_line_by_line(scenario, tmp_path, capsys):
    given = [f"model=files:{tmp_path}", "--out", str(tmp_path / "x.npz"), "--no-progress"]
    assert commands.main(["generate", *given]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("leed: answers are needed") and "->" in lines[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--out", "x.txt"], "out must end in .npz"),
        (["--num-demonstrations", "0"], "num_demonstrations must be at least 1"),
        (["--generation.max-rounds", "0"], "generation.max_rounds must be a whole number"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(scenario, given, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.main(["generate", *given])
    assert message in " ".join(capsys.readouterr().err.split())


# ------------------------------------------------------------------------------ transcripts


def test_transcripts_are_listed_with_what_they_took(recorded, capsys):
    assert commands.main(["transcripts", "list", "line", "--folder", str(recorded)]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["name", "answers"]
    assert row.split()[0].startswith("toy_line/") and row.split()[1] == "2"
    assert commands.main(["transcripts", "list", "nowhere", "--folder", str(recorded)]) == 1


def test_a_transcript_is_shown_round_by_round_and_moves_no_cursor(recorded, capsys):
    given = ["transcripts", "show", "toy_line", "--folder", str(recorded)]
    assert commands.main(given) == 0
    shown = capsys.readouterr().out
    assert "no ?[2J plan" in shown and "\x1b" not in shown
    assert shown.index("===== rejected: ") < shown.index("===== round 2") < len(shown)
    assert shown.rstrip().splitlines()[-1].startswith("===== team return ")
    assert "# Task" not in shown
    assert commands.main([*given, "--prompts"]) == 0
    assert "# Task" in capsys.readouterr().out


def test_those_of_the_package_can_be_found_by_a_part_of_their_name(capsys):
    assert commands.main(["transcripts", "list", "spread", "num_agents-3_"]) == 0
    names = [row.split()[0] for row in capsys.readouterr().out.splitlines()[1:]]
    assert "mpe_simple_spread/num_agents-3_relational_learnable_0" in names
    assert commands.main(["transcripts", "show", names[0]]) == 0
    assert capsys.readouterr().out.startswith("mpe/simple_spread {'num_agents': 3}, ")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no transcript 'nowhere'"), ("simple_spread", "transcripts are called")],
)
def test_a_name_that_fits_none_or_several_is_one_line(name, message, capsys):
    assert commands.main(["transcripts", "show", name]) == 1
    assert message in capsys.readouterr().err


def test_the_fields_of_a_preview_are_all_shown():
    found = Preview("m", (), 2, Tokens(10, 20), Tokens(1000, 2000), 0.5, None)
    assert str(found).splitlines() == [
        "===== what m would be asked =====",
        "calls      2",
        "expected   about 10 tokens of prompts and 20 of answers, 0.5000 USD",
        "at most    about 1,000 tokens of prompts and 2,000 of answers, price not known",
    ]
