"""``leed evaluate``: how good saved teams are."""

import argparse
import json
from pathlib import Path
from typing import Any

from leed_jax import files, loggers
from leed_jax.commands import saved


def add(commands: Any) -> None:
    """Adds the command to a parser's."""
    parser = commands.add_parser(
        "evaluate",
        help="how good saved teams are",
        description="Plays the team of every seed greedily, from starts that are the same for all "
        "teams, and prints returns and success metrics: the interquartile mean over seeds with its "
        "95 % bootstrap interval, and every seed's own.",
    )
    parser.add_argument("path", type=Path, help="run folder, or a saved team in it")
    parser.add_argument("--episodes", type=int, default=512, help="per seed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws the starts (default: 1)")
    parser.add_argument("--json", type=Path, help="file for the results")
    saved.add_scenario(parser)
    parser.set_defaults(action=evaluate)


def evaluate(options: argparse.Namespace) -> None:
    """The command.

    Raises:
      OSError, ValueError: a team cannot be read, or is of another scenario.
    """
    from leed_jax import checkpoint
    from leed_jax.optimization import results

    if options.episodes < 1:
        raise ValueError(f"--episodes must be at least 1, got {options.episodes}")
    scenario, found = None, []
    for path in saved.teams(options.path):
        result = checkpoint.load_result(path)
        if scenario is None:
            scenario = saved.scenario_of(options.path, result.spec.name, options)
        scores = results.evaluate(
            scenario, result, num_episodes=options.episodes, seed=options.seed
        )
        print(scores)
        found.append(
            {
                "team": str(path),
                "method": scores.method,
                "seeds": scores.seeds,
                "episodes": scores.num_episodes,
                "team_return": scores.team_return,
                "agent_return": scores.agent_return,
                "success": scores.success,
            }
        )
    if options.json is not None:
        files.write(options.json, json.dumps(loggers.jsonable(found), indent=1) + "\n")
