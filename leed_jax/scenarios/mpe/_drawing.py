"""What frames of all particle worlds have in common, drawn with matplotlib."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from leed_jax.types import AnyArray

Places = Float[AnyArray, "P 2"]

EXTENT = 1.6
"""Half the width of a frame; agents start within 1."""


def frame(axes: Any, *, extent: float = EXTENT) -> None:
    """A square view of the plane without ticks."""
    span = (-extent, extent)
    axes.set(xlim=span, ylim=span, xticks=[], yticks=[], aspect="equal")


def landmarks(axes: Any, places: Places, *, colours: Sequence[Any] | None = None) -> None:
    """Dots with their numbers."""
    for index, (x, y) in enumerate(np.asarray(places)):
        colour = "0.25" if colours is None else colours[index]
        axes.plot(x, y, marker="o", color=colour, markersize=7, zorder=1)
        # Above the discs, on white: a number half under an agent reads as part of the agent's.
        axes.annotate(
            f"{index}",
            (x, y),
            (9, 9),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "0.6"},
            zorder=4,
        )


def ring(axes: Any, place: Any, *, radius: float = 0.13, colour: Any = "goldenrod") -> None:
    """Marks a landmark, e.g. as the goal."""
    from matplotlib.patches import Circle

    axes.add_patch(Circle(place, radius, fill=False, edgecolor=colour, linewidth=2, zorder=1))


def colours(count: int) -> list[Any]:
    """A colour for every agent."""
    from matplotlib import colormaps

    return [colormaps["tab10"](index % 10) for index in range(count)]


def agents(
    axes: Any,
    places: Places,
    radii: Sequence[float],
    *,
    colours: Sequence[Any],
    labels: Sequence[str] | None = None,
) -> None:
    """Discs with their numbers, or labels."""
    from matplotlib.patches import Circle

    for index, place in enumerate(np.asarray(places)):
        colour, label = colours[index], str(index) if labels is None else labels[index]
        axes.add_patch(Circle(place, radii[index], color=colour, alpha=0.75, zorder=2))
        inside = radii[index] >= 0.1
        axes.annotate(
            label,
            place,
            (0, 0) if inside else (0, 9),
            textcoords="offset points",
            color="white" if inside else colour,
            ha="center",
            va="center",
            weight="bold",
            zorder=3,
        )


def targets(axes: Any, places: Places, points: Places, *, colours: Sequence[Any]) -> None:
    """Dotted lines from agents to where they are sent."""
    for place, point, colour in zip(np.asarray(places), np.asarray(points), colours, strict=True):
        x, y = np.stack([place, point], axis=1)
        axes.plot(x, y, color=colour, linestyle=":", linewidth=1.5, zorder=1)


def says(axes: Any, place: Any, text: str) -> None:
    """A speech bubble above an agent."""
    axes.annotate(
        text,
        place,
        (0, 20),
        textcoords="offset points",
        fontsize=8,
        ha="center",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "lightyellow", "edgecolor": "0.4"},
        zorder=5,
    )
