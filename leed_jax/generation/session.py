"""The loop: ask, check, score, feed back; several conversations side by side, caps kept."""

import concurrent.futures
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leed_jax import answers
from leed_jax.generation import background, clients, groups
from leed_jax.generation.budget import Budget
from leed_jax.generation.clients import Answer, AnswersNeeded, Client, GenerationError, RoundResult
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.conversations import Conversation, Result
from leed_jax.generation.display import Report
from leed_jax.generation.feedback import Score
from leed_jax.generation.groups import Accepted, Part
from leed_jax.generation.prompts import Request, Review
from leed_jax.instructions import Plan


class Setting(NamedTuple):
    """What all conversations of a generation share."""

    client: Client
    source: str
    """Of the answers, as transcripts name it."""
    score: Callable[[Mapping[str, Plan], bool], Score]
    """Executes plans of the whole team; the flag says whether the model will be told of it."""
    config: GenerationConfig
    report: Report


class _Asked(NamedTuple):
    """A question under way."""

    conversation: Conversation
    part: Part
    request: Request


@dataclass
class Session:
    """All conversations of a generation, and what they have come to so far."""

    setting: Setting
    conversations: list[Conversation]
    budget: Budget
    best: Result | None = None
    stopped: str | None = None
    """Which cap ended the generation."""
    needed: list[AnswersNeeded] = field(default_factory=list)

    @property
    def results(self) -> list[RoundResult]:
        """What became of every answer, by conversation."""
        return [result for one in self.conversations for result in one.results]

    @property
    def transcripts(self) -> tuple[Path, ...]:
        """Files that were written."""
        kept = [one for one in self.conversations if one.recorded or one.unanswered]
        return tuple(one.path for one in kept if one.path is not None)

    def run(self) -> None:
        """Asks until all rounds are over, every conversation has ended, or a cap is reached."""
        waiting = deque((one, part) for one in self.conversations for part in one.begin_round())
        pending: dict[concurrent.futures.Future[Answer], _Asked] = {}
        with background.event_loop(self.setting.client) as submit:
            while True:
                self._send(waiting, pending, submit)
                if not pending:
                    break
                limit = self.budget.seconds_left()
                done, _ = concurrent.futures.wait(pending, limit, "FIRST_COMPLETED")
                if not done:
                    self.stopped = self.budget.too_late
                    for one, _, request in pending.values():
                        one.record_unanswered(request, self.setting.source, self.stopped)
                    break
                for future in sorted(done, key=lambda item: _place(pending[item])):
                    asked = pending.pop(future)
                    one = asked.conversation
                    one.outstanding -= 1
                    self._receive(asked, future)
                    if one.open and not one.outstanding:
                        self._end_round(one)
                        waiting.extend((one, part) for part in one.begin_round())
        for one in self.conversations:
            if one.open:
                self._end(one, self.stopped or "stopped")

    def _send(
        self,
        waiting: deque[tuple[Conversation, Part]],
        pending: dict[concurrent.futures.Future[Answer], _Asked],
        submit: background.Submit,
    ) -> None:
        """Asks what waits, as far as concurrency and caps allow."""
        while waiting and len(pending) < self.setting.config.concurrency and self.stopped is None:
            one, part = waiting[0]
            if one.open:  # it may have ended since, by its last round or another group's failure
                request = part.request()
                flying = [asked.request for asked in pending.values()]
                self.stopped = self.budget.refusal(request, flying)
                if self.stopped is not None:
                    return
                self._tell(one, f"asking{_of(part)}, round {one.round} of {one.limit}")
                question = self.setting.client.ask(request, one.round, one.index)
                pending[submit(question)] = _Asked(one, part, request)
            waiting.popleft()

    def _receive(self, asked: _Asked, future: "concurrent.futures.Future[Answer]") -> None:
        """Checks and records an answer; what was wrong goes into the next question."""
        one, part, request = asked
        try:
            answer = future.result()
        except AnswersNeeded as error:
            self.needed.append(error)
            one.lacks_answers = True
            return
        except GenerationError as error:
            if self.setting.source != "replay":
                source = self.setting.source
                one.record_unanswered(request, source, str(error), error.failures)
                one.save()
            self._end(one, str(error))
            return
        if not isinstance(answer, Answer):
            raise TypeError(f"ask must return an Answer, got {type(answer).__name__}")
        self.budget.add(request, answer)
        plans, rejection = None, None
        try:
            text = clients.require_usable(answer)
            vocabulary = part.question.scenario.vocabulary
            plans = answers.parse(text, vocabulary, request.plan_names)
        except (clients.UnusableAnswerError, answers.InvalidAnswerError) as error:
            rejection = clients.shorten(str(error))
        one.record(request, answer, rejection, self.setting.source)
        if plans is not None:
            part.accepted = Accepted(plans, request, answer)
        else:
            part.reviews.append(Review(clients.clean(answer.text), rejection=rejection))
            self._tell(one, f"round {one.round}{_of(part)} rejected")

    def _end_round(self, one: Conversation) -> None:
        """Executes the plans of all groups, if they are all there."""
        if one.lacks_answers:
            return self._end(one, "an answer is needed")
        accepted = [part.accepted.plans for part in one.parts if part.accepted is not None]
        if len(accepted) == len(one.parts):
            told = one.round < one.limit
            result = one.settle(self.setting.score(groups.merge(accepted), told))
            if result is None:
                self._tell(one, f"round {one.round} rejected")
            else:
                if self.best is None or result.rank > self.best.rank:
                    self.best = result
                best = one.best_team_return
                self._tell(one, f"round {one.round}: {result.team_return:.2f}, best {best:.2f}")
        one.round += 1

    def _end(self, one: Conversation, reason: str) -> None:
        if one.ended is None:
            one.ended = clients.shorten(clients.scrub(reason))
            one.save()
            self._tell(one, f"ended: {reason.splitlines()[0]}")

    def _tell(self, one: Conversation, state: str) -> None:
        self.setting.report(one.index, f"{state}; {self.budget}")


def _place(asked: _Asked) -> tuple[int, int]:
    """Answers that come in together are taken in this order."""
    return asked.conversation.index, asked.part.group


def _of(part: Part) -> str:
    return f", group {part.group} of {part.groups}" if part.groups > 1 else ""
