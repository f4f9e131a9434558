"""The whole loop with a real server and model: it handles whatever is decided there."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import line_world
import local_llm
import pytest

from leed_jax.generation import GenerationConfig, GenerationError, generate_demonstrations
from leed_jax.scenarios import Scenario

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[local_llm.LocalLLM]:
    if not local_llm.available():
        if os.environ.get("CI"):
            pytest.fail(local_llm.INSTALL)
        pytest.skip(local_llm.INSTALL)
    with local_llm.LocalLLM(context=8192) as running:
        yield running


def test_a_real_models_cut_answer_is_a_rejected_round_that_is_recorded(
    server: local_llm.LocalLLM, folder: Path
) -> None:
    # The toy world has the shortest prompt there is, and 8 tokens are no plan: this is short.
    config = GenerationConfig(
        api_base=server.api_base,
        feedback_episodes=1,
        max_rounds=1,
        max_answer_tokens=8,
        temperature=0.0,
        timeout_seconds=100.0,
        max_retries=0,
    )
    with pytest.raises(GenerationError, match="no valid relational plans for toy/line") as raised:
        generate_demonstrations(line_world.scenario(), server.model, num_episodes=1, config=config)
    (result,) = raised.value.rounds
    assert result.rejection is not None and "cut" in result.rejection
    (path,) = folder.rglob("*.json")
    (kept,) = json.loads(path.read_text())["rounds"]
    assert kept["source"] == "litellm" and kept["finish_reason"] == "length"
    assert kept["completion_tokens"] == 8 and kept["prompt_tokens"] > 100
    assert kept["answer"] and not kept["outcome"]["valid"]


@pytest.mark.slow
def test_the_loop_handles_whatever_a_real_model_answers(
    server: local_llm.LocalLLM, scenario: Scenario, folder: Path
) -> None:
    config = GenerationConfig(
        api_base=server.api_base,
        feedback_episodes=4,
        max_rounds=2,
        max_answer_tokens=300,
        temperature=0.0,
        timeout_seconds=100.0,
        max_retries=0,
    )
    # Fewer words than the real task has: a prompt costs about 10 ms a token here.
    short = "Agents and landmarks lie on a plane. Each agent covers a landmark of its own."
    told = scenario._replace(
        task=short,
        advice={"learnable": "Early arrival is good."},
        # So that a plan fits into the answer, and the way to the environment is walked, too.
        vocabulary=scenario.vocabulary._replace(max_instructions=1),
    )
    try:
        demos = generate_demonstrations(told, server.model, num_episodes=4, config=config)
    except GenerationError as error:
        assert len(error.rounds) == 2 and all(result.rejection for result in error.rounds)
    else:
        assert demos.num_episodes == 4 and demos.provenance["usage"]["source"] == "live"
    (path,) = folder.rglob("*.json")
    rounds = json.loads(path.read_text())["rounds"]
    assert len(rounds) == 2
    for kept in rounds:
        assert kept["source"] == "litellm" and kept["cost_usd"] is None
        assert 500 < kept["prompt_tokens"] < 8000 and 0 < kept["completion_tokens"] <= 300
        assert kept["outcome"]["valid"] == (kept["outcome"]["rejection"] is None)
    assert "Answer 1 was" in rounds[1]["prompt"][1]["content"]


@pytest.mark.slow
def test_a_prompt_longer_than_the_context_is_named(
    server: local_llm.LocalLLM, scenario: Scenario
) -> None:
    config = GenerationConfig(api_base=server.api_base, max_retries=0)
    long = scenario._replace(task="word " * 9000)
    with pytest.raises(GenerationError, match="context"):
        generate_demonstrations(long, server.model, config=config)
