"""JaxMARL's Hanabi as an `ArrayEnv`, its state with a note of which hints are new."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.types import ArrayEnv, Measure, TimeStep

# The standard game, as JaxMARL deals it (jaxmarl/environments/hanabi/hanabi_game.py).
COLOURS = ("red", "yellow", "green", "white", "blue")
COPIES = (3, 2, 2, 2, 1)  # of the ranks 1 to 5, in every colour
TOKENS, LIVES = 8, 3
DECK = len(COLOURS) * sum(COPIES)
ROOM = 0.05  # short games, which untrained players play, give the first player more than its share


class Table(NamedTuple):
    """The game, and what its state does not keep: the last move is part of every observation."""

    game: Any
    """JaxMARL's state; a hand's slot 0 holds its oldest card."""
    fresh: Bool[Array, "N H"]
    """Cards touched by a hint since their holder's last turn."""
    last: Int[Array, ""]
    """The last action; -1 before the first."""


def hand_size(num_agents: int) -> int:
    """H, cards that each player is dealt."""
    return 5 if num_agents < 4 else 4


def horizon(num_agents: int) -> int:
    """The longest game possible.

    D = 50 - N H turns draw a card, and N turns follow the last of them. Every hint before it
    spends one of 8 tokens, or one that one of the other D - 1 such turns gave back.
    """
    drawn = DECK - num_agents * hand_size(num_agents)
    return drawn + (TOKENS + drawn - 1) + num_agents


def array_env(name: str, num_agents: int) -> ArrayEnv:
    """The environment; states are `Table`s."""
    game = jaxmarl.load("hanabi", num_agents=num_agents)
    env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=horizon(num_agents),
        terminated=lambda state: state.terminal,
        action_mask=game.get_legal_moves,
        decision=lambda state: state.cur_player_idx > 0,
    )

    def reset(key: Any) -> tuple[Table, TimeStep]:
        state, step = env.reset(key)
        fresh = jnp.zeros((num_agents, hand_size(num_agents)), bool)
        return Table(state, fresh, jnp.array(-1, jnp.int32)), step

    def step(key: Any, state: Table, action: Any) -> tuple[Table, TimeStep]:
        player = state.game.cur_player_idx.argmax()
        chosen = action[player].astype(jnp.int32)
        fresh = state.fresh.at[player].set(False) | touched(state.game.player_hands, player, chosen)
        after, time_step = env.step(key, state.game, action)
        return Table(after, fresh, chosen), time_step

    spec = env.spec._replace(decision_share=1 / num_agents + ROOM)
    return ArrayEnv(reset=reset, step=step, spec=spec, measures=_MEASURES)


def touched(
    hands: Float[Array, "N H C R"], player: Int[Array, ""], action: Int[Array, ""]
) -> Bool[Array, "N H"]:
    """The cards that ``player`` points at by ``action``; none if it is no hint."""
    count, size, colours, ranks = hands.shape
    hint = action - 2 * size
    by_rank = hint >= (count - 1) * colours
    hint = jnp.where(by_rank, hint - (count - 1) * colours, hint)
    width = jnp.where(by_rank, ranks, colours)
    receiver = (player + 1 + hint // width) % count
    shown = jnp.where(by_rank, (hands > 0).any(2).swapaxes(1, 2)[:, hint % ranks], False)
    shown = jnp.where(by_rank, shown, (hands > 0).any(3).swapaxes(1, 2)[:, hint % colours])
    is_hint = (action >= 2 * size) & (action < 2 * size + (count - 1) * (colours + ranks))
    return shown & (jnp.arange(count) == receiver)[:, None] & is_hint


def score(state: Table) -> Float[Array, ""]:
    """Cards on the fireworks, 0 without lives: what the rewards of one player add up to."""
    return state.game.score.astype(jnp.float32)


def bombed(state: Table) -> Float[Array, ""]:
    """1 once the last life is lost."""
    return (state.game.life_tokens.sum() == 0).astype(jnp.float32)


_MEASURES = (
    Measure("score", score, "last", "points of 25, 0 where all lives were lost; higher is better"),
    Measure(
        "cards_played",
        lambda state: (state.game.fireworks.sum()).astype(jnp.float32),
        "last",
        "cards on the fireworks of 25, also where all lives were lost; higher is better",
    ),
    Measure(
        "bombed", bombed, "last", "share of games in which all lives were lost; lower is better"
    ),
    Measure(
        "lives_lost",
        lambda state: LIVES - state.game.life_tokens.sum(),
        "last",
        f"lives lost of {LIVES}; lower is better",
    ),
)


def card_name(card: Float[np.ndarray, "C R"]) -> str:
    """E.g. ``red 1``; of a missing card ``none``."""
    if not card.any():
        return "none"
    colour, rank = np.unravel_index(card.argmax(), card.shape)
    return f"{COLOURS[int(colour)]} {int(rank) + 1}"
