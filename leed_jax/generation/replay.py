"""Recorded answers in the place of a model's; a prompt that has drifted is reported."""

import itertools
import re
import warnings
from collections.abc import Sequence

from leed_jax.generation import prompts
from leed_jax.generation.clients import Answer, GenerationError
from leed_jax.generation.prompts import Request
from leed_jax.generation.records import Transcript


class TranscriptDriftWarning(UserWarning):
    """A recorded answer belongs to a prompt that reads otherwise by now."""


class Replay:
    """A `clients.Client` that answers what was answered before."""

    source = "replay"

    def __init__(self, conversations: Sequence[Transcript]) -> None:
        self.conversations = list(conversations)
        self.model = self.conversations[0].rounds[0].model

    async def ask(self, request: Request, round: int, conversation: int) -> Answer:
        """See `clients.Client`; warns where the prompt is not the recorded one.

        Raises:
          GenerationError: nothing was answered there, as where a cap ended the recording.
        """
        place = f"conversation {conversation}, round {round}"
        if request.groups > 1:
            place += f", group {request.group}"
        rounds = self.conversations[conversation].rounds
        found = [kept for kept in rounds if (kept.round, kept.group) == (round, request.group)]
        if not found:
            raise GenerationError(f"{place}: no answer was recorded")
        kept = found[0]
        before = "\n\n".join(message.content for message in kept.prompt)
        line = first_difference(before, request.text)
        if line is not None:
            warnings.warn(
                f"{place}: the prompt is not the one that was answered "
                f"(recorded by another version, or with other settings); {line}",
                TranscriptDriftWarning,
                stacklevel=2,
            )
        return Answer(
            text=kept.answer,
            **{name: getattr(kept, name) for name in Answer._fields if name != "text"},
        )


def first_difference(before: str, now: str) -> str | None:
    """Where two prompts differ first, or None.

    In the feedback numbers may differ: they are means over executed episodes, which another device
    rounds otherwise, and in a battle or a chase the least rounding changes what happens next.
    """
    pairs = itertools.zip_longest(before.splitlines(), now.splitlines())
    review = False
    for number, (old, new) in enumerate(pairs, 1):
        review |= old == new == f"# {prompts.REVIEW}"
        alike = old is not None and new is not None and _words(old) == _words(new)
        if old != new and not (review and alike):
            return f"line {number} was {_cut(old)} and is {_cut(new)}"
    return None


def _words(line: str) -> str:
    """A line of feedback without its numbers, and without the remark on the best answer so far."""
    return re.sub(r" \(the best of your answers so far: \S+\)|[-+]?\d+(\.\d+)?", "", line)


def _cut(line: str | None) -> str:
    return "missing" if line is None else repr(line if len(line) <= 120 else line[:117] + "...")
