"""What a Hanabi player can be told, and what the model is told about the game."""

from typing import Any

import numpy as np

from leed_jax.instructions import Choice, Command, Number, Parameter, Vocabulary
from leed_jax.scenarios.hanabi import table
from leed_jax.scenarios.hanabi.table import COLOURS, LIVES, TOKENS, Table

PLAY_LIKELY, PLAY_HINTED, HINT_PLAYABLE, HINT_SAVE, HINT_MOST, DISCARD_USELESS, DISCARD = range(7)

FOCUS = ("newest", "oldest", "every", "any")
CAREFUL = ("off", "newest", "oldest")
KINDS = ("colour", "rank", "either")
CHOPS = ("oldest", "newest")
ENDANGERED = ("last_copies", "fives")
SLOTS = ("oldest_unhinted", "newest_unhinted", "oldest", "newest", "safest")


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """The rules that a list may hold."""
    min_lives = Number("min_lives", 1, LIVES, 1, "applies only with at least this many lives left")
    min_tokens = Number("min_tokens", 1, TOKENS, 1, "applies only with at least this many tokens")
    max_tokens = Number(
        "max_tokens", 0, TOKENS - 1, 1, "applies only with at most this many tokens"
    )
    kind = Choice("kind", KINDS, "what the hint names; either: both are looked at")
    careful = Choice(
        "careful",
        CAREFUL,
        "newest (oldest): only hints that cannot mislead a receiver who plays the newest (oldest) "
        "card touched: that card, of those touched that after the hint could still be playable "
        "for all the receiver knows, must be playable, or there must be no such card; off: no such "
        "care",
    )
    receiver: tuple[Parameter, ...] = ()
    if len(agents) > 2:
        receiver = (
            Choice(
                "receiver",
                ("any", "next"),
                "next: only the player whose turn is next; any: whoever there is such a hint for, "
                "those whose turn is sooner first",
            ),
        )
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "PlayLikely",
                "play the own card that is most likely playable, by all that the player knows (of "
                "equal ones the oldest); applies if its probability is high enough",
                (
                    Number(
                        "min_probability",
                        0.2,
                        1.0,
                        0.05,
                        "smallest probability of being playable; 1: only sure plays",
                    ),
                    min_lives,
                    Number(
                        "max_deck",
                        0,
                        40,
                        1,
                        "applies only with at most this many cards left to draw; 40: always",
                    ),
                ),
            ),
            Command(
                "PlayHinted",
                "play a card that was touched by a hint, of those touched that could be playable "
                "for all the player knows; applies if there is one and it is likely enough",
                (
                    Choice(
                        "hinted",
                        ("just_now", "ever"),
                        "just_now: touched by a hint given since the player's own last turn"
                        + (" (that is, by the other player's last move)" * (len(agents) == 2))
                        + "; ever: touched by any hint since it was drawn",
                    ),
                    Choice("focus", ("newest", "oldest"), "which of these cards"),
                    Number(
                        "min_probability",
                        0.0,
                        1.0,
                        0.05,
                        "smallest probability, by all that the player knows, that this very card "
                        "is playable",
                    ),
                    min_lives,
                ),
            ),
            Command(
                "HintPlayable",
                "give a hint that touches a playable card of another player who does not know yet "
                "that it is playable; of several hints the one that touches the fewest cards; "
                "applies if there is one",
                (
                    kind,
                    Choice(
                        "focus",
                        FOCUS,
                        "newest (oldest): only hints where the newest (oldest) card touched, of "
                        "those that could be playable for all the receiver knows after the hint, "
                        "is that playable card; every: only hints where all cards touched are "
                        "playable; any: hints that touch such a card, whatever else they touch",
                    ),
                    min_tokens,
                    *receiver,
                ),
            ),
            Command(
                "HintSave",
                "give a hint that touches the card which another player would discard next, if it "
                "is one not to lose; of several hints the one that tells most; applies if there "
                "is one",
                (
                    Choice(
                        "cards",
                        ENDANGERED,
                        "last_copies: cards still needed whose other copies are all discarded, "
                        "fives included; fives: fives alone",
                    ),
                    Choice(
                        "slot",
                        CHOPS,
                        "the card that the other is taken to discard next: its oldest, or newest, "
                        "card that no hint has touched",
                    ),
                    kind,
                    careful,
                    min_tokens,
                    *receiver,
                ),
            ),
            Command(
                "HintMost",
                "give the hint that tells most: that rules out the most colours and ranks for the "
                "cards of the receiver; applies if there is one that tells anything new",
                (
                    kind,
                    careful._replace(meaning="as for HintSave"),
                    min_tokens,
                    *receiver,
                ),
            ),
            Command(
                "DiscardUseless",
                "discard the own card that is most likely useless (it can never be played any "
                "more), by all that the player knows; applies if its probability is high enough",
                (
                    Number(
                        "min_probability",
                        0.2,
                        1.0,
                        0.05,
                        "smallest probability of being useless; 1: only if sure",
                    ),
                    max_tokens,
                ),
            ),
            Command(
                "Discard",
                "discard an own card; applies if there is such a card and not all tokens are there",
                (
                    Choice(
                        "card",
                        SLOTS,
                        "the oldest or newest that no hint has touched, the oldest or newest of "
                        "all, or the safest: the one least likely, by all that the player knows, "
                        "to be a last copy that is still needed (of equal ones the oldest)",
                    ),
                    max_tokens,
                ),
            ),
        ),
        conditions=(),
        horizon=table.horizon(len(agents)),
        max_instructions=12,
        timed=False,
    )


def task(num_agents: int) -> str:
    """The rules of the game, and what a player sees."""
    size = table.hand_size(num_agents)
    others = "the other player's" if num_agents == 2 else "the other players'"
    drawn = table.DECK - num_agents * size
    memory = "" if num_agents == 2 else ", except that just_now looks back to its own last turn"
    return f"""\
Hanabi, {num_agents} players who win or lose together. The deck has {table.DECK} cards: in each of \
5 colours ({", ".join(COLOURS)}) three 1s, two 2s, two 3s, two 4s and one 5. Everyone holds {size} \
cards, which all the others see, but not the holder. New cards are drawn as the newest of a hand; \
the others keep their order. {drawn} cards are left to draw. The players take turns in the order \
agent_0, agent_1, ...; in its turn a player does one of three things:
- play a card: if it is the next rank of its colour's firework (1 first, 5 last) it is added; \
completing a firework gives a token back. If not, the card is lost and a life too.
- discard a card: it is lost, and one token comes back (not allowed with all {TOKENS} tokens).
- hint: spend a token and name a colour or a rank to another player, who is shown all cards of its \
hand that have it, at least one (so it learns of the other cards that they do not have it).
After playing or discarding a player draws. There are {TOKENS} tokens and {LIVES} lives at the \
start. The game ends when all fireworks are complete, when the last life is lost, or when everyone \
has had one more turn after the last card was drawn; there is no other time limit.

A card is called playable if it is the next of its firework, useless if it can never be played any \
more, and a last copy if it is still needed and all its other copies are discarded.

Reward: every player gets 1 for each card added to a firework. When the last life is lost, every \
player loses all that was gained: the game is worth 0. So the game's score is the number of cards \
played, 0 to 25, or 0 without lives; the team's score sums the rewards of all players, which is \
{num_agents} times the game's score.

What a player observes: {others} cards; how many cards are left, the fireworks, tokens, lives and \
all discards; the last move and which cards it touched; and for every card in every hand which \
colours and ranks the hints so far named and what is still possible after them. It remembers \
nothing else{memory}. Probabilities in rules count the copies that the player does not see.

A rule never gives an illegal move; it applies only if its move is legal. If no rule applies, the \
player discards its oldest card, or, with all {TOKENS} tokens, gives the hint that tells most."""


def advice(num_agents: int) -> dict[str, str]:
    """What makes a list good, by goal."""
    from_observation = "Every rule here can be decided from that."
    if num_agents > 2:
        from_observation = (
            "Every rule here can be decided from that, except PlayHinted with just_now: it counts "
            "all hints since the player's own last turn, while of the moves since then the player "
            "observes only the very last one."
        )
    return {
        "learnable": f"""\
The games are demonstrations for the players' policies: one small network per player is trained to \
do what its rules did, seeing only its own observation. {from_observation} \
What makes the difference is a convention that fits together: what a hint means to its receiver (a \
player that acts on hints must be able to rely on what the others' hints touch), which card is \
discarded, and when hints are worth their token. All players should keep to one convention. Losing \
the third life costs everything. Among plans like that choose the one with the highest score.""",
        "return": """\
Make the score as high as you can. What makes the difference is a convention that fits together: \
what a hint means to its receiver, which card is discarded, and when hints are worth their token. \
Losing the third life costs everything.""",
    }


def describe(state: Table) -> str:
    """Hands and table."""
    game = state.game
    hands, fireworks = np.asarray(game.player_hands), np.asarray(game.fireworks)
    stacks = [
        f"{colour} {int(stack.sum())}" for colour, stack in zip(COLOURS, fireworks, strict=True)
    ]
    return "\n".join(
        [
            *(
                f"agent_{n} holds, oldest first: {', '.join(map(table.card_name, hand))}"
                for n, hand in enumerate(hands)
            ),
            f"fireworks: {', '.join(stacks)}",
            f"tokens {int(np.asarray(game.info_tokens).sum())}, lives "
            f"{int(np.asarray(game.life_tokens).sum())}, cards to draw {cards_left(game)}, next to "
            f"act: agent_{int(np.asarray(game.cur_player_idx).argmax())}",
        ]
    )


def cards_left(game: Any) -> int:
    """Cards in the deck."""
    return int((np.asarray(game.deck).sum((-2, -1)) > 0).sum())
