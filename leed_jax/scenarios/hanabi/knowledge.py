"""What the players of a Hanabi table know, in JAX, and how hints would be understood.

A player's own cards enter nothing that it knows: only what hints have left possible for them does.
Cards are [C R] (colour, rank), one-hot.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.scenarios.hanabi.table import COPIES, DECK, Table


class Hints(NamedTuple):
    """All hints to one player, the colours first, then the ranks: K = C + R."""

    possible: Bool[Array, "*b K"]
    """At least one card is touched."""
    cards: Int[Array, "*b K"]
    """Cards touched."""
    told: Float[Array, "*b K"]
    """Colours and ranks ruled out."""
    news: Bool[Array, "*b K 4"]
    """By `words.FOCUS`: shows a playable card that was not known to be playable."""
    careful: Bool[Array, "*b K 3"]
    """By `words.CAREFUL`: misleads nobody."""
    saves: Bool[Array, "*b K 2 2"]
    """By `words.ENDANGERED` and `words.CHOPS`: touches the card about to be discarded."""


class Knowledge(NamedTuple):
    """What one player knows; with a leading axis N, all of them."""

    held: Bool[Array, "*b H"]
    hinted: Bool[Array, "*b H"]
    fresh: Bool[Array, "*b H"]
    playable: Float[Array, "*b H"]
    """Probability of being playable."""
    useless: Float[Array, "*b H"]
    last_copy: Float[Array, "*b H"]
    hints: Hints
    """To the other players, in the order of their turns: [*b N-1 K ...]."""
    tokens: Float[Array, "*b"]
    lives: Float[Array, "*b"]
    deck: Float[Array, "*b"]


def edge(marked: Bool[Array, "*b H"], newest: bool) -> Bool[Array, "*b H"]:
    """The newest (last) or oldest (first) of the marked cards alone."""
    size = marked.shape[-1]
    index = size - 1 - marked[..., ::-1].argmax(-1) if newest else marked.argmax(-1)
    return jax.nn.one_hot(index, size, dtype=bool) & marked


def _kinds_of_cards(
    game: Any,
) -> tuple[Bool[Array, "C R"], Bool[Array, "C R"], Bool[Array, "C R"], Float[Array, "C R"]]:
    """Which cards are playable, useless, last copies; how many are neither played nor discarded."""
    copies = jnp.broadcast_to(jnp.array(COPIES, jnp.float32), game.fireworks.shape)
    discarded = game.discard_pile.astype(jnp.float32).sum(0)
    played = game.fireworks > 0
    left = copies - discarded - played.astype(jnp.float32)
    rank = jnp.arange(copies.shape[1])[None]
    playable = rank == played.sum(1, keepdims=True)
    # A rank of which no copy is left to play closes the way to those above it.
    closed = jnp.cumsum((~played & (left <= 0)).astype(jnp.int32), axis=1) > 0
    useless = played | closed
    return playable, useless, ~useless & (left == 1), left


def _hints(
    game: Any,
    hinted: Bool[Array, "N H"],
    held: Bool[Array, "N H"],
    kinds: tuple[Any, Any, Any, Any],
) -> Hints:
    """Every hint to every player, [N K ...]: what it touches and how it would be understood."""
    playable, _, last_copy, left = kinds
    hands = game.player_hands > 0
    colours, ranks = hands.shape[2:]
    possible = game.card_knowledge.reshape(hands.shape) > 0
    # Whether a card has what the hint names, [K C R].
    names = jnp.concatenate(
        [
            jnp.broadcast_to(jnp.eye(colours, dtype=bool)[:, :, None], (colours, colours, ranks)),
            jnp.broadcast_to(jnp.eye(ranks, dtype=bool)[:, None], (ranks, colours, ranks)),
        ]
    )
    touches = (hands[:, None] & names[None, :, None]).any((-2, -1))  # [N K H]
    after = possible[:, None] & (names[None, :, None] == touches[..., None, None])
    after = after & held[:, None, :, None, None]
    remaining = left[None, None] > 0
    could = touches & (after & playable & remaining[:, None]).any((-2, -1))
    known = ~(possible & (~playable & remaining)).any((-2, -1))  # surely playable before the hint
    is_playable = (hands & playable).any((-2, -1))[:, None]
    new = touches & is_playable & ~known[:, None]
    newest, oldest = edge(could, True), edge(could, False)
    all_fit = ~(touches & ~is_playable).any(-1)
    right = [(focus & new).any(-1) for focus in (newest, oldest)]
    harmless = [~(focus & ~is_playable).any(-1) for focus in (newest, oldest)]
    endangered = jnp.stack(
        [(hands & kind).any((-2, -1)) for kind in (last_copy, last_copy.at[:, :-1].set(False))], -1
    )  # [N H 2]
    chops = jnp.stack([edge(held & ~hinted, newest) for newest in (False, True)], -1)  # [N H 2]
    lost = endangered[:, :, :, None] & chops[:, :, None]
    before = (possible & held[..., None, None])[:, None]

    def width(cards: Bool[Array, "N K H C R"]) -> Float[Array, "N K"]:
        return (cards.any(-1).sum((-2, -1)) + cards.any(-2).sum((-2, -1))).astype(jnp.float32)

    return Hints(
        possible=touches.any(-1),
        cards=touches.sum(-1),
        told=width(before) - width(after),
        news=jnp.stack([*right, all_fit & new.any(-1), new.any(-1)], -1),
        careful=jnp.stack([jnp.ones_like(all_fit), *harmless], -1),
        saves=(touches[..., None, None] & lost[:, None]).any(2),
    )


def knowledge(state: Table) -> Knowledge:
    """What all players know, leading axis N."""
    game = state.game
    hands = game.player_hands > 0
    count = hands.shape[0]
    held = hands.any((-2, -1))
    hinted = held & ((game.colors_revealed > 0).any(-1) | (game.ranks_revealed > 0).any(-1))
    kinds = playable, useless, last_copy, left = _kinds_of_cards(game)
    in_hands = hands.astype(jnp.float32).sum(1)
    unseen = left[None] - (in_hands.sum(0, keepdims=True) - in_hands)
    weight = jnp.where(game.card_knowledge.reshape(hands.shape) > 0, unseen[:, None], 0.0)
    total = jnp.maximum(weight.sum((-2, -1)), 1e-6)

    def chance(kind: Bool[Array, "C R"]) -> Float[Array, "N H"]:
        share = jnp.where(kind, weight, 0.0).sum((-2, -1)) / total
        return jnp.where(held, share, 0.0)

    order = (jnp.arange(count)[:, None] + jnp.arange(1, count)) % count  # [N N-1]
    hints = jax.tree.map(lambda leaf: leaf[order], _hints(game, hinted, held, kinds))

    def for_all(value: Any) -> Float[Array, "N"]:
        return jnp.full(count, value.astype(jnp.float32))

    return Knowledge(
        held=held,
        hinted=hinted,
        fresh=state.fresh & held,
        playable=chance(playable),
        useless=chance(useless),
        last_copy=chance(last_copy),
        hints=hints,
        tokens=for_all(game.info_tokens.sum()),
        lives=for_all(game.life_tokens.sum()),
        deck=for_all(DECK - jnp.minimum(game.num_cards_dealt, DECK)),
    )
