"""Frames of the coin game."""

from typing import Any

import numpy as np

from leed_jax.scenarios.coin_game.controls import Target
from leed_jax.scenarios.coin_game.game import AGENTS, SIZE, split
from leed_jax.types import State


def draw(axes: Any, state: State, targets: Target | None) -> None:
    """Coins as discs, agents as squares with a letter, target cells framed in their colour."""
    from matplotlib.patches import Circle, Rectangle

    colours = ("tab:red", "tab:blue")
    places, coins, _ = (np.asarray(values) for values in split(state))
    edge = SIZE - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), xticks=[], yticks=[], aspect="equal")
    for line in range(1, SIZE):
        axes.axhline(line - 0.5, color="0.8", linewidth=1, zorder=0)
        axes.axvline(line - 0.5, color="0.8", linewidth=1, zorder=0)
    for n, colour in enumerate(colours):
        side = 0.2 if n else -0.2  # two on a cell are both seen
        row, column = coins[n]
        axes.add_patch(Circle((column + side, row + 0.22), 0.15, color=colour, zorder=2))
        row, column = places[n]
        corner = (column + side - 0.17, row - 0.4)
        axes.add_patch(Rectangle(corner, 0.34, 0.34, color=colour, alpha=0.8, zorder=2))
        middle = {"ha": "center", "va": "center", "weight": "bold", "zorder": 3}
        axes.text(column + side, row - 0.23, AGENTS[n][0].upper(), color="white", **middle)
        if targets is not None:
            to_row, to_column = np.asarray(targets.cell)[n]
            corner = (to_column - 0.47 + 0.03 * n, to_row - 0.47 + 0.03 * n)
            size = 0.94 - 0.06 * n
            frame = Rectangle(corner, size, size, fill=False, edgecolor=colour, linestyle="--")
            axes.add_patch(frame)
