"""TensorBoard and Weights & Biases: optional, and imported only where they are asked for.

Both get one curve per method and seed. A run that is resumed goes on in the same curves:

TensorBoard hides what older files of a curve say from the first step on that is written again. It
shows every step once; the files keep the hidden points.

W&B knows a run by an id, which is kept in ``wandb.json``. Online, the server tells how far a run
got, and what it has is not sent again. It cannot take points back, so a method that begins anew
without a checkpoint leaves its old points as they are; the new ones are the same numbers. Offline,
every start writes a folder of its own, which does not know of the others: points between the last
checkpoint and the interruption are in two of them, with equal steps and equal values, until
``wandb sync`` has sent both.
"""

import importlib
import json
import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leed_jax import files, loggers

INSTALL = "pip install 'leed_jax[logging]'"
BACKENDS = {"tensorboard": "tensorboardX", "wandb": "wandb"}
"""By the names that `RunConfig.loggers` has: the packages they need."""
MAX_AGENTS = 16
"""Of a larger team only the mean is drawn."""
WANDB_IDS = "wandb.json"


class TensorBoard(loggers.ClosingLogger):
    """Writes event files: ``tensorboard --logdir <folder>`` draws them.

    The horizontal axis is environment steps, or updates for a method that takes none (``bc``).
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Event files of a curve lie in ``<folder>/<method>/seed_<seed>``.

        Raises:
          ImportError: tensorboardX is not installed; names the extra.
        """
        self._writer = _package("tensorboard").SummaryWriter
        self._folder = Path(folder)
        self._curves: dict[str, Any] = {}

    def write(self, record: Mapping[str, Any]) -> None:
        """Draws the points of one line, and has them on the disk."""
        name, step = curve(record), place(record)
        if name not in self._curves:
            # Named by the time: TensorBoard reads files of a curve in the order of their names.
            suffix = f".{time.time_ns():020d}"
            self._curves[name] = self._writer(
                str(self._folder / name), purge_step=step, filename_suffix=suffix
            )
        for tag, value in scalars(record).items():
            self._curves[name].add_scalar(tag, value, step)
        self._curves[name].flush()

    def close(self) -> None:
        """Closes the event files."""
        for writer in self._curves.values():
            writer.close()
        self._curves.clear()


class WeightsAndBiases(loggers.ClosingLogger):
    """A W&B run per method and seed, in one group.

    ``WANDB_MODE=offline`` keeps everything on this machine, ``WANDB_PROJECT`` and
    ``WANDB_ENTITY`` say where it goes otherwise. A line's step is its number of updates; charts
    are drawn over ``steps``, which are those of TensorBoard.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        group: str | None = None,
        config: Mapping[str, Any] | None = None,
        mode: str | None = None,
    ) -> None:
        """Nothing is begun before the first line comes.

        Args:
          folder: gets ``wandb.json``, and W&B's own folder ``wandb``.
          group: of the runs; None: the folder's name.
          config: of the training, shown beside the charts.
          mode: online, offline or disabled; None: what ``WANDB_MODE`` says.

        Raises:
          ImportError: wandb is not installed; names the extra.
          ValueError: ``wandb.json`` is damaged.
        """
        self._wandb = _package("wandb")
        self._folder, self._mode, self._config = Path(folder), mode, config
        self._group = group or self._folder.resolve().name
        self._ids = _read_ids(self._folder / WANDB_IDS)
        self._runs: dict[str, Any] = {}

    def write(self, record: Mapping[str, Any]) -> None:
        """Sends one line, unless the server has it already.

        Raises:
          OSError: W&B cannot begin the run; says what to do.
        """
        name, step = curve(record), record["updates"]
        if name not in self._runs:
            self._runs[name] = self._begin(name)
        if step < self._runs[name].starting_step:
            return
        told = {"steps": place(record), "env_steps": record["env_steps"], **scalars(record)}
        self._runs[name].log(told, step=step)

    def _begin(self, name: str) -> Any:
        if name not in self._ids:
            self._ids[name] = secrets.token_hex(4)
            files.write(self._folder / WANDB_IDS, json.dumps(self._ids, indent=1) + "\n")
        given = os.environ.get("WANDB_PROJECT")
        try:
            run = self._wandb.init(
                project=given or "leed_jax",
                id=self._ids[name],
                name=f"{self._group} {name.replace('/', ' ')}",
                group=self._group,
                dir=str(self._folder),
                config=None if self._config is None else dict(self._config),
                mode=self._mode,
                resume="allow",
                reinit="create_new",
                # Else it takes stdout and stderr over, and the progress bar with them.
                settings=self._wandb.Settings(console="off"),
            )
        except self._wandb.Error as error:
            raise OSError(
                f"Weights & Biases: {' '.join(str(error).split())}; `wandb login`, or "
                "WANDB_MODE=offline to keep everything on this machine"
            ) from None
        run.define_metric("steps")
        run.define_metric("*", step_metric="steps")
        return run

    def close(self) -> None:
        """Has everything written or sent."""
        for run in self._runs.values():
            run.finish()
        self._runs.clear()


def require(names: Sequence[str]) -> None:
    """Raises ``ImportError``, naming the extra, where a package that is asked for is missing."""
    for name in names:
        _package(name)


def make(
    names: Sequence[str], folder: Path, config: Mapping[str, Any] | None = None
) -> list[loggers.Logger]:
    """The loggers of a run, by their names in `BACKENDS`; the caller closes them.

    Args:
      names: which.
      folder: of the run's results.
      config: of the run.

    Raises:
      ImportError: a package is missing; names the extra.
    """
    found: list[loggers.Logger] = []
    if "tensorboard" in names:
        found.append(TensorBoard(folder / "tensorboard"))
    if "wandb" in names:
        found.append(WeightsAndBiases(folder, config=config))
    return found


def curve(record: Mapping[str, Any]) -> str:
    """``<method>/seed_<seed>``, and in a sweep learning rate and λ besides."""
    name = f"{record['method']}/seed_{record['seed']}"
    if "learning_rate" in record:
        name += f"_lr_{record['learning_rate']:g}_weight_{record['expert_weight_start']:g}"
    return name


def place(record: Mapping[str, Any]) -> int:
    """Where on the horizontal axis a line is: environment steps, or updates if there are none."""
    return record["env_steps"] or record["updates"]


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """A line's numbers by name, e.g. ``loss/policy`` or ``agent_return/0``.

    What is said per agent has a mean, and a number for each agent unless there are more than
    `MAX_AGENTS`. Numbers that are not finite are left out.
    """
    skipped = ("seed", "env_steps", "learning_rate", "expert_weight_start")
    found: dict[str, float] = {}
    for name, value in record.items():
        if name in skipped or isinstance(value, str):
            continue
        if isinstance(value, Mapping):
            found |= {f"{name}/{key}": float(item) for key, item in value.items()}
        elif isinstance(value, list):
            found[f"{name}/mean"] = sum(value) / max(1, len(value))
            if len(value) <= MAX_AGENTS:
                found |= {f"{name}/{index}": float(item) for index, item in enumerate(value)}
        else:
            found[name] = float(value)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(BACKENDS[name])
    except ImportError as error:
        raise ImportError(f"loggers: {name} needs {BACKENDS[name]}: {INSTALL} ({error})") from None


def _read_ids(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ValueError(f"{path} must be a JSON object of W&B's ids; delete it to begin new runs")
    return found
