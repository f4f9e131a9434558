"""The one place that talks to providers: faults, retries, limits, keys, prices."""

import asyncio
import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from experiments.torture.fault_server import FaultServer, unused_port
from leed_jax.generation import Answer, GenerationConfig, GenerationError, clients, llm
from leed_jax.generation.prompts import Request

# litellm's own, at import and at calls; ours stay errors.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REQUEST = Request(({"role": "user", "content": "Plan."},), {"type": "object"}, ("any_episode",))
ROOT = Path(__file__).parents[2]
KEY = "key-0123456789-abcdef"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "FIRST_WAIT_SECONDS", 0.01)


def ask(model: str, api_base: str, **settings: Any) -> Answer:
    settings = {"timeout_seconds": 10.0, "max_retries": 2, "api_base": api_base} | settings
    client = llm.LiteLLM(f"openai/{model}", GenerationConfig(**settings))

    async def go() -> Answer:
        try:
            return await client.ask(REQUEST, 1, 0)
        finally:
            await client.close()

    return asyncio.run(go())


def test_an_answer_with_what_it_took(faults: FaultServer) -> None:
    answer = ask("ok", faults.api_base)
    assert answer.text == '{"ok": true}' and answer.finish_reason == "stop"
    assert (answer.prompt_tokens, answer.completion_tokens) == (10, 5)
    assert answer.model == "served-model" and answer.cost_usd is None  # no known price
    assert answer.seconds > 0 and answer.date.startswith("20")
    (sent,) = faults.requests
    assert sent["response_format"]["json_schema"] == {
        "name": "plans",
        "strict": True,
        "schema": {"type": "object"},
    }
    assert not {"temperature", "seed"} & set(sent)


def test_settings_are_sent(faults: FaultServer) -> None:
    ask("ok", faults.api_base, temperature=0.5, seed=3, max_answer_tokens=77)
    (sent,) = faults.requests
    assert sent["temperature"] == 0.5 and sent["max_tokens"] == 77 and sent["seed"] == 4


@pytest.mark.parametrize("fault", ["429", "500", "503", "html", "empty", "reset"])
def test_what_may_pass_is_tried_again(faults: FaultServer, fault: str) -> None:
    with pytest.raises(GenerationError, match=r"gave no answer \(3 tries\)"):
        ask(fault, faults.api_base)
    assert faults.calls[fault] == 3


@pytest.mark.parametrize("fault", ["400", "401", "403", "404", "422", "context"])
def test_what_stays_is_not(faults: FaultServer, fault: str) -> None:
    with pytest.raises(GenerationError, match=r"gave no answer \(1 try\)"):
        ask(fault, faults.api_base)
    assert faults.calls[fault] == 1


def test_a_refused_connection_is_named() -> None:
    with pytest.raises(GenerationError, match=r"3 tries\).*Error"):
        ask("ok", f"http://127.0.0.1:{unused_port()}/v1")


def test_an_unknown_provider_is_named() -> None:
    client = llm.LiteLLM("repaly", GenerationConfig(max_retries=0))
    with pytest.raises(GenerationError, match="repaly"):
        asyncio.run(client.ask(REQUEST, 1, 0))


def test_an_answer_after_failures_counts(faults: FaultServer) -> None:
    assert ask("flaky", faults.api_base).text == '{"ok": true}'
    assert faults.calls["flaky"] == 3


def test_the_pause_that_a_server_asks_for_is_kept(faults: FaultServer) -> None:
    began = time.monotonic()
    assert ask("retry-after", faults.api_base).seconds >= 0.2
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [("3", 3, 3), ("1e9", 60, 60), ("nan", 0, 0.02), ("soon", 0, 0.02), ("-4", 0, 0)],
)
def test_pauses_stay_within_bounds(value: str, low: float, high: float) -> None:
    failure = Exception()
    failure.litellm_response_headers = {"retry-after": value}  # type: ignore[attr-defined]
    assert low <= llm._pause(failure, 1) <= high


def test_a_pause_may_be_a_date() -> None:
    assert llm._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") < 0  # type: ignore[operator]


def test_the_time_limit_holds_for_the_whole_answer(faults: FaultServer) -> None:
    ask("ok", faults.api_base)  # late imports
    began = time.monotonic()
    with pytest.raises(GenerationError, match=r"no whole answer within 0\.5 s"):
        ask("slow-body", faults.api_base, timeout_seconds=0.5, max_retries=0)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no-choices", "no choices"),
        ("null-content", "without any text"),
        ("cut", "cut off after 5"),
    ],
)
def test_what_litellm_lets_through_is_an_error_of_our_own(
    faults: FaultServer, fault: str, said: str
) -> None:
    answer = ask(fault, faults.api_base)
    assert answer.prompt_tokens == 10  # it is paid for all the same
    with pytest.raises(clients.UnusableAnswerError, match=said):
        clients.require_usable(answer)


def test_a_provider_that_refuses_the_schema_is_asked_without_it(faults: FaultServer) -> None:
    assert ask("no-schema", faults.api_base, max_retries=0).text == '{"ok": true}'
    assert ["response_format" in sent for sent in faults.requests] == [True, False]


# ------------------------------------------------------------------------------------ keys


def test_keys_go_nowhere_but_to_the_provider(
    faults: FaultServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_OWN_KEY", KEY)
    with pytest.raises(GenerationError) as caught:
        ask("echo-key-error", faults.api_base, api_key="MY_OWN_KEY")
    assert faults.keys == [f"Bearer {KEY}"]
    assert KEY not in str(caught.value) and "[removed]" in str(caught.value)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    answer = ask("echo-key-answer", faults.api_base, api_key="MY_OWN_KEY")
    assert KEY not in answer.text
    assert KEY not in caplog.text and KEY not in repr(GenerationConfig(api_key="MY_OWN_KEY"))


def test_a_key_from_the_environment_is_not_sent_to_another_address(
    faults: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ask("ok", faults.api_base)
    assert faults.keys == ["Bearer none"]


def test_a_missing_key_is_named_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(GenerationError, match=r"ANTHROPIC_API_KEY.*files:<folder>"):
        llm.LiteLLM("anthropic/claude-sonnet-4-5", GenerationConfig())


def test_an_empty_key_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    client = llm.LiteLLM("openai/gpt-4o-mini", GenerationConfig())
    with pytest.raises(GenerationError, match=r"\(1 try\).*Missing credentials"):
        asyncio.run(client.ask(REQUEST, 1, 0))


@pytest.mark.parametrize("given", ["sk-this-is-a-key-itself", "a1b2c3d4e5f6"])
def test_a_key_in_the_wrong_place_is_not_repeated(given: str) -> None:
    with pytest.raises((ValueError, GenerationError)) as caught:
        llm.LiteLLM("openai/x", GenerationConfig(api_key=given))
    assert given not in str(caught.value) and "api_key" in str(caught.value)


@pytest.mark.parametrize(
    "text", [f"Bearer {KEY}", "sk-abcdefghij", "http://user:password1@host/v1", f"x{KEY}y"]
)
def test_what_looks_like_a_key_is_removed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    cleaned = clients.scrub(text)
    assert "[removed]" in cleaned
    assert not any(part in cleaned for part in (KEY, "abcdefghij", "password1"))


# ---------------------------------------------------------------------------- price, silence


def test_a_money_cap_needs_a_known_price() -> None:
    config = GenerationConfig(max_cost_usd=1.0, api_base="http://127.0.0.1:1/v1")
    with pytest.raises(GenerationError, match="price of openai/homemade is not known"):
        llm.LiteLLM("openai/homemade", config)
    llm.LiteLLM("openai/gpt-4o-mini", config)
    llm.LiteLLM("openai/homemade", dataclasses.replace(config, max_cost_usd=None))


def test_a_known_price_is_in_the_answer() -> None:
    litellm = llm.load()
    made = litellm.mock_completion(model="gpt-4o-mini", messages=[], mock_response="x" * 100)
    cost = llm._cost(litellm, made)
    assert cost is not None and cost > 0


def test_nothing_is_printed(faults: FaultServer, capfd: pytest.CaptureFixture[str]) -> None:
    for fault in ("ok", "400", "no-choices"):
        try:
            ask(fault, faults.api_base, max_retries=0)
        except GenerationError:
            continue
    assert capfd.readouterr() == ("", "")


def test_litellm_is_imported_only_when_a_provider_is_asked() -> None:
    code = "import sys, leed_jax.generation; print('litellm' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "False\n", ran.stderr


def test_prices_are_those_of_litellm_and_unknown_for_models_it_does_not_know():
    assert llm.price("no/such-model", 1, 1) is None
    one, two = (llm.price("gpt-4o", 1000 * n, 10 * n) for n in (1, 2))
    assert one is not None and two == pytest.approx(2 * one) and one > 0
