"""Pursuit games seen from outside: starts in words, what happened, and frames."""

from typing import Any

import numpy as np

from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe._pursuit.controls import Target
from leed_jax.scenarios.mpe._pursuit.field import (
    FOOD_RADIUS,
    FOREST_RADIUS,
    OBSTACLE_RADIUS,
    PREDATOR_RADIUS,
    Field,
)
from leed_jax.scenarios.mpe._words import places as place_lines
from leed_jax.types import State

TOUCHED = 0.01
"""Bodies count as touching below this gap, units: those that press on each other rest near 0."""


def describe(field: Field, agents: tuple[str, ...], state: State) -> str:
    """Where everybody and everything is; nothing moves at the start."""
    counts = {
        "prey": field.num_prey,
        "obstacle": field.num_obstacles,
        "food": field.num_food,
        "forest": field.num_forests,
    }
    names = [f"{kind}_{index}" for kind, count in counts.items() for index in range(count)]
    return "\n".join(place_lines((*agents, *names), state.p_pos))


def feedback(
    field: Field, agents: tuple[str, ...], states: State, targets: Target
) -> dict[str, str]:
    """Averages over episodes, per agent and for the team."""
    positions = np.asarray(states.p_pos)
    hunters, prey = field.part(positions, "predators"), field.part(positions, "prey")
    obstacles = field.part(positions, "obstacles")
    away = np.linalg.norm(hunters[:, :, :, None] - prey[:, :, None], axis=-1)
    caught = away < field.touch
    apart = np.linalg.norm(hunters[:, :, :, None] - hunters[:, :, None], axis=-1)
    bumped = (apart < 2 * PREDATOR_RADIUS + TOUCHED) & ~np.eye(len(agents), dtype=bool)
    gap = np.linalg.norm(hunters[:, :, :, None] - obstacles[:, :, None], axis=-1)
    scraped = gap < OBSTACLE_RADIUS + PREDATOR_RADIUS + TOUCHED
    off = np.linalg.norm(np.asarray(targets.point) - hunters, axis=-1)

    any_catch = caught.any((-1, -2))
    episodes = any_catch.any(1)
    first = any_catch.argmax(1)[episodes]
    several = (caught.any(-1).sum(-1) > 1).mean()
    when = f", first after {first.mean():.1f} steps on average" if episodes.any() else ""
    team = (
        f"A prey was touched in {episodes.mean():.0%} of the episodes{when}; in "
        f"{any_catch.sum(1).mean():.1f} steps of an episode, in {several:.0%} "
        "of all steps by two predators or more at once. The nearest predator was "
        f"{away.min(2).mean():.2f} from a prey on average."
    )
    told = {
        agent: (
            f"touched a prey in {caught[:, :, n].any(-1).sum(1).mean():.1f} steps of an episode; "
            f"{away[:, :, n].min(-1).mean():.2f} from the nearest prey and "
            f"{off[:, :, n].mean():.2f} from the point it was sent to on average; in contact with "
            f"other predators in {bumped[:, :, n].any(-1).sum(1).mean():.1f} steps, with "
            f"obstacles in {scraped[:, :, n].any(-1).sum(1).mean():.1f}"
        )
        for n, agent in enumerate(agents)
    }
    return {EVERYONE: team, **told}


def draw(field: Field, axes: Any, state: State, targets: Target | None) -> None:
    """Predators as numbered coloured discs, prey dark and lettered, obstacles grey."""
    from matplotlib.patches import Circle

    positions = np.asarray(state.p_pos)
    drawing.frame(axes)
    for what, radius, colour in (
        ("forests", FOREST_RADIUS, "honeydew"),
        ("obstacles", OBSTACLE_RADIUS, "0.75"),
        ("food", FOOD_RADIUS, "royalblue"),
    ):
        for place in field.part(positions, what):
            axes.add_patch(Circle(place, radius, facecolor=colour, edgecolor="0.6", zorder=0.5))
    hunters, prey = field.part(positions, "predators"), field.part(positions, "prey")
    palette = drawing.colours(len(hunters))
    letters = [f"p{index}" for index in range(len(prey))]
    radii = [field.prey_radius] * len(prey)
    drawing.agents(axes, prey, radii, colours=["black"] * len(prey), labels=letters)
    drawing.agents(axes, hunters, [PREDATOR_RADIUS] * len(hunters), colours=palette)
    if targets is not None:
        drawing.targets(axes, hunters, np.asarray(targets.point), colours=palette)
    symbols = np.asarray(state.c)[0]
    if field.num_food and symbols.any():
        drawing.says(axes, hunters[0], str(symbols.argmax()))
