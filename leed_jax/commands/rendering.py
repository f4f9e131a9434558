"""``leed render``: what a plan and saved teams do, as an animation."""

import argparse
from pathlib import Path
from typing import Any

from leed_jax import run_folder
from leed_jax.commands import saved
from leed_jax.rendering import (
    Clip,
    demonstration_clip,
    plan_of,
    policy_clip,
    save_gif,
    start_key,
)
from leed_jax.scenarios import Scenario


def add(commands: Any) -> None:
    """Adds the command to a parser's."""
    parser = commands.add_parser(
        "render",
        help="what a plan and saved teams do, as an animated GIF",
        description="Draws one episode: of a run folder its plan and the best seed of every "
        "method side by side, of a saved team its best seed, of demonstrations their plan.",
    )
    parser.add_argument("path", type=Path, help="run folder, saved team, or demonstrations (.npz)")
    parser.add_argument("out", type=Path, help="the GIF; replaced where it exists")
    parser.add_argument("--start", type=int, default=0, help="which start is shown (default: 0)")
    parser.add_argument("--fps", type=int, default=10, help="frames per second (default: 10)")
    saved.add_scenario(parser)
    parser.set_defaults(action=render)


def render(options: argparse.Namespace) -> None:
    """The command.

    Raises:
      OSError, ValueError: something cannot be read or drawn; names what and why.
    """
    if options.out.suffix.lower() != ".gif":
        raise ValueError(f"out must end in .gif, got {str(options.out)!r}")
    if options.start < 0:
        raise ValueError(f"--start must be at least 0, got {options.start}")
    run_folder.require_writable(options.out.parent)
    path = options.path
    demonstrated = path if path.suffix == ".npz" else path / "demonstrations.npz"
    scenario, clips = None, []
    if demonstrated.is_file():
        scenario, clips = _demonstrated(demonstrated, options, optional=path.is_dir())
    for team in [] if path.suffix == ".npz" else saved.teams(path):
        from leed_jax import checkpoint

        result = checkpoint.load_result(team)
        if scenario is None:
            scenario = saved.scenario_of(path, result.spec.name, options)
        result.spec.require(scenario.env.spec, str(team))
        title, key = result.method.upper(), start_key(options.start)
        clips.append(policy_clip(scenario, result.policy(), key, title=title))
    if scenario is None:
        raise FileNotFoundError(f"{path}: no such file")
    save_gif(scenario, clips, options.out, fps=options.fps)
    print(options.out)


def _demonstrated(
    path: Path, options: argparse.Namespace, *, optional: bool
) -> tuple[Scenario, list[Clip]]:
    """The scenario of demonstrations, and an episode of their plan.

    Of a run there may be no single plan; then there is no clip.
    """
    from leed_jax import demonstrations

    found = demonstrations.load(path)
    place = options.path if options.path.is_dir() else path / "no team"
    scenario = saved.scenario_of(place, found.spec.name, options)
    demonstrations.require_match(found, scenario.env.spec)
    try:
        plan = plan_of(found)
    except ValueError:
        if optional:
            return scenario, []
        raise
    return scenario, [demonstration_clip(scenario, plan, start_key(options.start))]
