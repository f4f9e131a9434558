"""What answers have taken, and the caps on it; kept by this package, not by the provider."""

import math
import time
from collections.abc import Sequence

from leed_jax.generation import clients
from leed_jax.generation.clients import Answer
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.prompts import Request

_FREE = ("replay", "chat")
"""Sources that spend nothing, so that no cap applies."""


class Budget:
    """Tokens, money and seconds of a generation, counted from here on.

    Attributes:
      answers: all that came back.
      tokens: spent, where an answer does not tell by estimate.
    """

    def __init__(self, config: GenerationConfig, source: str) -> None:
        self.answers: list[Answer] = []
        self.tokens = 0
        self._config = config
        self._free = source in _FREE
        self._deadline = math.inf
        if config.max_seconds is not None and not self._free:
            self._deadline = time.monotonic() + config.max_seconds

    def __str__(self) -> str:
        known = self._known_costs()
        whole = len(known) == len(self.answers)
        return f"{self.tokens:,} tokens, {f'{sum(known):.4f} USD' if whole else 'cost unknown'}"

    def add(self, request: Request, answer: Answer) -> None:
        """Counts an answer."""
        self.answers.append(answer)
        prompt, given = answer.prompt_tokens, answer.completion_tokens
        self.tokens += request.tokens if prompt is None else prompt
        self.tokens += len(clients.clean(answer.text)) // 3 if given is None else given

    def seconds_left(self) -> float | None:
        """Until everything is given up; None: no limit."""
        if self._deadline == math.inf:
            return None
        return max(0.0, self._deadline - time.monotonic())

    @property
    def too_late(self) -> str:
        """The reason why a generation ends when no seconds are left."""
        return f"max_seconds = {self._config.max_seconds:g} reached"

    def refusal(self, request: Request, flying: Sequence[Request]) -> str | None:
        """Why ``request`` may not be sent, given those under way; None if it may."""
        config = self._config
        if self.seconds_left() == 0:
            return self.too_late
        if self._free:
            return None
        coming = sum(one.tokens + config.max_answer_tokens for one in (request, *flying))
        if config.max_total_tokens is not None and self.tokens + coming > config.max_total_tokens:
            return (
                f"max_total_tokens = {config.max_total_tokens:,} would be exceeded: "
                f"{self.tokens:,} spent, up to {coming:,} for the next request and those under way"
            )
        if config.max_cost_usd is not None:
            known = self._known_costs()
            if len(known) < len(self.answers):
                return "max_cost_usd cannot be kept: the cost of an answer is not known"
            # The dearest answer so far is the estimate for every one to come.
            coming_cost = max(known, default=0.0) * (1 + len(flying))
            if sum(known) + coming_cost > config.max_cost_usd:
                return (
                    f"max_cost_usd = {config.max_cost_usd:g} would be exceeded: {sum(known):.4f} "
                    f"spent, and about {coming_cost:.4f} for the next request and those under way"
                )
        return None

    def _known_costs(self) -> list[float]:
        return [answer.cost_usd for answer in self.answers if answer.cost_usd is not None]
