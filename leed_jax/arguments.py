"""What is typed behind ``python -m experiments.run`` or ``leed run``, as a `RunConfig`."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from leed_jax import run_folder
from leed_jax.run_config import RunConfig

Kind = TypeVar("Kind")
RESUME = "--resume"
LISTS = ("methods", "loggers", "train.network.hidden_sizes")
"""Options whose ``a=b,c`` spelling is a list."""


def parse(arguments: Sequence[str] | None = None) -> RunConfig:
    """`RunConfig` from ``--a.b value`` and, for users of Hydra, ``a.b=value`` arguments.

    Options of the scenario are spelled ``--options seed 2`` or ``options.seed=2``. Alone,
    ``--resume <folder>`` is the configuration of the run in that folder.

    Raises:
      FileNotFoundError: there is no run to be resumed.
      ValueError: settings that do not go together.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    resumed = [each for each in given if re.fullmatch(r"--resume|(--)?resume=.*", each)]
    if resumed:
        return run_folder.read_config(_only_folder(given, resumed[0]))
    return parse_as(RunConfig, given, run_folder.program())


def parse_as(kind: type[Kind], given: Sequence[str], program: str) -> Kind:
    """Settings of a command from arguments in both spellings.

    Args:
      kind: dataclass of the settings.
      given: the arguments.
      program: how its help calls the command.
    """
    spelled: list[str] = []
    options: list[str] = []
    for argument in given:
        key, found, value = argument.partition("=")
        if found and key.startswith("options."):
            options += [key.removeprefix("options."), value]
        elif found and re.fullmatch(r"[A-Za-z_][\w.]*", key):
            spelled += [f"--{key}", *(value.split(",") if key in LISTS else [value])]
        else:
            spelled.append(argument)
    if options:
        spelled += ["--options", *options]
    return tyro.cli(kind, args=spelled, prog=program)


def _only_folder(given: Sequence[str], resumed: str) -> Path:
    """The folder of ``--resume folder`` or ``resume=folder``, with nothing beside it."""
    _, found, value = resumed.partition("=")
    parts = [resumed] if found else [RESUME, *[each for each in given if each != resumed][:1]]
    folder = value if found else parts[-1]
    if sorted(parts) != sorted(given) or not folder or folder.startswith("-"):
        raise ValueError(
            f"{RESUME} takes the folder of a run and nothing beside it: its configuration is in "
            f"its config.json; got {' '.join(given)}"
        )
    return Path(folder)


def scenario_options(num_agents: int | None, options: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of `scenarios.make`; what reads as JSON, e.g. a number, is what it says."""

    def read(value: str) -> Any:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value

    values = {name: read(value) for name, value in options.items()}
    return values if num_agents is None else {"num_agents": num_agents, **values}
