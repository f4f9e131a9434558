"""A Hanabi table on matplotlib axes: cards as coloured rectangles, what hints showed below them."""

from typing import Any

import numpy as np
from jaxtyping import Float

from leed_jax.scenarios.hanabi.table import COLOURS, COPIES, LIVES, TOKENS, Table
from leed_jax.scenarios.hanabi.words import cards_left

PAINT = {
    "red": "#d1495b",
    "yellow": "#edc531",
    "green": "#4f9d69",
    "white": "#f4f4f0",
    "blue": "#3d7fc4",
}
CARD = (0.8, 1.0)
"""Width and height of a card; cards are one apart, hands `ROW`."""
ROW = 1.65
DISCARDED = 0.32
"""Width of a discarded card."""
RIGHT = 5.4
"""Where the fireworks begin."""


def draw(axes: Any, state: Table, targets: Any) -> None:
    """Hands on the left, oldest card first, below each card what hints showed of it.

    Cards hinted since their holder's last turn have a thick frame. The player in turn has an arrow,
    and what it is told to do stands beside its name, with a ring on the card it plays or discards.
    On the right the fireworks and the discards.
    """
    game = state.game
    hands = np.asarray(game.player_hands)
    count, size = hands.shape[:2]
    turn = int(np.asarray(game.cur_player_idx).argmax())
    fresh = np.asarray(state.fresh)
    shown = [np.asarray(game.colors_revealed) > 0, np.asarray(game.ranks_revealed) > 0]
    for n in range(count):
        y = -n * ROW
        label = f"{'▶ ' if n == turn else '   '}agent_{n}"
        if targets is not None and n == turn:
            action = int(np.asarray(targets.action)[n])
            label += f": {move_name(action, n, hands.shape)}"
            if action < 2 * size:
                _ring(axes, action % size, y)
        axes.text(-0.1, y + 1.08, label, fontsize=7, va="bottom")
        for slot in range(size):
            if not hands[n, slot].any():
                continue
            colour, rank = np.unravel_index(hands[n, slot].argmax(), hands[n, slot].shape)
            thick = 2.2 if fresh[n, slot] else 0.6
            _card(axes, (slot, y), CARD, COLOURS[int(colour)], int(rank) + 1, thick, 10)
            known = [COLOURS[c][:1].upper() for c in np.flatnonzero(shown[0][n, slot])]
            known += [str(r + 1) for r in np.flatnonzero(shown[1][n, slot])]
            axes.text(
                slot + CARD[0] / 2, y - 0.05, "".join(known), fontsize=6, ha="center", va="top"
            )
    bottom = -(count - 1) * ROW - 0.45
    _fireworks(axes, np.asarray(game.fireworks), np.asarray(game.discard_pile).sum(0))
    tokens, lives = np.asarray(game.info_tokens).sum(), np.asarray(game.life_tokens).sum()
    text = (
        f"score {int(game.score)}   tokens {int(tokens)}/{TOKENS}   lives {int(lives)}/{LIVES}   "
        f"deck {cards_left(game)}"
    )
    axes.text(-0.1, 1.95, text, fontsize=7, va="center")
    lowest = min(bottom, 1.0 - len(COLOURS) * 1.1)
    axes.set(xlim=(-0.2, RIGHT + 5.2), ylim=(lowest, 2.2), xticks=[], yticks=[])
    axes.set_facecolor("#e8ede6")


def move_name(action: int, player: int, shape: tuple[int, ...]) -> str:
    """An action in words, for hands of this shape [N H C R]."""
    count, size, colours, ranks = shape
    if action < 2 * size:
        return "plays" if action >= size else "discards"
    hint = action - 2 * size
    if hint >= (count - 1) * (colours + ranks):
        return "nothing"
    by_rank = hint >= (count - 1) * colours
    other, which = divmod(hint - (count - 1) * colours, ranks) if by_rank else divmod(hint, colours)
    what = f"{which + 1}s" if by_rank else COLOURS[which]
    return f"hints {what} to agent_{(player + 1 + other) % count}"


def _card(
    axes: Any,
    corner: tuple[float, float],
    size: tuple[float, float],
    colour: str,
    rank: int,
    frame: float,
    fontsize: float,
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(corner, *size, facecolor=PAINT[colour], edgecolor="black", linewidth=frame)
    )
    middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
    ink = "black" if colour in ("white", "yellow") else "white"
    axes.text(*middle, f"{rank}", fontsize=fontsize, color=ink, ha="center", va="center")


def _ring(axes: Any, slot: int, y: float) -> None:
    from matplotlib.patches import Rectangle

    room = 0.09
    axes.add_patch(
        Rectangle(
            (slot - room, y - room),
            CARD[0] + 2 * room,
            CARD[1] + 2 * room,
            fill=False,
            edgecolor="#c2188b",
            linewidth=1.8,
        )
    )


def _fireworks(
    axes: Any, fireworks: Float[np.ndarray, "C R"], discarded: Float[np.ndarray, "C R"]
) -> None:
    """Per colour the height of its firework, and the discards as small cards beside it."""
    for index, (colour, stack) in enumerate(zip(COLOURS, fireworks, strict=True)):
        y = -index * 1.1
        height = int(stack.sum())
        _card(axes, (RIGHT, y), CARD, colour, height, 1.2 if height else 0.3, 10)
        ranks = np.repeat(np.arange(len(COPIES)) + 1, discarded[index].astype(int))
        for place, rank in enumerate(ranks):
            corner = (RIGHT + 1.0 + place * (DISCARDED + 0.08), y + 0.2)
            _card(axes, corner, (DISCARDED, 0.55), colour, int(rank), 0.3, 5)
    axes.text(RIGHT, 1.08, "fireworks, discards", fontsize=7, va="bottom")
