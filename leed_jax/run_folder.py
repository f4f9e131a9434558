"""The results folder of a run: begun, found again, and left in order.

What a run leaves in ``results/<name>`` is an interface that other programs read; its keys stay.
"""

import contextlib
import dataclasses
import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leed_jax import files, loggers, settings
from leed_jax import summary as summaries
from leed_jax.run_config import RunConfig

MAY_DIFFER = (
    *("render", "progress", "results", "name", "max_memory_mb", "compilation_cache"),
    *("devices", "distributed", "checkpoints", "loggers", "demonstrations", "initial"),
)
"""Settings that a run may be resumed with other values of: they say nothing about its numbers.
Files may lie elsewhere: their check sums tell whether they are the same."""
PROBE_BYTES = 2**16
"""Written and deleted again, to see whether there is room."""


def prepare(config: RunConfig) -> tuple[Path, dict[str, Any]]:
    """The folder and what its ``config.json`` says, or is to say; nothing is made yet.

    Raises:
      FileExistsError: it holds a run with another configuration, or something else.
      OSError: nothing can be written there.
      ValueError: its ``config.json`` cannot be read.
    """
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = config.name or f"{config.scenario.replace('/', '-')}_{now}"
    folder = config.results / name
    require_writable(folder)
    if (folder / "config.json").exists():
        found = _read(folder)
        differing = _differences(settings.from_json(RunConfig, found["config"]), config)
        if differing:
            raise FileExistsError(
                f"{folder} holds a run with another configuration: {'; '.join(differing)}; choose "
                f"another --name, or go on with it: {resume_command(folder)}"
            )
        clean(folder)
        return folder, found
    if folder.exists() and any(not _is_partial(path) for path in folder.iterdir()):
        raise FileExistsError(f"{folder} exists and is no run; choose another --name")
    clean(folder)
    return folder, {
        "config": config.as_json(),
        "command": summaries.command(),
        "versions": summaries.versions(),
        "device": summaries.device(),
        "processor": summaries.processor(),
        "git_revision": summaries.git_revision(),
    }


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run that began, to go on with it where its folder lies now.

    Raises:
      FileNotFoundError: there is no run in the folder.
      ValueError: its ``config.json`` is damaged, or of another version; names the field.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no run: there is no config.json; it is written once there are "
            "demonstrations, so start the run again as it was started"
        )
    config = settings.from_json(RunConfig, _read(folder)["config"], f"{folder}/config.json: config")
    place = folder.resolve()
    return dataclasses.replace(config, results=place.parent, name=place.name)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {str(error)[:200]}; choose another --name") from None
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise ValueError(f"{path} holds no configuration; choose another --name")
    return found


def _differences(there: Any, now: Any, prefix: str = "") -> list[str]:
    """Settings of which the values are different, in words."""
    found = []
    for field in dataclasses.fields(now):
        old, new = getattr(there, field.name), getattr(now, field.name)
        if old == new or f"{prefix}{field.name}" in MAY_DIFFER:
            continue
        if dataclasses.is_dataclass(new):
            found += _differences(old, new, f"{prefix}{field.name}.")
        else:
            found.append(f"{prefix}{field.name} is {old!r} there and {new!r} now")
    return found


def resume_command(folder: Path) -> str:
    """What to type to go on with a run."""
    return f"{program()} --resume {folder}"


def program() -> str:
    """What the command that runs is called: ``leed run``, or else ``python -m experiments.run``."""
    return "leed run" if Path(sys.argv[0]).stem == "leed" else "python -m experiments.run"


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Errors from outside, and interruptions, get a note that says how to go on."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        if (folder / "config.json").exists():
            error.add_note(f"What is finished is whole. To go on: {resume_command(folder)}")
        raise


def require_writable(folder: Path) -> None:
    """Raises ``OSError`` where a folder cannot be made, or nothing be written into it."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    with tempfile.TemporaryFile(dir=place) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()


def clean(folder: Path) -> None:
    """Removes what a process that was killed left behind: it is part of nothing."""
    for path in folder.rglob("*.partial"):
        if _is_partial(path):
            path.unlink(missing_ok=True)
    for path in checkpoints(folder, "").glob("*"):
        if path.is_dir() and path.with_name(f"{path.name}.json").exists():
            discard_checkpoints(folder, path.name)


def _is_partial(path: Path) -> bool:
    return files.PARTIAL.search(path.name) is not None


def checkpoints(folder: Path, method: str) -> Path:
    """Where a method's checkpoints lie while it trains; its finished team is beside that."""
    return folder / "checkpoints" / method


def discard_checkpoints(folder: Path, method: str) -> None:
    """Of a method that is finished."""
    shutil.rmtree(checkpoints(folder, method), ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    files.write(path, json.dumps(loggers.jsonable(content), indent=1) + "\n")


def drop_unfinished(folder: Path) -> None:
    """Takes the lines of methods that have to begin anew out of ``metrics.jsonl``.

    Those of a method that has checkpoints stay: training goes on behind them.
    """
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    known = {card.stem for card in (folder / "checkpoints").glob("*.json")}
    known |= {found.name for found in (folder / "checkpoints").glob("*/")}
    with loggers.MetricsWriter(path):  # takes a torn line off
        pass
    found = loggers.read_metrics(path)
    lines = [line for line in found if line["method"] in known]
    if lines != found:
        files.write(path, "".join(json.dumps(line) + "\n" for line in lines))
