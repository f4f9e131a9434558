"""What a generation would ask and cost; nobody is asked."""

import math
from typing import NamedTuple

from leed_jax.generation import files, generate, groups, llm, records, transcripts
from leed_jax.generation.clients import GenerationError
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.prompts import Goal, PlanKind, Request
from leed_jax.scenarios import Scenario


class Tokens(NamedTuple):
    """Of all calls together, estimated on the safe side (3 characters a token)."""

    prompts: int
    answers: int


class Preview(NamedTuple):
    """The prompts of a first round, and what all rounds would take."""

    model: str
    requests: tuple[Request, ...]
    """One for each group of agents that is asked."""
    calls: int
    """If no conversation ends early; tries that fail on their way come on top."""
    expected: Tokens | None
    """With answers as long as those recorded for this scenario; None where there are none."""
    at_most: Tokens
    """With answers as long as `GenerationConfig.max_answer_tokens` allows."""
    expected_usd: float | None
    """None: not known, because the model's price is not, or nothing was recorded."""
    at_most_usd: float | None
    """None: the model's price is not known."""
    limits: tuple[str, ...] = ()
    """Caps that end the generation before that."""

    def __str__(self) -> str:
        parts = []
        for number, request in enumerate(self.requests, 1):
            head = f"prompt of round 1, about {request.tokens:,} tokens"
            if len(self.requests) > 1:
                head += f", group {number} of {len(self.requests)}"
            parts.append(f"===== {head} =====\n{request.text}\n")
        usd = [_dollars(value) for value in (self.expected_usd, self.at_most_usd)]
        likely = "unknown: no answer was recorded for this scenario"
        if self.expected is not None:
            likely = f"{_tokens(self.expected)}, {usd[0]}"
        return "\n".join(
            [
                *parts,
                f"===== what {self.model} would be asked =====",
                f"calls      {self.calls}",
                f"expected   {likely}",
                f"at most    {_tokens(self.at_most)}, {usd[1]}",
                *(f"ends at    {limit}" for limit in self.limits),
            ]
        )


def preview_generation(
    scenario: Scenario,
    model: str = "replay",
    *,
    plans: PlanKind = "relational",
    goal: Goal = "learnable",
    config: GenerationConfig | None = None,
) -> Preview:
    """What `generate_plans` with these arguments would ask, and about what it would cost.

        print(leed.preview_generation(scenario, "openai/gpt-4o-mini"))

    No key is needed, and nothing is sent. A prompt of a later round repeats the first and holds the
    answer before it; what is fed back of its execution is not foreseen.

    Raises:
      GenerationError: the prompt is too long even for single agents.
      ValueError: ``plans`` or ``goal`` is unknown.
    """
    config = GenerationConfig() if config is None else config
    asked = generate.question(scenario, plans, goal, config)
    parts = groups.parts(asked, groups.fewest(asked, config.max_prompt_tokens))
    requests = tuple(part.request() for part in parts)
    kept = _recorded_answer(scenario, plans, goal)
    expected = None if kept is None else _all_rounds(requests, config, kept)
    at_most = _all_rounds(requests, config, config.max_answer_tokens)
    free = model == "replay" or model.startswith(files.PREFIX)
    limits = {
        "max_total_tokens": config.max_total_tokens,
        "max_cost_usd": config.max_cost_usd,
        "max_seconds": config.max_seconds,
    }
    return Preview(
        model=model,
        requests=requests,
        calls=len(requests) * config.max_rounds * config.conversations,
        expected=expected,
        at_most=at_most,
        expected_usd=None if expected is None else _price(model, expected, free),
        at_most_usd=_price(model, at_most, free),
        limits=tuple(f"{name} = {value:,}" for name, value in limits.items() if value is not None),
    )


def _all_rounds(requests: tuple[Request, ...], config: GenerationConfig, answer: int) -> Tokens:
    """Tokens of all conversations, if every answer has so many."""
    rounds, several = config.max_rounds, config.conversations
    first = sum(request.tokens for request in requests)
    repeated = len(requests) * answer * (rounds - 1)
    return Tokens(several * (first * rounds + repeated), several * len(requests) * rounds * answer)


def _recorded_answer(scenario: Scenario, plans: PlanKind, goal: Goal) -> int | None:
    """Mean tokens of the answers that came with the package; None where there are none."""
    try:
        found = transcripts.recorded(records.specification(scenario, plans, goal))
    except GenerationError:
        return None
    lengths = [len(kept.answer) / 3 for one in found for kept in one.rounds]
    return math.ceil(sum(lengths) / len(lengths)) if lengths else None


def _price(model: str, tokens: Tokens, free: bool) -> float | None:
    return 0.0 if free else llm.price(model, tokens.prompts, tokens.answers)


def _tokens(tokens: Tokens) -> str:
    return f"about {tokens.prompts:,} tokens of prompts and {tokens.answers:,} of answers"


def _dollars(value: float | None) -> str:
    return "price not known" if value is None else f"{value:.4f} USD"
