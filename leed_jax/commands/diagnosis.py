"""``leed doctor``: what is installed, what is missing, and what to do about it."""

import argparse
from typing import Any

from leed_jax import doctor

MARKS = {"ok": "ok   ", "note": "-    ", "wrong": "WRONG"}


def add(commands: Any) -> None:
    """Adds the command to a parser's."""
    parser = commands.add_parser(
        "doctor",
        help="what is installed, what is missing, and what to do about it",
        description="Checks Python, the packages and their versions, the device, API keys (their "
        "names alone), the folder for compiled programs, and the extras. Nothing is sent and "
        "nothing is changed. The exit status is 1 where something is wrong.",
    )
    parser.set_defaults(action=examine)


def examine(options: argparse.Namespace) -> int:
    """The command; returns the exit status."""
    del options
    found = doctor.examine()
    width = max(len(check.name) for check in found)
    for check in found:
        print(f"{MARKS[check.status]}  {check.name:<{width}}  {check.found}")
        if check.remedy:
            print(f"{'':<{width + 9}}{check.remedy}")
    wrong = sum(check.status == "wrong" for check in found)
    print("Everything that is needed is there." if not wrong else f"{wrong} to be mended.")
    return int(wrong > 0)
