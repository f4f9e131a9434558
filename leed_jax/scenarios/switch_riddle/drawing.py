"""Frames of the riddle."""

from typing import Any

import numpy as np

from leed_jax.scenarios.switch_riddle.controls import Target
from leed_jax.scenarios.switch_riddle.game import Prison


def draw(axes: Any, state: Prison, targets: Target | None) -> None:
    """The room with its light above, the prisoners below; those who were there are filled."""
    from matplotlib import colormaps
    from matplotlib.patches import Circle, Rectangle

    game = state.game
    been, inside = np.asarray(game.has_been) > 0, int(game.agent_in_room)
    lit = bool(game.bulb_state)
    count = len(been)
    middle = (count - 1) / 2
    axes.add_patch(
        Rectangle((middle - 0.9, 0.8), 1.8, 1.6, facecolor="#fff6c9" if lit else "0.75", ec="black")
    )
    axes.add_patch(
        Circle((middle + 0.55, 2.05), 0.18, facecolor="#ffd21f" if lit else "0.3", ec="black")
    )
    for n in range(count):
        x, y = (middle, 1.25) if n == inside else (float(n), 0.0)
        colour = colormaps["tab10"](n % 10)
        axes.add_patch(
            Circle((x, y), 0.32, facecolor=colour if been[n] else "white", ec=colour, linewidth=2)
        )
        axes.text(x, y, f"{n}", color="white" if been[n] else colour, ha="center", va="center")
    text = f"day {int(game.step) + 1}"
    if targets is not None:
        doing = ("does nothing", "switches the light", "says that all were here")
        text += f": agent_{inside} {doing[int(np.asarray(targets.action)[inside])]}"
    axes.text(middle, 2.65, text, ha="center", fontsize=8)
    width = max(middle + 0.7, 1.6)
    axes.set(
        xlim=(middle - width, middle + width), ylim=(-0.6, 3.0), xticks=[], yticks=[],
        aspect="equal",
    )  # fmt: skip
