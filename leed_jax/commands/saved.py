"""Saved teams and run folders on the command line, and the scenario that they belong to."""

import argparse
from pathlib import Path

from leed_jax import run_folder, scenarios
from leed_jax.arguments import scenario_options
from leed_jax.scenarios import Scenario

SUFFIXES = (".json", ".safetensors")


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """Options that say what a team is for, where its run folder does not."""
    add = parser.add_argument
    add("--scenario", help="what it was trained on (default: what its run folder or file says)")
    add("--num-agents", type=int, help="of that scenario, where it offers a choice")
    add(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME VALUE",
        help="further options of that scenario, e.g. --options seed 2",
    )


def teams(path: Path) -> list[Path]:
    """The teams in a run folder, in order of training, or the one that is named.

    They are paths without a suffix, as `leed_jax.load_result` takes them.

    Raises:
      FileNotFoundError: there is none.
      ValueError: the folder's ``config.json`` is damaged.
    """
    if path.is_dir():
        found = {card.stem: card for card in (path / "checkpoints").glob("*.json")}
        if not found:
            raise FileNotFoundError(f"{path} holds no trained team: no checkpoints/<method>.json")
        methods = run_folder.read_config(path).methods if _is_run(path) else ()
        order = [*(name for name in methods if name in found), *sorted(set(found) - set(methods))]
        return [found[name].with_suffix("") for name in order]
    base = path.with_suffix("") if path.suffix in SUFFIXES else path
    if not base.with_suffix(".json").is_file():
        raise FileNotFoundError(
            f"{path}: no saved team, which are two files NAME.json and NAME.safetensors, and no "
            "run folder"
        )
    return [base]


def scenario_of(path: Path, name: str, options: argparse.Namespace) -> Scenario:
    """What teams belong to: what the options say, else their run folder, else the team's file.

    Args:
      path: run folder or team.
      name: of the scenario, by the team's file.
      options: of `add_scenario`.

    Raises:
      ValueError: no such scenario, or options that it does not have.
    """
    given = options.options
    if len(given) % 2:
        raise ValueError(f"--options must be names and values in turn, got {' '.join(given)}")
    chosen = dict(zip(given[::2], given[1::2], strict=True))
    asked = options.scenario or options.num_agents is not None or chosen
    folder = path if path.is_dir() else path.parent.parent
    if not asked and _is_run(folder):
        config = run_folder.read_config(folder)
        wanted, count, chosen = config.scenario, config.num_agents, config.options
    else:
        wanted, count = options.scenario or name, options.num_agents
    return scenarios.make(wanted, **scenario_options(count, chosen))


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").is_file()
