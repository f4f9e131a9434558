"""Frames of Storm."""

from typing import Any

import numpy as np

from leed_jax.scenarios.storm.controls import Target
from leed_jax.scenarios.storm.games import View

COIN_COLOURS = ("tab:green", "tab:red")


def draw(axes: Any, view: View, targets: Target | None) -> None:
    """Coins as discs (green: cooperate), agents as arrowheads, zaps yellow, targets as lines."""
    from matplotlib import colormaps
    from matplotlib.patches import Circle, Polygon, Rectangle

    place, facing, held, frozen, coins, zapped, _ = (np.asarray(values) for values in view)
    edge = zapped.shape[0] - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), xticks=[], yticks=[], aspect="equal")
    for line in range(1, zapped.shape[0]):
        axes.axhline(line - 0.5, color="0.9", linewidth=0.7, zorder=0)
        axes.axvline(line - 0.5, color="0.9", linewidth=0.7, zorder=0)
    for row, column in np.argwhere(zapped):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color="gold", alpha=0.5))
    for colour, lies in zip(COIN_COLOURS, coins, strict=True):
        for row, column in np.argwhere(lies):
            axes.add_patch(Circle((column, row), 0.2, color=colour, zorder=1))
    head = np.array([[0.42, 0.0], [-0.36, 0.34], [-0.36, -0.34]])  # facing east
    for n, (row, column) in enumerate(place):
        colour = colormaps["tab10"]((0, 1, 4, 5, 6, 8, 9, 7)[n % 8])
        angle = facing[n] * np.pi / 2  # rows go down: the next facing is clockwise
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        frozen_edge = "deepskyblue" if frozen[n] > 0 else "none"
        corners = head @ turn + (column, row)
        axes.add_patch(
            Polygon(corners, facecolor=colour, edgecolor=frozen_edge, linewidth=2, zorder=3)
        )
        text = {"ha": "center", "va": "center", "zorder": 4, "fontsize": 7}
        axes.text(column, row, f"{n}", color="white", weight="bold", **text)
        for kind, side in enumerate((-0.3, 0.3)):  # what it holds, below it
            if held[n, kind] > 0:
                number = f"{held[n, kind]:.0f}"
                axes.text(column + side, row + 0.36, number, color=COIN_COLOURS[kind], **text)
        if targets is not None:
            to_row, to_column = np.asarray(targets.cell)[n]
            axes.plot([column, to_column], [row, to_row], color=colour, linestyle=":", zorder=2)
            corner = (to_column - 0.46, to_row - 0.46)
            frame = Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=colour, linestyle="--")
            axes.add_patch(frame)
