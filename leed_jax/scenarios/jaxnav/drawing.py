"""A map with its robots, on matplotlib axes."""

from typing import Any

import numpy as np

from leed_jax.types import State

HALF_SIDE = 0.25


def draw(axes: Any, state: State, targets: Any) -> None:
    """Walls, robots as squares with a line to their front, goals as rings, waypoints as lines.

    A robot that crashed is crossed out.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Circle, Rectangle

    walls = np.asarray(state.map_data) > 0
    height, width = walls.shape
    axes.imshow(
        walls, extent=(0, width, 0, height), origin="lower", cmap="Greys", vmax=1.6, zorder=0
    )
    axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[], aspect="equal")
    places, headings = np.asarray(state.pos)[:, :2], np.asarray(state.theta).reshape(-1)
    for n, (place, heading) in enumerate(zip(places, headings, strict=True)):
        colour = colormaps["tab10"](n % 10)
        goal = np.asarray(state.goal)[n]
        arrived = bool(state.goal_reached[n])
        axes.add_patch(
            Circle(goal, 0.3, fill=arrived, color=colour, alpha=0.5, linewidth=1.5, zorder=1)
        )
        body = Rectangle(
            place - HALF_SIDE,
            2 * HALF_SIDE,
            2 * HALF_SIDE,
            angle=float(np.degrees(heading)),
            rotation_point="center",
            color=colour,
            zorder=2,
        )
        axes.add_patch(body)
        front = np.stack([place, place + 0.4 * np.array([np.cos(heading), np.sin(heading)])], 1)
        axes.plot(*front, color="black", linewidth=1.2, zorder=3)
        axes.annotate(
            f"{n}", place, color="white", ha="center", va="center", weight="bold", zorder=4
        )
        if bool(state.move_term[n]):
            axes.plot(*place, marker="x", color="black", markersize=12, zorder=5)
        if targets is not None:
            way = np.stack([place, np.asarray(targets.point)[n]], 1)
            axes.plot(*way, color=colour, linestyle=":", marker=".", linewidth=1.5, zorder=1)
