"""What answers a question: the protocol, the answer, what it took, and what can go wrong."""

import datetime
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import quote

from leed_jax.generation.prompts import Request

MAX_KEPT_CHARACTERS = 1_000_000
"""Of a longer answer the rest is dropped unread; the parser refuses it anyway."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_SECRET_SHAPE = re.compile(
    r"""(?i)(?:bearer(?:\s|%20)+|\bsk-)[^\s"'<>,;\\]{6,}|(?<=://)[^/\s@]{1,500}(?=@)"""
)


class Answer(NamedTuple):
    """What came back, whether it is of use or not."""

    text: str
    """As it was given."""
    model: str
    """By its own name, where the provider tells it."""
    finish_reason: str | None = None
    """"stop" for a whole answer; see `require_usable` for the others."""
    prompt_tokens: int | None = None
    """None: not known."""
    completion_tokens: int | None = None
    """None: not known."""
    cost_usd: float | None = None
    """None: the price is not known."""
    seconds: float = 0.0
    """From the question to the answer, waits and retries included."""
    date: str = ""
    """When the answer was given, ISO 8601."""
    failures: tuple[str, ...] = ()
    """Tries before the one that was answered, which failed on their way: when, how, what next."""


@runtime_checkable
class Client(Protocol):
    """Anything that answers; an object with this method may be passed as ``model``."""

    async def ask(self, request: Request, round: int, conversation: int) -> Answer:
        """The answer to ``request``, question ``round`` (from 1) of ``conversation`` (from 0).

        A large team is asked in groups, each of which has its own question in the same round:
        ``request.group`` (from 0) of ``request.groups``.

        Raises:
          GenerationError: there is none; the conversation ends.
        """
        ...


@dataclass(frozen=True)
class RoundResult:
    """One question and what became of the answer."""

    conversation: int
    round: int
    team_return: float | None
    """Mean over the scored episodes; None for an answer that was not executed in this round: a
    rejected one, or that of a group which has to wait for the others."""
    rejection: str | None
    """Why the answer was rejected."""
    group: int | None = None
    """Which agents were asked, from 0, where the team is asked in several groups."""

    def __str__(self) -> str:
        place = f"conversation {self.conversation}, round {self.round}"
        if self.group is not None:
            place += f", group {self.group}"
        if self.rejection is not None:
            return f"{place}: {self.rejection}"
        if self.team_return is None:
            return f"{place}: valid, kept until the other groups' answers are"
        return f"{place}: team return {self.team_return:.2f}"


class GenerationError(RuntimeError):
    """No valid plan was had; the message tells what was tried."""

    def __init__(
        self,
        message: str,
        rounds: Sequence[RoundResult] = (),
        transcripts: Sequence[os.PathLike[str]] = (),
        failures: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.failures = tuple(failures)
        self.rounds = tuple(rounds)
        self.transcripts = tuple(transcripts)


class AnswersNeeded(GenerationError):
    """Prompts lie in files and wait for their answers; the same call goes on once they are there.

    Attributes:
      prompts: files to paste into a chat window.
      answers: files to fill in, in the same order.
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        lines = [f"  {prompt}  ->  {answer}" for prompt, answer in pairs]
        super().__init__(
            "answers are needed: give each prompt to a model, save its whole answer beside it, "
            "and make the same call again\n" + "\n".join(lines)
        )
        self.prompts = tuple(prompt for prompt, _ in pairs)
        self.answers = tuple(answer for _, answer in pairs)


class UnusableAnswerError(ValueError):
    """An answer without a text to parse; the message is fit to be sent back to its author."""


def require_usable(answer: Answer) -> str:
    """The text of an answer that was given whole.

    Lone surrogates, which no file or request can hold, become question marks.

    Raises:
      UnusableAnswerError: cut off, withheld, or there is no text.
    """
    reason = answer.finish_reason
    if reason == "length":
        tokens = f" after {answer.completion_tokens} tokens" if answer.completion_tokens else ""
        raise UnusableAnswerError(
            f"The answer was cut off{tokens}, before it was complete: the limit was reached. "
            "Keep the comment short, and write the JSON on one line."
        )
    if reason == "content_filter":
        raise UnusableAnswerError("The answer was withheld by the provider's content filter.")
    if reason == "no_choices":
        raise UnusableAnswerError("The provider's response held no answer (no choices).")
    if reason == "no_content":
        raise UnusableAnswerError("The provider's response held an answer without any text.")
    if not isinstance(answer.text, str):
        raise UnusableAnswerError(f"The answer is no text but {type(answer.text).__name__}.")
    return clean(answer.text)


def clean(text: Any) -> str:
    """``text`` as it is kept: cut where it is senselessly long, and fit to be encoded."""
    kept = text[:MAX_KEPT_CHARACTERS] if isinstance(text, str) else ""
    return kept.encode("utf-8", "replace").decode("utf-8")


class Usage(NamedTuple):
    """What the answers took; for recorded answers, what they took when they were recorded."""

    calls: int
    prompt_tokens: int | None
    """Of the answers that told; None: none of them did."""
    completion_tokens: int | None
    """Of the answers that told; None: none of them did."""
    cost_usd: float | None
    """None: the price of at least one answer is not known."""
    seconds: float
    """Summed over the answers."""
    model: str
    source: str
    """"live", "replay", "files", or "custom" for a client of the user's own."""

    def __str__(self) -> str:
        counts = (self.prompt_tokens, self.completion_tokens)
        told = ["not told" if count is None else f"{count:,}" for count in counts]
        tokens = "tokens not told" if counts == (None, None) else f"{' + '.join(told)} tokens"
        cost = "cost unknown" if self.cost_usd is None else f"{self.cost_usd:.4f} USD"
        calls = f"{self.calls} call{'' if self.calls == 1 else 's'}"
        return f"{calls} to {self.model} ({self.source}): {tokens}, {cost}, {self.seconds:.1f} s"


def usage(answers: Sequence[Answer], model: str, source: str) -> Usage:
    """The sum over ``answers``; ``model`` is the name to show where no answer tells one."""

    def total(name: str) -> int | None:
        known = [getattr(a, name) for a in answers if getattr(a, name) is not None]
        return sum(known) if known else None

    costs = [answer.cost_usd for answer in answers]
    known_costs = [cost for cost in costs if cost is not None]
    names = list(dict.fromkeys(answer.model for answer in answers)) or [model]
    return Usage(
        calls=len(answers),
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        cost_usd=sum(known_costs) if costs and len(known_costs) == len(costs) else None,
        seconds=sum(answer.seconds for answer in answers),
        model=", ".join(names),
        source=source,
    )


def now() -> str:
    """Date and time, ISO 8601, UTC, whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def scrub(text: str, *secrets: str | None) -> str:
    """``text`` without keys: the given ones, those in the environment, and what looks like one."""
    held = [value for name, value in os.environ.items() if _SECRET_NAME.search(name)]
    given = [value.strip() for value in (*held, *secrets) if value]
    forms = {form for value in given for form in (value, quote(value, safe=""), repr(value)[1:-1])}
    # Shorter values hide nothing, and would tear holes into ordinary words.
    hidden = {form for form in forms if len(form) >= 6}
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "[removed]")
    return _SECRET_SHAPE.sub("[removed]", text)


def one_line(text: str, limit: int) -> str:
    """``text`` on one line of at most ``limit`` characters, none of which moves a cursor."""
    line = " ".join(text[: 4 * limit].split())
    return shorten("".join(c if c.isprintable() else "?" for c in line), limit)


def shorten(text: str, limit: int = 2000) -> str:
    """``text`` cut to ``limit`` characters, so that no message or prompt grows without bound."""
    return text if len(text) <= limit else text[:limit] + " [cut]"
