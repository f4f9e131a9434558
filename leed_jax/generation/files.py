"""Answers from a chat window: prompts go into files, answers are read from files beside them."""

import re
import warnings
from pathlib import Path

from leed_jax import answers, files
from leed_jax.generation import clients, replay
from leed_jax.generation.clients import Answer, AnswersNeeded
from leed_jax.generation.prompts import Request

PREFIX = "files:"
"""``model="files:<folder>"`` asks by files in that folder."""
# Chat windows put a fence around JSON whatever they are told, so here, and only here, a fence
# around the whole answer is taken off.
_FENCE = re.compile(r"\s*```[a-zA-Z]*[ \t]*\r?\n(.*?)\r?\n[ \t]*```\s*", re.DOTALL)
_MAX_BYTES = 4 * answers.MAX_ANSWER_CHARACTERS + 1
"""More than any answer that the parser accepts can have, in UTF-8."""


class Files:
    """A `clients.Client` whose answers a person puts into files.

    ``conversation_0_round_1.prompt.md`` is written, ``conversation_0_round_1.answer.txt`` is
    read; a team that is asked in groups has ``conversation_0_round_1_group_0.prompt.md`` and so on.
    A file ``model.txt`` may name the model that answered.
    """

    source = "chat"

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def model(self) -> str:
        """What ``model.txt`` says, if it is there."""
        named = self.folder / "model.txt"
        text = named.read_text(errors="replace").strip() if named.is_file() else ""
        return text[:100] or "chat window"

    async def ask(self, request: Request, round: int, conversation: int) -> Answer:
        """See `clients.Client`.

        Raises:
          AnswersNeeded: there is no answer yet; its prompt has been written.
        """
        stem = f"conversation_{conversation}_round_{round}"
        if request.groups > 1:
            stem += f"_group_{request.group}"
        prompt = self.folder / f"{stem}.prompt.md"
        answer = self.folder / f"{stem}.answer.txt"
        if not answer.is_file() or not answer.stat().st_size:
            files.write(prompt, request.text)
            raise AnswersNeeded([(prompt, answer)])
        if prompt.is_file():
            line = replay.first_difference(prompt.read_text("utf-8", "replace"), request.text)
            if line is not None:
                warnings.warn(
                    f"{answer} answers a prompt that reads otherwise by now ({line}); remove "
                    "both files to be asked anew",
                    replay.TranscriptDriftWarning,
                    stacklevel=2,
                )
        with answer.open("rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8-sig", "replace")
        fenced = _FENCE.fullmatch(text)
        return Answer(
            text=fenced.group(1) if fenced else text,
            model=self.model,
            finish_reason="stop",
            date=clients.now(),
        )
