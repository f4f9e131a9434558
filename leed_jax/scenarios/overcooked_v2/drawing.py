"""A kitchen on matplotlib axes."""

from typing import Any

import numpy as np

from leed_jax.scenarios.overcooked_v2 import facts, kitchen
from leed_jax.scenarios.overcooked_v2.controls import Target
from leed_jax.scenarios.overcooked_v2.kitchen import Kitchen

TILES = {
    kitchen.FLOOR: ("#f7f3ea", ""),
    kitchen.COUNTER: ("#c9a77c", ""),
    kitchen.DELIVERY: ("#9cc69b", "out"),
    kitchen.POT: ("#555555", ""),
    kitchen.RECIPE_SIGN: ("#b7a3d0", "sign"),
    kitchen.BUTTON: ("#b7a3d0", "button"),
    kitchen.PLATES: ("#c9a77c", "plates"),
}
"""Colour and word of every tile."""
INGREDIENTS = ("#e0a800", "#c0392b", "#2e86c1")
"""Colours of ingredients, by number."""
COOKS = ("tab:blue", "tab:green")
POT_WORDS = {"color": "white", "fontsize": 7, "ha": "center", "va": "center", "zorder": 5}


def draw(where: Kitchen, axes: Any, game: Any, targets: Target | None) -> None:
    """Tiles, what is in pots and on counters, cooks with what they hold, and their targets."""
    from matplotlib.patches import Circle, Rectangle

    grid = np.asarray(game.grid)
    height, width = where.tiles.shape
    axes.set(
        xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect="equal"
    )
    for (y, x), tile in np.ndenumerate(where.tiles):
        colour, word = TILES.get(int(tile), ("#c9a77c", ""))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
        axes.text(x, y, word, fontsize=6, ha="center", va="center")
        if tile >= kitchen.INGREDIENTS:
            for dx, dy in ((-0.18, 0.1), (0.18, 0.1), (0, -0.15)):
                at, pile = (x + dx, y + dy), INGREDIENTS[(tile - kitchen.INGREDIENTS) % 3]
                axes.add_patch(Circle(at, 0.17, facecolor=pile, edgecolor="white"))
        item, timer = int(grid[y, x, 1]), int(grid[y, x, 2])
        if tile == kitchen.POT:
            _pot(axes, x, y, item, timer)
        elif item:
            _item(axes, x, y, item, 0.24)
        elif timer:
            axes.text(x, y + 0.3, f"lit {timer}", fontsize=6, ha="center", va="center")
    cooks = game.agents
    places = np.stack([np.asarray(cooks.pos.x), np.asarray(cooks.pos.y)], 1)
    for n, (x, y) in enumerate(places):
        dy, dx = kitchen.OFFSETS[int(cooks.dir[n])]
        axes.add_patch(Circle((x, y), 0.36, facecolor=COOKS[n], edgecolor="white", zorder=3))
        axes.add_patch(
            Circle(
                (x + 0.3 * dx, y + 0.3 * dy), 0.1, facecolor="white", edgecolor=COOKS[n], zorder=4
            )
        )
        axes.text(x - 0.2, y - 0.2, f"{n}", color="white", fontsize=7, zorder=6, weight="bold",
                  ha="center", va="center")  # fmt: skip
        held = int(cooks.inventory[n])
        if held:
            _item(axes, x + 0.05, y + 0.08, held, 0.2)
        if targets is not None:
            place = int(np.asarray(targets.place)[n])
            goals = np.concatenate([where.things, where.cells])
            row, column = goals[place]
            side = 0.46 - 0.07 * n
            axes.add_patch(
                Rectangle(
                    (column - side, row - side), 2 * side, 2 * side, fill=False,
                    edgecolor=COOKS[n], linewidth=2, zorder=7,
                )
            )  # fmt: skip
            axes.plot([x, column], [y, row], ":", color=COOKS[n], linewidth=1.2, zorder=2)


def _counts(item: int) -> list[int]:
    return [i for i in range(3) for _ in range(item >> (2 * i + 2) & 3)]


def _item(axes: Any, x: float, y: float, item: int, size: float) -> None:
    """An ingredient, a plate, or a plate of soup."""
    from matplotlib.patches import Circle

    if item & facts.PLATE:
        axes.add_patch(Circle((x, y), size, facecolor="white", edgecolor="0.4", zorder=5))
    for index in _counts(item)[:1]:
        colour = INGREDIENTS[index]
        axes.add_patch(Circle((x, y), 0.62 * size, facecolor=colour, edgecolor="0.4", zorder=6))


def _pot(axes: Any, x: float, y: float, item: int, timer: int) -> None:
    """The ingredients in a pot, and how far it is: steps left, or ready."""
    from matplotlib.patches import Circle

    for number, index in enumerate(_counts(item)):
        at = (x - 0.26 + 0.26 * number, y - 0.15)
        axes.add_patch(Circle(at, 0.12, facecolor=INGREDIENTS[index], edgecolor="white", zorder=4))
    if item & facts.COOKED:
        axes.text(x, y + 0.25, "ready", **POT_WORDS)
    elif timer:
        axes.text(x, y + 0.25, f"{timer}", **POT_WORDS)
    else:
        axes.text(x, y + 0.25, "pot", **POT_WORDS)
