"""``leed transcripts``: recorded conversations with language models."""

import argparse
import importlib.resources
from pathlib import Path
from typing import Any

from leed_jax.commands.tables import print_table
from leed_jax.generation import transcripts
from leed_jax.generation.records import Transcript


def add(commands: Any) -> None:
    """Adds the command and its own ones to a parser's."""
    parser = commands.add_parser("transcripts", help="recorded answers of language models")
    parser.set_defaults(parser=parser)
    actions = parser.add_subparsers(metavar="COMMAND")
    listing = actions.add_parser(
        "list",
        help="recorded conversations there are",
        description="One line per conversation. Those that come with the package are what "
        "model=replay answers with; your own lie in leed_transcripts unless told otherwise.",
    )
    listing.add_argument("words", nargs="*", help="only names that hold all of these")
    listing.add_argument("--folder", type=Path, help="(default: the package's)")
    listing.set_defaults(action=_list)
    showing = actions.add_parser("show", help="what was asked and answered, round by round")
    showing.add_argument("name", help="from `leed transcripts list`, or a file")
    showing.add_argument("--prompts", action="store_true", help="with the whole prompts")
    showing.add_argument("--folder", type=Path, help="(default: the package's)")
    showing.set_defaults(action=_show)


def _files(folder: Path | None) -> dict[str, Path]:
    """Transcripts by name: their path in the folder without the suffix."""
    if folder is None:
        folder = Path(str(importlib.resources.files("leed_jax"))) / "transcripts"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder")
    found = sorted(folder.rglob("*.json"))
    return {str(path.relative_to(folder).with_suffix("")): path for path in found}


def _list(options: argparse.Namespace) -> None:
    rows = [("name", "answers", "best return", "tokens", "USD", "model")]
    for name, path in _files(options.folder).items():
        if not all(word in name for word in options.words):
            continue
        found = transcripts.load(path)
        returns = [kept.outcome.team_return for kept in found.rounds]
        known = [value for value in returns if value is not None]
        best = f"{max(known):.2f}" if known else "-"
        costs = [kept.cost_usd for kept in found.rounds]
        cost = "-" if None in costs else f"{sum(each or 0 for each in costs):.4f}"
        models = ", ".join(dict.fromkeys(kept.model for kept in found.rounds))
        rows.append((name, str(len(found.rounds)), best, _tokens(found), cost, models or "-"))
    if len(rows) == 1:
        raise ValueError("no such transcripts")
    print_table(rows, left=(0, 5))


def _tokens(found: Transcript) -> str:
    counts = [
        None
        if kept.prompt_tokens is None or kept.completion_tokens is None
        else kept.prompt_tokens + kept.completion_tokens
        for kept in found.rounds
    ]
    return "-" if None in counts else f"{sum(each or 0 for each in counts):,}"


def _show(options: argparse.Namespace) -> None:
    found = transcripts.load(_chosen(options.name, options.folder))
    agents = found.scenario.options
    print(f"{found.scenario.name} {agents}, {found.plans} plans for the goal {found.goal!r}")
    for kept in found.rounds:
        group = f", group {kept.group + 1} of {found.groups}" if found.groups > 1 else ""
        print(f"\n===== round {kept.round}{group}: {kept.model}, {kept.date} =====")
        if options.prompts:
            print(_plain("\n\n".join(message.content for message in kept.prompt)))
            print("\n===== answer =====")
        print(_plain(kept.answer))
        outcome = kept.outcome
        became = "waits for other groups"
        if not outcome.valid:
            became = f"rejected: {outcome.rejection}"
        elif outcome.team_return is not None:
            became = f"team return {outcome.team_return:.2f}"
        print(f"===== {became} =====")
    for one in found.unanswered:
        print(f"\n===== round {one.round}: no answer: {one.reason} =====")
    if found.ended is not None:
        print(f"ended: {found.ended}")


def _plain(text: str) -> str:
    """What a model or anybody else wrote, without characters that move a cursor."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _chosen(name: str, folder: Path | None) -> Path:
    """The one transcript of this name, or with a name that holds it."""
    if folder is None and Path(name).is_file():
        return Path(name)
    known = _files(folder)
    matching = [name] if name in known else [each for each in known if name in each]
    if len(matching) == 1:
        return known[matching[0]]
    if not matching:
        raise ValueError(f"no transcript {name!r}; `leed transcripts list` names them")
    shown = ", ".join(matching[:5]) + (", ..." if len(matching) > 5 else "")
    raise ValueError(f"{len(matching)} transcripts are called {name!r}: {shown}")
