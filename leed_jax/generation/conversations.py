"""A conversation: rounds of questions that build on each other, and what is kept of them.

A round asks every group of the team (`groups`; most teams are one group) that has no valid answer
yet. Once all groups have one, their plans are executed together, and the next round asks all of
them again, with feedback.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from leed_jax.generation import clients, groups, records, transcripts
from leed_jax.generation.clients import Answer, RoundResult
from leed_jax.generation.feedback import Score
from leed_jax.generation.groups import Accepted, Part
from leed_jax.generation.prompts import Request, Review
from leed_jax.generation.records import Outcome, Round, Specification, Unanswered
from leed_jax.instructions import Plan


class Result(NamedTuple):
    """Valid answers of all groups that were executed together."""

    plans: Mapping[str, Plan]
    """For the whole team."""
    team_return: float
    accepted: tuple[Accepted, ...]
    """The answers, by group."""
    round: int
    """Of the last of them."""
    conversation: int

    @property
    def rank(self) -> tuple[float, int, int]:
        """Higher is better; of equals the earlier, whatever the order in which they came in."""
        return self.team_return, -self.round, -self.conversation


@dataclass
class Conversation:
    """What it holds grows by the answer."""

    index: int
    specification: Specification
    """What it is about, as its transcript says it."""
    limit: int
    """Rounds at most."""
    path: Path | None
    """Of its transcript, if one is written; another once somebody else has taken that name."""
    parts: list[Part]
    """One for every group of the team."""
    round: int = 1
    """The current one."""
    recorded: dict[tuple[int, int], Round] = dataclasses.field(default_factory=dict)
    """Every answer, by round and group."""
    outstanding: int = 0
    """Answers of the current round that have not come back yet."""
    lacks_answers: bool = False
    """Somebody has yet to write an answer of the current round into a file."""
    ended: str | None = None
    """Why it ended early."""
    unanswered: list[Unanswered] = dataclasses.field(default_factory=list)
    """Questions that got no answer."""
    written: bool = False
    """The file at `path` is this conversation's own, and may be replaced."""

    @property
    def open(self) -> bool:
        """Whether there is more to ask."""
        return self.ended is None and self.round <= self.limit

    @property
    def results(self) -> list[RoundResult]:
        """What became of every answer."""
        several = len(self.parts) > 1
        return [
            RoundResult(
                conversation=self.index,
                round=number,
                team_return=kept.outcome.team_return,
                rejection=kept.outcome.rejection,
                group=group if several else None,
            )
            for (number, group), kept in sorted(self.recorded.items())
        ]

    @property
    def best_team_return(self) -> float:
        """Of all rounds so far; minus infinity while there is none."""
        returns = [result.team_return for result in self.results]
        return max((value for value in returns if value is not None), default=-math.inf)

    def begin_round(self) -> list[Part]:
        """The groups that are asked in the current round: those without a valid answer."""
        asked = [part for part in self.parts if part.accepted is None]
        self.outstanding = len(asked)
        return asked

    def record(self, request: Request, answer: Answer, rejection: str | None, source: str) -> None:
        """Keeps an answer, on disk too: whatever happens next, it may have cost money."""
        facts: dict[str, Any] = {k: v for k, v in answer._asdict().items() if k != "text"}
        self.recorded[self.round, request.group] = Round(
            round=self.round,
            group=request.group,
            prompt=[records.Message(**message) for message in request.messages],
            answer=clients.clean(answer.text),
            source=source,
            outcome=Outcome(valid=rejection is None, rejection=rejection),
            **facts,
        )
        self.save()

    def record_unanswered(
        self, request: Request, source: str, reason: str, failures: Sequence[str] = ()
    ) -> None:
        """Keeps what became of a question without an answer; written when the conversation ends."""
        self.unanswered.append(
            Unanswered(
                round=self.round,
                group=request.group,
                prompt=[records.Message(**message) for message in request.messages],
                source=source,
                failures=tuple(failures),
                reason=clients.shorten(clients.scrub(reason)),
            )
        )

    def settle(self, score: Score) -> Result | None:
        """Reviews the answers of all groups, which were executed; None if that came to nothing."""
        accepted = tuple(part.accepted for part in self.parts if part.accepted is not None)
        rejection, value = None, score.team_return
        if not math.isfinite(value):
            rejection, value = "It was carried out, but its score is not a finite number.", None
        outcome = Outcome(valid=rejection is None, rejection=rejection, team_return=value)
        for (number, group), kept in self.recorded.items():
            if number == self.round:
                settled = kept.model_copy(update={"outcome": outcome})
                self.recorded[number, group] = settled
        self.save()
        for part, item in zip(self.parts, accepted, strict=True):
            if rejection is not None:
                part.reviews.append(Review(clients.clean(item.answer.text), rejection=rejection))
            else:
                part.reviews.append(_review(item, score, self.best_team_return))
            part.accepted = None
        if value is None:
            return None
        plans = groups.merge([item.plans for item in accepted])
        return Result(plans, value, accepted, self.round, self.index)

    def save(self) -> None:
        """Writes the transcript, if there is anything to write."""
        if self.path is None or not (self.recorded or self.unanswered):
            return
        rounds = [kept for _, kept in sorted(self.recorded.items())]
        made = records.transcript(
            self.specification,
            self.index,
            rounds,
            self.ended,
            groups=len(self.parts),
            unanswered=self.unanswered,
        )
        if self.written:
            transcripts.save(self.path, made)
        else:
            self.path, self.written = transcripts.create(self.path, made), True


def _review(item: Accepted, score: Score, best: float) -> Review:
    """What a group is told: its own plans and agents, and how the whole team did."""
    mine = {agent for plan in item.plans.values() for agent in plan}
    return Review(
        item.answer.text,
        plans=item.plans,
        team_return=score.team_return,
        measures=score.measures,
        agents={agent: text for agent, text in score.agents.items() if agent in mine},
        best_team_return=best,
        everyone=score.everyone,
        remarks=score.remarks,
    )
