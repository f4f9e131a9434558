"""Runs a published cell again from its ``config.json`` and compares the numbers.

    python -m experiments.rerun docs/results/suites/paper/mpe_simple_spread_N_3/leed

On the same device with the same versions every evaluation has to be the same, bit for bit; a CPU is
the same where its model and its instructions are, which cells from before that was written down do
not say. Anywhere else the intervals of the final scores have to overlap. The exit status is 0 where
that holds.
"""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from experiments import suite_cells
from experiments.suite_cells import Summary
from leed_jax import cli, loggers, settings
from leed_jax.cli import RunConfig
from leed_jax.result_tables import interval

DECISIVE = ("jax", "jaxlib", "jaxmarl", "flax", "optax", "numpy")
"""Packages whose versions may change the last digit."""
DEVICE = ("device", "processor")
"""Fields of ``config.json`` that may, too."""


class Comparison(NamedTuple):
    """A published cell beside the same run now."""

    same_place: bool
    """The same device, processor and versions, so that numbers must be equal."""
    differences: list[str]
    """Of evaluations, the first few in words."""
    compared: int
    """Numbers that were compared."""
    before: dict[str, Any]
    """Published interval of the final team return."""
    now: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether the cell holds."""
        if self.same_place:
            return self.compared > 0 and not self.differences
        low = max(self.before["low"], self.now["low"])
        return low <= min(self.before["high"], self.now["high"])


def rerun(folder: Path, work: Path) -> Comparison:
    """Runs the cell in ``folder`` again in a folder below ``work``.

    Raises:
      FileNotFoundError: not all files of a cell are there.
      ValueError: not a cell, or settings that this version does not have; names them.
    """
    published = suite_cells.load(folder)
    found = settings.from_json(RunConfig, published.config["config"], str(folder / "config.json"))
    config = dataclasses.replace(found, results=work, name="rerun", render=False, progress=False)
    return compare(published, cli.run(config))


def compare(published: Summary, folder: Path) -> Comparison:
    """A published cell beside a finished run's folder."""
    about, summary = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("config.json", "summary.json")
    )
    method = published.cell.method
    fresh = {_key(line): line for line in loggers.read_metrics(folder / "metrics.jsonl")}
    differences, compared = [], 0
    for line in published.metrics:
        other = fresh.get(_key(line))
        if other is None:
            differences.append(f"{_name(line)}: not evaluated")
            continue
        for name, value in _numbers(line).items():
            compared += 1
            again = suite_cells.shortest(_numbers(other).get(name))
            if again != value:
                differences.append(f"{_name(line)}: {name} was {value} and is {again}")
    old = published.config.get("versions", {})
    new = about["versions"]
    return Comparison(
        same_place=all(published.config.get(name) == about[name] for name in DEVICE)
        and all(old.get(name) == new.get(name) for name in DECISIVE),
        differences=differences,
        compared=compared,
        before=published.method["team_return"],
        now=summary["methods"][method]["team_return"],
    )


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("method", "seed", "env_steps", "updates"))


def _name(line: dict[str, Any]) -> str:
    return f"seed {line['seed']}, {line['env_steps']:,} steps"


def _numbers(line: dict[str, Any]) -> dict[str, float | None]:
    return {"team_return": line["team_return"], **line["success"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, compares, says what differs; the exit status is 0 where the cell holds."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rerun", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a published cell")
    folder = parser.parse_args(arguments).folder
    console = rich.console.Console()
    try:
        with tempfile.TemporaryDirectory() as work:
            found = rerun(folder, Path(work))
    except (FileNotFoundError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    place = "the same device and versions"
    if not found.same_place:
        place = "another device or other versions, or not known to be the same"
    console.print(f"{place}: {found.compared} numbers compared", highlight=False)
    console.print(f"{len(found.differences)} differ", highlight=False)
    for line in found.differences[:5]:
        console.print(f"  {line}", markup=False, highlight=False)
    both = (interval(found.before), interval(found.now))
    console.print("final team return: published {}, now {}".format(*both), markup=False)
    console.print("holds" if found.good else "does not hold")
    return 0 if found.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
