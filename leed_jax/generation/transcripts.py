"""Transcripts as files: written after every round, shipped with the package, found again."""

import contextlib
import importlib.resources
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pydantic

from leed_jax import files
from leed_jax.generation.clients import GenerationError
from leed_jax.generation.records import Specification, Transcript, slug

MAX_FILE_BYTES = 32 * 2**20
"""A larger file is refused unread."""
DEFAULT_FOLDER = Path("leed_transcripts")
"""Where live conversations are kept unless told otherwise, under the current folder."""


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
    return importlib.resources.files("leed_jax") / "transcripts" / slug(name)


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
            *sorted((given / slug(wanted.name)).glob("*.json")),
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
