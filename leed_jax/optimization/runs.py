"""What a run is, as JSON: kept beside its checkpoints, and compared before they are used again."""

import dataclasses
import functools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from leed_jax import digests, files, loggers, versions
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import devices, methods
from leed_jax.optimization.members import Member
from leed_jax.types import EnvSpec

FORMAT, VERSION = "leed_jax.checkpoint", 1
RECORD = "run.json"
PACKAGES = ("leed_jax", "jax", "jaxlib", "flax", "optax", "numpy", "jaxmarl")
"""Another version of which may train otherwise."""
_NO_VALUE = "nothing"


class Checkpointing(NamedTuple):
    """Where checkpoints go, and which are kept."""

    folder: Path
    resume: bool = False
    keep: int = 3
    """The newest so many, besides the best."""
    every: int = 1
    """Evaluations between two."""


def checkpointing(
    folder: Any, *, resume: bool, keep: int, checkpoint_every: int
) -> Checkpointing | None:
    """The settings of `training.train` as one; None: no checkpoints.

    Raises:
      ValueError: a number below 1, or nothing to resume from; names the argument.
    """
    for name, value in (("keep", keep), ("checkpoint_every", checkpoint_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    if folder is None:
        if resume:
            raise ValueError("resume=True needs checkpoint_dir, the folder of the checkpoints")
        return None
    return Checkpointing(Path(folder), resume, keep, checkpoint_every)


def describe(
    scenario: Any,
    spec: EnvSpec,
    config: TrainConfig,
    method: methods.Method,
    members: Sequence[Member],
    demos: Demonstrations | None,
    expert: Any,
    initial: Any = None,
) -> dict[str, Any]:
    """All that decides what a run computes, as far as it can be told, as JSON.

    Of an expert there is only whether there is one, and of an environment that is no scenario only
    its specification: they are functions.

    Args:
      scenario: what is trained on, or its `ArrayEnv`.
      spec: of the environment.
      config: settings.
      method: that trains.
      members: all that are trained.
      demos: that it learns from.
      expert: that labels visited states.
      initial: parameters that the members begin with; None: random ones.
    """
    named = getattr(scenario, "options", {})
    described = {
        "method": method.name,
        "terms": [term.name for term in method.terms],
        "environment": spec._asdict(),
        "options": {str(name): repr(value) for name, value in dict(named).items()},
        "seeds": [member.seed for member in members],
        "learning_rates": [member.learning_rate for member in members],
        "expert_weights": [member.expert_weight for member in members],
        "demonstrations": None if demos is None else demos.content_hash,
        "expert": expert is not None,
        "initial": None if initial is None else digests.sha256(_by_path(initial)),
        "config": dataclasses.asdict(config),
    }
    return json.loads(json.dumps(loggers.jsonable(described)))


def _by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], place: Path) -> None:
    """Raises ``ValueError`` where a checkpoint is of another run than is ``wanted``.

    The message names the first field that differs, both values, and what to do. A setting that did
    not exist when the checkpoint was written had its default value.
    """
    defaults = _flat({"config": loggers.jsonable(dataclasses.asdict(TrainConfig()))})
    mine = _flat(wanted)
    theirs = {name: defaults[name] for name in mine if name in defaults} | _flat(found)
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        here, there = mine.get(name, _NO_VALUE), theirs.get(name, _NO_VALUE)
        if here != there:
            raise ValueError(
                f"{place} holds checkpoints of another run: {name} is {_short(there)} there and "
                f"{_short(here)} now; to resume, give what is there, else choose another "
                "checkpoint_dir"
            )


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."


@functools.cache
def installed() -> dict[str, str]:
    """Versions of `PACKAGES`, of those that have one."""
    found = {name: versions.installed(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version is not None}


def require_format(content: Any, place: Path) -> dict[str, Any]:
    """``content``, if it is JSON of this version's checkpoints.

    Raises:
      ValueError: it is something else; names the field.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{place}: not a file of checkpoints of this package")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{place}: version is {_short(content.get('version'))}, this package reads {VERSION}; "
            "resume with the package that wrote it, or choose another checkpoint_dir"
        )
    return content


class Record(NamedTuple):
    """What `RECORD` says beside the description of the run."""

    at_once: int
    """Members that were trained side by side; the same number again, or numbers would differ."""
    position: int | None
    """Bytes of the metrics file before the run; None: nobody wrote metrics."""


def opened(settings: Checkpointing, described: dict[str, Any]) -> Record | None:
    """What there is to resume in a folder of checkpoints; None: the run begins.

    Warns where versions of packages differ.

    Raises:
      FileExistsError: there is something, and it is not to be resumed; or it is no checkpoints.
      ValueError: it is of another run; names the field.
    """
    folder = settings.folder
    path = folder / RECORD
    for partial in folder.glob(f"{RECORD}.*.partial"):  # of a process that was killed
        partial.unlink(missing_ok=True)
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"checkpoint_dir {folder} is no folder")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not path.exists():
        raise FileExistsError(
            f"checkpoint_dir {folder} has files, but none of this package's checkpoints; choose "
            "an empty folder"
        )
    if not settings.resume:
        raise FileExistsError(
            f"checkpoint_dir {folder} holds checkpoints of a run; resume=True goes on with it, "
            "another folder begins anew"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {str(error)[:200]}") from None
    content = require_format(content, path)
    at_once, position = content.get("at_once"), content.get("metrics")
    counts = [at_once] if position is None else [at_once, position]
    if not all(type(count) is int and count >= 0 for count in counts) or not at_once:
        raise ValueError(f"{path}: at_once or metrics cannot be meant")
    for name in ("run", "versions"):
        if not isinstance(content.get(name), dict):
            raise ValueError(f"{path}: {name} must be a JSON object")
    require_same(content["run"], described, folder)
    now = installed()
    others = [
        f"{name} {there} (now {now[name]})"
        for name, there in content["versions"].items()
        if name in now and now[name] != there
    ]
    if others:
        warnings.warn(
            f"{folder} was written with {', '.join(others)}: what is trained from here on may "
            "differ from an uninterrupted run",
            stacklevel=2,
        )
    return Record(at_once, position)


def write(settings: Checkpointing, described: dict[str, Any], record: Record) -> None:
    """Begins a folder of checkpoints."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "versions": installed(),
        "at_once": record.at_once,
        "metrics": record.position,
        "run": described,
    }
    files.write(settings.folder / RECORD, json.dumps(content, indent=1) + "\n")


def by_first(function: Callable[[], Any]) -> Any:
    """What ``function`` returns, JSON, in the first process alone; all others get the same.

    Raises:
      OSError: the first process did; of the same class.
      ValueError: likewise.
    """
    if not devices.several_processes():
        return function()
    answer: dict[str, Any] = {}
    if devices.first_process():
        try:
            answer["value"] = function()
        except (ValueError, FileExistsError, OSError) as error:
            kind = next(k for k in (FileExistsError, OSError, ValueError) if isinstance(error, k))
            answer = {"error": kind.__name__, "message": str(error)}
    found = json.loads(devices.share(json.dumps(answer).encode()))
    if "error" in found:
        kinds = {kind.__name__: kind for kind in (FileExistsError, OSError, ValueError)}
        raise kinds[found["error"]](found["message"])
    return found["value"]
