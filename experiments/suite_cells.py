"""One cell of a suite: what it is, running it, and the small files that are kept of it.

A cell is a method (or a variant of it) on a task, all its seeds side by side: one call of
`cli.run`. It computes in a folder that is not kept (``results/suites``), and once it is finished
its ``config.json``, ``metrics.jsonl`` and ``summary.json`` go to the published folder
(``docs/results/suites``); what is there is finished.
"""

import dataclasses
import datetime
import json
import math
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from leed_jax import cli, digests, files, loggers, settings
from leed_jax.cli import RunConfig
from leed_jax.config import ExpertConfig, ValueBasedConfig
from leed_jax.optimization import methods
from leed_jax.run_config import ASKING

MAX_BYTES = 60_000
"""Of the published metrics of a cell."""
IRRELEVANT = (
    *("results", "name", "progress", "render", "max_memory_mb", "devices", "distributed"),
    "compilation_cache",
)
"""Settings of a run that do not change its numbers."""
WEIGHING = ("weight", "final_weight", "schedule", "decay_power", "decay_fraction")
"""Settings of λ, which imitation alone does not look at."""
FAILURE = "failure.json"

State = Literal["open", "changed", "failed", "finished"]


class Cell(NamedTuple):
    """What is run, and where it stands in the tables."""

    suite: str
    task: str
    """Name of the task: of a folder, and of a row or panel."""
    variant: str
    """What is compared: a method's name, or what an ablation changes."""
    settings: Mapping[str, Any]
    """Fields of `RunConfig` by their dotted names, as in ``train.expert.weight``."""
    group: str = ""
    """Of an ablation: which table it belongs to."""

    @property
    def place(self) -> Path:
        """Folder below a root."""
        parts = (self.suite, self.task, self.group, self.variant)
        return Path(*(slug(part) for part in parts if part))

    @property
    def method(self) -> str:
        """The only one that it trains."""
        (method,) = self.settings["methods"]
        return method

    @property
    def command(self) -> str:
        """That runs it without the suite."""
        shown = []
        for name, value in self.settings.items():
            if isinstance(value, Mapping):
                shown += [f"{name}.{key}={item}" for key, item in value.items()]
            else:
                text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
                shown.append(f"{name}={text}")
        return "python -m experiments.run " + shlex.join(map(str, shown))

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return json.loads(json.dumps(self._asdict()))


class Summary(NamedTuple):
    """A published cell."""

    cell: Cell
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def method(self) -> dict[str, Any]:
        """The method's entry of ``summary.json``."""
        return self.summary["methods"][self.cell.method]


def slug(text: str) -> str:
    """Fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("._") or "unnamed"


def config(cell: Cell, work: Path = Path("results")) -> RunConfig:
    """The run that a cell is.

    Raises:
      ValueError: a setting that there is not, or not so; the message names it.
    """
    fields = loggers.jsonable({**dataclasses.asdict(RunConfig()), "results": "results"})
    for name, value in cell.settings.items():
        *path, last = name.split(".")
        inner = fields
        for part in path:
            inner = inner.get(part, {})
        if last not in inner:
            raise ValueError(f"{cell.place}: there is no setting {name}")
        inner[last] = loggers.jsonable(value)
    fields |= {"render": False, "results": str(work / cell.place.parent), "name": cell.place.name}
    return settings.from_json(RunConfig, fields, str(cell.place))


def run(cell: Cell, work: Path, published: Path) -> Path:
    """Runs a cell, or the rest of it, in this process, and publishes it; returns its folder.

    Raises:
      Exception: whatever the run raises.
    """
    wanted = config(cell, work)
    # A folder per configuration: what other settings left there is no part of this cell.
    said = json.dumps({**wanted.as_json(), "results": None})
    wanted = dataclasses.replace(wanted, name=f"{wanted.name}-{digests.sha256({}, said)[:8]}")
    began = time.perf_counter()
    folder = cli.run(wanted)
    return publish(cell, folder, published, time.perf_counter() - began)


def publish(cell: Cell, folder: Path, published: Path, seconds: float | None = None) -> Path:
    """Keeps what is small of a finished run; returns the folder.

    ``summary.json`` comes last: where it is, the others are.
    """
    target = published / cell.place
    about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    about["config"] |= {"results": "results", "name": cell.place.name}
    about |= {"cell": cell.describe(), "command": cell.command, "wall_seconds": seconds}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    summary["command"] = cell.command
    lines = thinned(loggers.read_metrics(folder / "metrics.jsonl"))
    target.mkdir(parents=True, exist_ok=True)
    (target / "summary.json").unlink(missing_ok=True)
    files.write(target / "config.json", json.dumps(about, indent=1) + "\n")
    files.write(target / "metrics.jsonl", "".join(lines))
    files.write(target / "summary.json", json.dumps(summary, indent=1) + "\n")
    (target / FAILURE).unlink(missing_ok=True)
    return target


def fail(cell: Cell, published: Path, error: str) -> None:
    """Keeps on the disk that a cell failed, and why, until it succeeds."""
    about = {"cell": cell.describe(), "error": error[-2000:]}
    about["date"] = datetime.date.today().isoformat()
    target = published / cell.place
    target.mkdir(parents=True, exist_ok=True)
    files.write(target / FAILURE, json.dumps(about, indent=1) + "\n")


def thinned(lines: list[dict[str, Any]], limit: int = MAX_BYTES) -> list[str]:
    """Metrics lines as short JSON, of so many evaluations as there is room for.

    Kept are what reports read: steps, seconds, return, success, mean λ. Where there are too many
    evaluations, those at geometrically spaced times stay, so that the beginning of a curve is seen,
    and always the first and the last.
    """
    by_seed: dict[Any, list[str]] = {}
    for line in lines:
        by_seed.setdefault(line["seed"], []).append(json.dumps(_short(line)) + "\n")
    count = min(map(len, by_seed.values()), default=0)
    for wanted in range(count, 0, -1):
        chosen = np.unique(np.geomspace(1, count, wanted).round().astype(int)) - 1
        if wanted == count:
            chosen = np.arange(count)
        kept = [each[index] for index in chosen for each in by_seed.values()]
        if sum(map(len, kept)) <= limit or len(chosen) <= 2:
            return kept
    return []


def _short(line: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: line[name] for name in ("method", "seed", "env_steps", "updates")}
    kept["seconds"] = round(line["seconds"], 3)
    kept["team_return"] = shortest(line["team_return"])
    kept["success"] = {name: shortest(value) for name, value in line["success"].items()}
    if "expert_weight" in line:
        kept["expert_weight"] = shortest(float(np.mean(line["expert_weight"])))
    return kept


def shortest(value: float | None) -> float | None:
    """The shortest number with the same 32 bits, which is what was computed."""
    if value is None or not math.isfinite(value):
        return None
    return float(str(np.float32(value)))


def state(cell: Cell, published: Path) -> State:
    """How far a cell is; ``changed`` where what is published had other settings."""
    folder = published / cell.place
    if not (folder / "summary.json").exists():
        return "failed" if (folder / FAILURE).exists() else "open"
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
        same = _relevant(settings.from_json(RunConfig, found)) == _relevant(config(cell))
    except (OSError, KeyError, ValueError):
        return "changed"
    return "finished" if same else "changed"


def _relevant(found: RunConfig) -> RunConfig:
    """With the defaults for all that does not change a cell's numbers."""
    ignored, kept = IRRELEVANT, found.train
    method = methods.resolve(found.methods[0], kept)
    kept = kept.replace(learning_rate=methods.learning_rate(method, kept))
    if not method.uses_expert and method.before is None:
        kept, ignored = kept.replace(expert=ExpertConfig()), (*ignored, *ASKING)
    elif not method.weighs:
        usual = {name: getattr(ExpertConfig(), name) for name in WEIGHING}
        kept = kept.replace(expert=dataclasses.replace(kept.expert, **usual))
    if method.mixer is None:
        kept = kept.replace(value_based=ValueBasedConfig())
    usual = {name: getattr(RunConfig(), name) for name in ignored}
    return dataclasses.replace(found, train=kept, **usual)


def load(folder: Path) -> Summary:
    """A published cell.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: not a published cell; names the folder.
    """
    found = [
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "summary.json")
    ]
    if "cell" not in found[0]:
        raise ValueError(f"{folder}: config.json has no entry cell, so it is no cell of a suite")
    return Summary(
        Cell(**found[0]["cell"]), found[0], found[1], loggers.read_metrics(folder / "metrics.jsonl")
    )


def load_all(published: Path, suite: str) -> list[Summary]:
    """All published cells of a suite, in the order of their folders' names."""
    found = sorted((published / slug(suite)).rglob("summary.json"))
    return [load(path.parent) for path in found]


def failures(published: Path, suite: str) -> list[tuple[Cell, str]]:
    """Cells that have failed and not succeeded since, with the last lines of their errors."""
    found = []
    for path in sorted((published / slug(suite)).rglob(FAILURE)):
        about = json.loads(path.read_text(encoding="utf-8"))
        found.append((Cell(**about["cell"]), about["error"]))
    return found
