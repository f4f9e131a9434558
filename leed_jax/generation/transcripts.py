"""Recorded conversations: written after every round, shipped with the package, replayed.

A transcript is found by what was asked for (scenario and options, prompt template, kind of plan,
goal), not by a hash of prompts: these hold numbers that another device may round otherwise. The
prompt is kept beside its answer, and one that has drifted from the recorded one is reported.
"""

import contextlib
import importlib.resources
import itertools
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pydantic

from leed_jax import files
from leed_jax.generation import prompts
from leed_jax.generation.clients import Answer, GenerationError
from leed_jax.generation.prompts import Request
from leed_jax.scenarios import Scenario

FORMAT, VERSION = "leed_jax.transcript", 1
MAX_FILE_BYTES = 32 * 2**20
"""A larger file is refused unread."""
DEFAULT_FOLDER = Path("leed_transcripts")
"""Where live conversations are kept unless told otherwise, under the current folder."""


class TranscriptDriftWarning(UserWarning):
    """A recorded answer belongs to a prompt that reads otherwise by now."""


class Specification(NamedTuple):
    """What a transcript answers; with conversation and round, its key."""

    name: str
    options: dict[str, Any]
    plans: str
    goal: str
    template_version: int = prompts.TEMPLATE_VERSION
    reviewers: tuple[str, ...] = ()
    """Who commented on executed plans, beside the feedback that is always given."""

    @property
    def slug(self) -> str:
        """``<scenario>/<options>_<kind>_<goal>[_<reviewers>]``, fit for file names."""
        options = [f"{name}-{value}" for name, value in sorted(self.options.items())]
        short = "_".join(map(_slug, options))[:120] or "default"
        added = "".join(f"_{_slug(name)}" for name in self.reviewers)
        return f"{_slug(self.name)}/{short}_{_slug(self.plans)}_{_slug(self.goal)}{added[:120]}"


def _slug(text: str) -> str:
    """Never empty, for an empty first part would make a path that begins at the root."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._")[:120] or "unnamed"


def specification(
    scenario: Scenario, kind: str, goal: str, reviewers: Sequence[str] = ()
) -> Specification:
    """The key for ``scenario``: the options that its words depend on, as JSON gives them back."""
    chosen = scenario.options if scenario.prompt_options is None else scenario.prompt_options
    options = json.loads(json.dumps(chosen, default=str))
    return Specification(scenario.name, options, kind, goal, reviewers=tuple(reviewers))


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Message(_Record):
    """One message of a prompt."""

    role: str
    content: str


class Outcome(_Record):
    """What became of an answer."""

    valid: bool
    rejection: str | None = None
    team_return: float | None = None


class Round(_Record):
    """A question, its answer as it was given, and where that came from."""

    round: int = pydantic.Field(ge=1)
    group: int = pydantic.Field(default=0, ge=0)
    """Which group of the agents was asked."""
    prompt: list[Message]
    answer: str
    model: str
    date: str
    source: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    """Tries before this one that failed on their way."""
    outcome: Outcome


class Unanswered(_Record):
    """A question that got no answer, which ended its conversation."""

    round: int = pydantic.Field(ge=1)
    group: int = pydantic.Field(default=0, ge=0)
    prompt: list[Message]
    source: str
    failures: tuple[str, ...] = ()
    """All tries, in order, where the client tells them."""
    reason: str


class ScenarioKey(_Record):
    """The scenario's part of the key."""

    name: str
    options: dict[str, Any]


class Transcript(_Record):
    """One conversation."""

    format: Literal["leed_jax.transcript"] = FORMAT
    version: Literal[1] = VERSION
    scenario: ScenarioKey
    template_version: int
    plans: str
    goal: str
    conversation: int = pydantic.Field(ge=0)
    ended: str | None = None
    """Why the conversation ended before its last round, if it did."""
    groups: int = pydantic.Field(default=1, ge=1)
    """Into how many the team was split."""
    rounds: list[Round]
    unanswered: list[Unanswered] = []
    reviewers: tuple[str, ...] = ()
    """Who commented on executed plans."""

    @property
    def specification(self) -> Specification:
        """What it answers."""
        scenario = self.scenario
        key = (scenario.name, scenario.options, self.plans, self.goal, self.template_version)
        return Specification(*key, reviewers=self.reviewers)

    @property
    def last_round(self) -> int:
        """Its number, from 1; 0 where nothing was answered."""
        return max((kept.round for kept in self.rounds), default=0)


def transcript(
    wanted: Specification,
    conversation: int,
    rounds: Sequence[Round],
    ended: str | None = None,
    groups: int = 1,
    unanswered: Sequence[Unanswered] = (),
) -> Transcript:
    """A conversation under the key ``wanted``."""
    return Transcript(
        scenario=ScenarioKey(name=wanted.name, options=wanted.options),
        template_version=wanted.template_version,
        plans=wanted.plans,
        goal=wanted.goal,
        conversation=conversation,
        ended=ended,
        groups=groups,
        rounds=list(rounds),
        unanswered=list(unanswered),
        reviewers=wanted.reviewers,
    )


# ----------------------------------------------------------------------------------- files


def save(path: Path, recorded: Transcript) -> None:
    """Writes a transcript as JSON, in the place of an earlier state of it."""
    files.write(path, recorded.model_dump_json(indent=1) + "\n")


def create(path: Path, recorded: Transcript) -> Path:
    """Writes a new transcript; returns its path, another one if ``path`` has been taken since.

    So processes that record into the same folder at the same time keep out of each other's way.
    """
    for place in _takes(path):
        with contextlib.suppress(FileExistsError):
            files.write(place, recorded.model_dump_json(indent=1) + "\n", new=True)
            return place
    raise AssertionError("there is always another name")


def _takes(path: Path) -> Iterator[Path]:
    """``path`` and further names, ``<stem>_take_2.json`` and so on."""
    yield path
    stem = re.sub(r"_take_\d+$", "", path.stem)
    yield from (path.with_name(f"{stem}_take_{n}.json") for n in itertools.count(2))


def new_path(
    folder: str | os.PathLike[str], wanted: Specification, conversation: int, source: str
) -> Path:
    """A file for a conversation; an earlier one, which may have cost money, is kept.

    Only what came from answer files is written again: these hold its answers still.

    Raises:
      ValueError: ``folder`` is a file.
    """

    def free(path: Path) -> bool:
        if source != "chat" or not path.exists():
            return not path.exists()
        rounds = load(path).rounds
        return bool(rounds) and all(item.source == "chat" for item in rounds)

    if Path(folder).is_file() or Path(folder).suffix == ".json":
        raise ValueError(f"transcript must be a folder when answers are recorded, got {folder}")
    first = Path(folder) / f"{wanted.slug}_{conversation}.json"
    return next(path for path in _takes(first) if free(path))


def load(path: Path | Traversable) -> Transcript:
    """A transcript from a file.

    Raises:
      ValueError: no regular file, too large, or no transcript; names the file and the fields.
    """
    if not path.is_file():  # a pipe would be waited on for ever
        raise ValueError(f"{path}: not a regular file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
    try:
        return Transcript.model_validate_json(data)
    except pydantic.ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)[:5]
        ]
        raise ValueError(f"{path} is no transcript: {'; '.join(faults)[:1000]}") from None


def shipped(name: str) -> Traversable:
    """The folder of the transcripts of scenario ``name`` that come with the package."""
    return importlib.resources.files("leed_jax") / "transcripts" / _slug(name)


def recorded(
    wanted: Specification, source: str | os.PathLike[str] | None = None
) -> list[Transcript]:
    """All conversations that were recorded for ``wanted``, in order.

    Args:
      wanted: the key.
      source: a transcript, or a folder as they are recorded to; None: the shipped ones.

    Raises:
      GenerationError: there is none; lists those there are, and says how to record one.
      ValueError: a file that is none.
    """
    files: list[Path | Traversable]
    if source is None:
        folder = shipped(wanted.name)
        files = [f for f in folder.iterdir() if f.name.endswith(".json")] if folder.is_dir() else []
        files.sort(key=lambda file: file.name)
    else:
        given = Path(source)
        inside = [
            *sorted(given.glob("*.json")),
            *sorted((given / _slug(wanted.name)).glob("*.json")),
        ]
        files = [given] if given.is_file() else [*inside]
    found = [load(file) for file in files]
    fitting = [item for item in found if item.specification == wanted and item.rounds]
    if not fitting:
        raise GenerationError(_missing(wanted, found, source))
    return sorted(fitting, key=lambda item: item.conversation)


def _missing(wanted: Specification, found: Sequence[Transcript], source: Any) -> str:
    def say(key: Specification) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in key.options.items())
        version = f"prompt template {key.template_version}"
        if key.reviewers:
            version += f", reviewers {', '.join(key.reviewers)}"
        return f"{key.name}({options}), plans={key.plans!r}, goal={key.goal!r}, {version}"

    lines = list(dict.fromkeys(say(item.specification) for item in found)) or ["none"]
    return (
        f"no recorded answers for {say(wanted)} in {source or 'the package'}\n"
        "recorded ones for this scenario:\n" + "\n".join(f"  {line}" for line in lines) + "\n"
        "to record: model='provider/name' with that provider's API key, or "
        "model='files:<folder>' with any chat window; to play a recording of your own: "
        "model='replay', transcript=<its folder>"
    )


# ---------------------------------------------------------------------------------- replay


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
