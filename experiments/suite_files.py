"""Measurements of a suite's tasks that no cell makes, in one JSON file beside the cells.

Both `suite_rates` and `suite_plans` measure task by task, write after every one, and skip those
that are there.
"""

import json
from pathlib import Path
from typing import Any

from experiments import suite_cells
from leed_jax import files


def path(published: Path, suite: str, name: str) -> Path:
    """Where a file of a suite lies."""
    return published / suite_cells.slug(suite) / name


def tasks(where: Path) -> dict[str, Any]:
    """What was measured, by task; empty where there is no file.

    Raises:
      KeyError: the file has no tasks.
      json.JSONDecodeError: it is no JSON.
    """
    return json.loads(where.read_text(encoding="utf-8"))["tasks"] if where.exists() else {}


def write(where: Path, command: str, known: dict[str, Any]) -> None:
    """All tasks so far, with the command that measures them."""
    files.write(where, json.dumps({"command": command, "tasks": known}, indent=1) + "\n")
