"""One frame of a battle."""

from typing import Any

import numpy as np

from leed_jax.scenarios.smax import controls as control
from leed_jax.scenarios.smax.controls import Target
from leed_jax.scenarios.smax.maps import Rules
from leed_jax.types import State

ALLY, ENEMY = "tab:blue", "tab:red"
SHORT = {
    "marine": "m",
    "marauder": "M",
    "stalker": "s",
    "zealot": "Z",
    "zergling": "z",
    "hydralisk": "h",
}
"""JaxMARL's letters of the unit types."""


def draw(rules: Rules, axes: Any, state: State, targets: Target | None) -> None:
    """Units as discs with the letter of their type and a bar of health; lines to their targets.

    A full line is a shot, a dotted one a walk; an agent that steps back has a ring. Thin red lines
    are the enemies' shots of the last step.
    """
    from matplotlib.patches import Circle, Rectangle

    game, count, size = state.state, rules.num_allies, rules.map_size
    place, alive = np.asarray(game.unit_positions), np.asarray(game.unit_alive)
    kinds = np.asarray(game.unit_types)
    share = np.asarray(game.unit_health) / rules.health[kinds]
    axes.set(xlim=(0, size), ylim=(0, size), xticks=[], yticks=[], aspect="equal")

    def line(start: Any, end: Any, **style: Any) -> None:
        axes.plot([start[0], end[0]], [start[1], end[1]], zorder=1, **style)

    for unit in range(len(place)):
        colour, (x, y) = ALLY if unit < count else ENEMY, place[unit]
        if not alive[unit]:
            axes.plot(x, y, marker="x", color=colour, alpha=0.35, markersize=4, zorder=1)
            continue
        radius = float(rules.radius[kinds[unit]])
        axes.add_patch(Circle((x, y), radius, color=colour, alpha=0.85, zorder=2))
        letter = SHORT.get(rules.types[kinds[unit]], "?")
        axes.annotate(letter, (x, y), color="white", fontsize=6, ha="center", va="center", zorder=3)
        corner, height = (x - 0.6, y + radius + 0.15), 0.22
        axes.add_patch(Rectangle(corner, 1.2, height, color="0.8", zorder=3))
        axes.add_patch(Rectangle(corner, 1.2 * share[unit], height, color="tab:green", zorder=4))

    aimed_at = count - 1 - (np.asarray(game.prev_attack_actions)[count:] - control.STOP - 1)
    for enemy, ally in enumerate(aimed_at):
        if 0 <= ally < count and alive[count + enemy] and alive[ally]:
            line(place[count + enemy], place[ally], color=ENEMY, linewidth=0.6)
    if targets is None:
        return
    for agent in np.flatnonzero(alive[:count]):
        act, enemy = int(targets.act[agent]), int(targets.enemy[agent])
        if act == control.SHOOT:
            line(place[agent], place[count + enemy], color=ALLY, linewidth=1.2)
        elif act == control.WALK:
            line(place[agent], np.asarray(targets.point)[agent], color=ALLY, linestyle=":")
        elif act == control.STEP_BACK:
            axes.add_patch(Circle(place[agent], 1.1, fill=False, color=ALLY, zorder=2))
