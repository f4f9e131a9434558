"""The blocks of the documentation's pages: what they are, how they run, what they must say."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
GENERATED = {"configuration.md"}
"""Pages that are there when the site is built."""
LEFT_OUT = "…"
"""In a block of text or Markdown: anything at all."""
ERROR = re.compile(r"(\w+(?:Error|Needed)): ")


class Block(NamedTuple):
    """Between two fences."""

    language: str
    text: str
    line: int


def all_pages() -> list[Path]:
    """README.md and the pages that are on the disk."""
    return [README, *sorted(DOCS.glob("*.md"))]


def blocks(text: str, *languages: str) -> list[Block]:
    """The fenced blocks of a page, in order; of these languages, if any are named."""
    found = [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 2)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    return [block for block in found if not languages or block.language in languages]


def run(text: str, page: str, names: Mapping[str, Any], shorter: Mapping[str, str]) -> Any:
    """Runs a page's Python, one block after another; returns the names that they leave behind.

    A block of ``text`` right behind one of Python is what that prints or, if it begins with the
    name of an error, the error that it ends with.

    Args:
      text: of the page.
      page: its name, for messages.
      names: what the blocks find.
      shorter: what stands in them -> what is executed instead; all of it must be there.
    """
    for full in shorter:
        assert any(full in block.text for block in blocks(text, "python")), (
            f"{page} no longer says {full}"
        )
    found: dict[str, Any] = {"__name__": page, **names}
    parts = blocks(text, "python", "text")
    for index, block in enumerate(parts):
        if block.language == "python":
            code = block.text
            for full, short in shorter.items():
                code = code.replace(full, short)
            behind = parts[index + 1] if index + 1 < len(parts) else None
            expected = behind.text if behind and behind.language == "text" else None
            # Lines of a traceback are then those of the page.
            _run_block("\n" * (block.line - 1) + code, page, found, expected)
    return found


def _run_block(code: str, page: str, names: dict[str, Any], expected: str | None) -> None:
    compiled = compile(code, page, "exec")
    if expected is None:
        exec(compiled, names)
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(compiled, names)
        got = said.getvalue()
    except Exception as error:
        if not ERROR.match(expected):
            raise
        got = f"{type(error).__name__}: {error}"
    assert matches(expected, got), f"{page} says\n{expected}\nand it is\n{got}"


def matches(expected: str, got: str) -> bool:
    """Whether a text reads as expected, up to what is left out and space at the end of lines."""
    pieces = [re.escape(piece.strip()) for piece in _trimmed(expected).split(LEFT_OUT)]
    return re.fullmatch(".*".join(pieces), _trimmed(got), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command that a page shows: fenced, indented, or within a line."""
    places = [block.text for block in blocks(text, "bash", "")]
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    places += re.findall(r"^ {4}(?:\S.*\n?)+", outside, re.MULTILINE)
    places += [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", outside)]
    for place in places:
        for line in place.replace("\\\n", " ").splitlines():
            for each in line.split("&&"):
                if re.match(r"\s*(\w+=\S+ +)*(srun +)?(\S*python3? |leed \w|pip |\S+/pip )", each):
                    yield shlex.split(each, comments=True)
