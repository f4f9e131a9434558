"""The command ``leed``.

leed run                      from instructions to trained teams (`leed_jax.cli`)
leed generate                 instructions and demonstrations alone; --dry-run asks nobody
leed evaluate PATH            how good saved teams are
leed render PATH FILE.gif     what they do
leed transcripts list|show    recorded answers of language models
leed road list                road networks there are
leed road fetch SiouxFalls    have one that may not be shipped
leed road reference NETWORK   free flow, navigation, equilibrium and near-optimum of a fleet
leed doctor                   what is installed and what is missing
"""

import argparse
import importlib
import json
import sys
from collections.abc import Sequence

from leed_jax import files
from leed_jax.generation import AnswersNeeded, GenerationError

WITH_SETTINGS = {
    "run": "a whole run, from instructions to trained teams",
    "generate": "instructions and demonstrations alone; --dry-run shows prompts and cost",
}
"""Commands whose options are settings, in both spellings that `leed_jax.arguments` reads."""
OTHERS = ("evaluating", "rendering", "recorded", "road", "diagnosis")
"""Modules that add commands of their own."""
FIGURES = (
    "Learning curves and report.md, in a clone of the repository: python -m experiments.report {}"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script.

    Returns:
      The exit status: 0; 1 after an error of the user, told in one line on stderr; 130 after
      Ctrl-C; for wrong options argparse exits with 2.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return _run(given[1:])
    try:
        if given[:1] == ["generate"]:
            from leed_jax.commands import generating

            generating.generate(given[1:])
            return 0
        parser = _parser()
        options = parser.parse_args(given)
        if options.action is None:
            (options.parser or parser).print_help()
            return 0
        return options.action(options) or 0
    except AnswersNeeded as needed:  # a list of files: of use only line by line
        print(f"leed: {needed}", file=sys.stderr)
        return 1
    except OSError as error:
        return _failed(type(error).__name__, files.in_words(error))
    except (GenerationError, ValueError, TypeError, ImportError) as error:
        return _failed(type(error).__name__, str(error))
    except KeyboardInterrupt:
        return _failed("Interrupted", "stopped", 130)


def _failed(kind: str, message: str, status: int = 1) -> int:
    """One line about what is wrong; returns the exit status."""
    print(f"leed: {kind}: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leed",
        description="A language model's instructions, demonstrations from them, and teams of "
        "agents that learn from these. `leed COMMAND --help` says more about a command.",
        epilog="To begin with: `leed doctor`, then `leed run`. Neither needs an API key.",
    )
    parser.set_defaults(action=None, parser=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, words in WITH_SETTINGS.items():
        commands.add_parser(name, help=words)
    for name in OTHERS:
        importlib.import_module(f"leed_jax.commands.{name}").add(commands)
    return parser


def _run(arguments: list[str]) -> int:
    """A run as ``python -m experiments.run`` does it, without figures and report.

    Stdout gets the folder alone, for scripts; stderr the tables, and what makes figures of them.
    """
    from leed_jax import cli, displays, result_tables
    from leed_jax.optimization import devices

    try:
        folder = cli.carry_out(arguments)
    except cli.EndedError as ended:
        return _failed(ended.kind, str(ended), ended.status)
    if not devices.first_process():
        return 0
    console = displays.tables(stderr=True)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    console.print(result_tables.table(summary))
    console.print(FIGURES.format(folder), markup=False, highlight=False, soft_wrap=True)
    print(folder)
    return 0
