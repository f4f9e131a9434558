"""What became of a team's games, in words for the model."""

from typing import Any

import numpy as np

from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.hanabi import words
from leed_jax.scenarios.hanabi.table import TOKENS, Table


def feedback(states: Table, targets: Any, agents: tuple[str, ...]) -> dict[str, str]:
    """Averages over games, per player: what its moves did."""
    game = states.game
    hands = np.asarray(game.player_hands)
    size = hands.shape[3]
    number = np.asarray(game.step)
    # An ended game is repeated up to the horizon: only what moves on is counted.
    once = np.concatenate([np.ones_like(number[:, :1]), np.diff(number)], 1) > 0
    height = np.asarray(game.fireworks).sum(-1)
    names = [command.name for command in words.vocabulary(agents).commands]
    told = {}
    for n, agent in enumerate(agents):
        turn = once & (np.asarray(game.cur_player_idx)[:, :, n] > 0)
        action = np.asarray(targets.action)[:, :, n]
        op, applied = np.asarray(targets.op)[:, :, n], np.asarray(targets.applied)[:, :, n]
        playing = turn & (action >= size) & (action < 2 * size)
        card = np.take_along_axis(
            hands[:, :, n], (action % size)[:, :, None, None, None], 2
        )[:, :, 0]  # fmt: skip
        colour, rank = card.any(-1).argmax(-1), card.any(-2).argmax(-1)
        fits = np.take_along_axis(height, colour[:, :, None], 2)[:, :, 0] == rank

        def per_game(what: Any) -> float:
            return what.sum(1).mean()

        wrong = [
            f"{name} {per_game(playing & ~fits & applied & (op == k)):.2f}"
            for k, name in enumerate(names[:2])
        ]
        told[agent] = (
            f"per game {per_game(playing & fits):.1f} cards played rightly, "
            f"{per_game(playing & ~fits):.2f} wrongly ({', '.join(wrong)}), "
            f"{per_game(turn & (action < size)):.1f} discarded, "
            f"{per_game(turn & (action >= 2 * size)):.1f} hints; "
            f"no rule applied in {per_game(turn & ~applied):.1f} turns"
        )
    return told | {EVERYONE: _end(states, once)}


def _end(states: Table, once: Any) -> str:
    """How the games went, for all players together."""
    game = states.game
    stacked = np.asarray(game.fireworks)[:, -1].sum((-2, -1))
    lives = np.asarray(game.life_tokens).sum(-1)[:, -1]
    idle = (once & (np.asarray(game.info_tokens).sum(-1) == TOKENS)).sum(1).mean()
    empty = (once & (np.asarray(game.info_tokens).sum(-1) == 0)).sum(1).mean()
    return (
        f"Before the last move of a game {stacked.mean():.1f} cards were on the fireworks and "
        f"{lives.mean():.1f} lives left on average; games took {once.sum(1).mean():.1f} turns, "
        f"{idle:.1f} of them began with all {TOKENS} tokens and {empty:.1f} with none."
    )
