"""The loop: ask, check, score, feed back; several conversations side by side, caps kept."""

import concurrent.futures
import dataclasses
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from leed_jax import answers
from leed_jax.generation import background, clients, transcripts
from leed_jax.generation.clients import Answer, AnswersNeeded, Client, GenerationError, RoundResult
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.display import Report
from leed_jax.generation.feedback import Score
from leed_jax.generation.prompts import Request, Review
from leed_jax.instructions import Plan, Vocabulary

_FREE = ("replay", "chat")
"""Sources that spend nothing, so that no cap applies."""


class Setting(NamedTuple):
    """What all conversations of a generation share."""

    client: Client
    source: str
    """Of the answers, as transcripts name it."""
    vocabulary: Vocabulary
    render: Callable[[Sequence[Review]], Request]
    """Reviews of the earlier rounds -> the next question."""
    score: Callable[[Mapping[str, Plan]], Score]
    """Executes plans."""
    config: GenerationConfig
    specification: transcripts.Specification
    report: Report


@dataclass
class Conversation:
    """Questions that build on each other; what it holds grows by the round."""

    index: int
    limit: int
    """Rounds at most."""
    path: Path | None
    """Of its transcript, if one is written."""
    reviews: list[Review] = dataclasses.field(default_factory=list)
    results: list[RoundResult] = dataclasses.field(default_factory=list)
    recorded: list[transcripts.Round] = dataclasses.field(default_factory=list)
    ended: str | None = None
    """Why it ended early."""

    @property
    def next_round(self) -> int:
        """From 1."""
        return len(self.results) + 1

    @property
    def open(self) -> bool:
        """Whether there is a further round."""
        return self.ended is None and self.next_round <= self.limit


class Best(NamedTuple):
    """The best valid answer so far."""

    plans: Mapping[str, Plan]
    team_return: float
    request: Request
    result: RoundResult
    model: str


@dataclass
class Session:
    """All conversations of a generation, and what they have taken so far."""

    setting: Setting
    conversations: list[Conversation]
    answers: list[Answer] = dataclasses.field(default_factory=list)
    tokens: int = 0
    """Spent, where an answer does not tell by estimate."""
    best: Best | None = None
    stopped: str | None = None
    """Which cap ended the generation."""
    needed: list[AnswersNeeded] = dataclasses.field(default_factory=list)

    @property
    def results(self) -> list[RoundResult]:
        """Every round, by conversation."""
        return [result for one in self.conversations for result in one.results]

    @property
    def transcripts(self) -> tuple[Path, ...]:
        """Files that were written."""
        return tuple(c.path for c in self.conversations if c.path is not None and c.recorded)

    def run(self) -> None:
        """Asks until all rounds are over, every conversation has ended, or a cap is reached."""
        config = self.setting.config
        waiting = deque(one for one in self.conversations if one.open)
        deadline = math.inf
        if config.max_seconds is not None and self.setting.source not in _FREE:
            deadline = time.monotonic() + config.max_seconds
        pending: dict[concurrent.futures.Future[Answer], tuple[Conversation, Request]] = {}
        with background.event_loop(self.setting.client) as submit:
            while True:
                while waiting and len(pending) < config.concurrency and self.stopped is None:
                    request = self.setting.render(waiting[0].reviews)
                    flying = [other for _, other in pending.values()]
                    self.stopped = self._cap(request, flying, deadline)
                    if self.stopped is None:
                        one = waiting.popleft()
                        self._tell(one, f"asking, round {one.next_round} of {one.limit}")
                        question = self.setting.client.ask(request, one.next_round, one.index)
                        pending[submit(question)] = (one, request)
                if not pending:
                    break
                limit = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
                done, _ = concurrent.futures.wait(pending, limit, "FIRST_COMPLETED")
                if not done:
                    self.stopped = f"max_seconds = {config.max_seconds:g} reached"
                    break
                for future in sorted(done, key=lambda item: pending[item][0].index):
                    one, request = pending.pop(future)
                    self._receive(one, request, future)
                    if one.open:
                        waiting.append(one)
        for one in (*waiting, *(one for one, _ in pending.values())):
            self._end(one, self.stopped or "stopped")

    def _cap(self, request: Request, flying: Sequence[Request], deadline: float) -> str | None:
        """Why ``request`` may not be sent, given those under way; None if it may."""
        config = self.setting.config
        if time.monotonic() >= deadline:
            return f"max_seconds = {config.max_seconds:g} reached"
        if self.setting.source in _FREE:
            return None
        coming = sum(_expected_tokens(one, config) for one in (request, *flying))
        if config.max_total_tokens is not None and self.tokens + coming > config.max_total_tokens:
            return (
                f"max_total_tokens = {config.max_total_tokens:,} would be exceeded: "
                f"{self.tokens:,} spent, up to {coming:,} for the next request and those under way"
            )
        if config.max_cost_usd is not None:
            costs = [answer.cost_usd for answer in self.answers]
            known = [cost for cost in costs if cost is not None]
            if len(known) < len(costs):
                return "max_cost_usd cannot be kept: the cost of an answer is not known"
            # The dearest answer so far is the estimate for every one to come.
            coming_cost = max(known, default=0.0) * (1 + len(flying))
            if sum(known) + coming_cost > config.max_cost_usd:
                return (
                    f"max_cost_usd = {config.max_cost_usd:g} would be exceeded: {sum(known):.4f} "
                    f"spent, and about {coming_cost:.4f} for the next request and those under way"
                )
        return None

    def _receive(
        self,
        one: Conversation,
        request: Request,
        future: "concurrent.futures.Future[Answer]",
    ) -> None:
        """Checks, records and scores an answer; its review goes into the next question."""
        try:
            answer = future.result()
        except AnswersNeeded as error:
            self.needed.append(error)
            return self._end(one, "an answer is needed")
        except GenerationError as error:
            return self._end(one, str(error))
        if not isinstance(answer, Answer):
            raise TypeError(f"ask must return an Answer, got {type(answer).__name__}")
        self.answers.append(answer)
        self.tokens += _spent_tokens(request, answer)
        plans, rejection = None, None
        try:
            text = clients.require_usable(answer)
            plans = answers.parse(text, self.setting.vocabulary, request.plan_names)
        except (clients.UnusableAnswerError, answers.InvalidAnswerError) as error:
            rejection = clients.shorten(str(error))
        number = one.next_round
        # On disk before it is executed: whatever happens there, the answer may have cost money.
        self._record(one, number, request, answer, rejection, None)
        score = None if plans is None else self.setting.score(plans)
        if score is not None and not math.isfinite(score.team_return):
            score, rejection = None, "It was carried out, but its score is not a finite number."
        value = None if score is None else score.team_return
        self._record(one, number, request, answer, rejection, value)
        result = RoundResult(one.index, number, value, rejection)
        one.results.append(result)
        if plans is None or score is None:
            one.reviews.append(Review(clients.clean(answer.text), rejection=rejection))
            return self._tell(one, f"round {number} rejected")
        mine = [r.team_return for r in one.results if r.team_return is not None]
        review = Review(answer.text, None, plans, value, score.measures, score.agents, max(mine))
        one.reviews.append(review)
        if self.best is None or _rank(result) > _rank(self.best.result):
            self.best = Best(plans, score.team_return, request, result, answer.model)
        return self._tell(one, f"round {number}: {value:.2f}, best {max(mine):.2f}")

    def _record(
        self,
        one: Conversation,
        number: int,
        request: Request,
        answer: Answer,
        rejection: str | None,
        team_return: float | None,
    ) -> None:
        if one.path is None:
            return
        facts: dict[str, Any] = {k: v for k, v in answer._asdict().items() if k != "text"}
        kept = transcripts.Round(
            round=number,
            prompt=[transcripts.Message(**message) for message in request.messages],
            answer=clients.clean(answer.text),
            source=self.setting.source,
            outcome=transcripts.Outcome(
                valid=rejection is None, rejection=rejection, team_return=team_return
            ),
            **facts,
        )
        one.recorded[number - 1 :] = [kept]
        self._save(one)

    def _save(self, one: Conversation) -> None:
        if one.path is not None and one.recorded:
            made = (self.setting.specification, one.index, one.recorded, one.ended)
            transcripts.save(one.path, transcripts.transcript(*made))

    def _end(self, one: Conversation, reason: str) -> None:
        one.ended = clients.shorten(clients.scrub(reason))
        self._save(one)
        self._tell(one, f"ended: {reason.splitlines()[0]}")

    def _tell(self, one: Conversation, state: str) -> None:
        costs = [answer.cost_usd for answer in self.answers]
        known = [cost for cost in costs if cost is not None]
        cost = f"{sum(known):.4f} USD" if len(known) == len(costs) else "cost unknown"
        self.setting.report(one.index, f"{state}; {self.tokens:,} tokens, {cost}")


def _rank(result: RoundResult) -> tuple[float, int, int]:
    """Higher is better; of equals the earlier, whatever the order in which they came in."""
    value = -math.inf if result.team_return is None else result.team_return
    return value, -result.round, -result.conversation


def _expected_tokens(request: Request, config: GenerationConfig) -> int:
    """Of a request and its answer, on the safe side: English has about 4 characters a token."""
    return len(request.text) // 3 + config.max_answer_tokens


def _spent_tokens(request: Request, answer: Answer) -> int:
    prompt, given = answer.prompt_tokens, answer.completion_tokens
    prompt = len(request.text) // 3 if prompt is None else prompt
    return prompt + (len(clients.clean(answer.text)) // 3 if given is None else given)
