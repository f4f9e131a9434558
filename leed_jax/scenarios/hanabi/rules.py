"""What a player's rules make of what it knows: whether each applies, and the action, in JAX."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.instructions import Choice, Command
from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.hanabi.knowledge import Knowledge, edge, knowledge
from leed_jax.scenarios.hanabi.table import COPIES, TOKENS, Table

SURE = 1e-4
"""Room for rounding where probabilities are compared."""


class Target(NamedTuple):
    """What every player's rules say now."""

    action: Int[Array, "N"]
    applied: Bool[Array, "N"]
    """The rule in force applies; false: none did, and the action is the game's default."""
    op: Int[Array, "N"]
    """Command of that rule."""


# ------------------------------------------------------------------------------ the rules

Move = tuple[Bool[Array, ""], Int[Array, ""]]
"""Whether a rule applies, and its action."""


def _slot(of: Float[Array, "H"], allowed: Bool[Array, "H"]) -> tuple[Any, Any]:
    """Whether a card is allowed, and the allowed one of the highest value, the oldest of equals."""
    # Rounded: sums over other cards in another order must not break ties.
    return allowed.any(), jnp.where(allowed, jnp.round(of, 4), -jnp.inf).argmax()


def _play_likely(me: Knowledge, of: Any) -> Move:
    found, slot = _slot(me.playable, me.held & (me.playable >= of["min_probability"] - SURE))
    allowed = (me.lives >= of["min_lives"]) & (me.deck <= of["max_deck"])
    return found & allowed, slot + me.held.size


def _play_hinted(me: Knowledge, of: Any) -> Move:
    cards = me.held & jnp.where(of["hinted"] == 0, me.fresh, me.hinted) & (me.playable > SURE)
    focus = jnp.where(of["focus"] == 0, edge(cards, True), edge(cards, False))
    likely = focus & (me.playable >= of["min_probability"] - SURE)
    return likely.any() & (me.lives >= of["min_lives"]), likely.argmax() + me.held.size


def _give(me: Knowledge, of: Any, wanted: Bool[Array, "M K"], value: Float[Array, "M K"]) -> Move:
    """The wanted hint of the highest value, to those whose turn is sooner first."""
    others, hints = wanted.shape
    colours = hints - len(COPIES)
    is_colour = jnp.arange(hints) < colours
    fits = jnp.where(is_colour, of["kind"] != 1, of["kind"] != 0)
    sooner = jnp.arange(others)[:, None]
    reached = (of.get("receiver", jnp.array(0)) == 0) | (sooner == 0)
    wanted = wanted & me.hints.possible & fits & reached
    rank = jnp.where(wanted, value - 1000.0 * sooner.astype(jnp.float32), -jnp.inf)
    receiver, hint = jnp.divmod(rank.argmax(), hints)
    by_colour = receiver * colours + hint
    by_rank = others * colours + receiver * len(COPIES) + hint - colours
    action = 2 * me.held.size + jnp.where(hint < colours, by_colour, by_rank)
    return wanted.any() & (me.tokens >= of["min_tokens"]), action


def _hint_playable(me: Knowledge, of: Any) -> Move:
    wanted = me.hints.news[..., of["focus"]]
    return _give(me, of, wanted, me.hints.told / 100.0 - me.hints.cards.astype(jnp.float32))


def _hint_save(me: Knowledge, of: Any) -> Move:
    wanted = me.hints.saves[..., of["cards"], of["slot"]] & me.hints.careful[..., of["careful"]]
    return _give(me, of, wanted, me.hints.told)


def _hint_most(me: Knowledge, of: Any) -> Move:
    wanted = me.hints.careful[..., of["careful"]] & (me.hints.told > 0)
    return _give(me, of, wanted, me.hints.told)


def _may_discard(me: Knowledge, of: Any) -> Bool[Array, ""]:
    return me.tokens <= of["max_tokens"]


def _discard_useless(me: Knowledge, of: Any) -> Move:
    found, slot = _slot(me.useless, me.held & (me.useless >= of["min_probability"] - SURE))
    return found & _may_discard(me, of), slot


def _discard(me: Knowledge, of: Any) -> Move:
    unhinted = me.held & ~me.hinted
    safest = _slot(-me.last_copy, me.held)[1]
    cards = [
        edge(unhinted, False),
        edge(unhinted, True),
        edge(me.held, False),
        edge(me.held, True),
        jax.nn.one_hot(safest, me.held.size, dtype=bool) & me.held,
    ]
    card = jnp.stack(cards)[of["card"]]
    return card.any() & _may_discard(me, of), card.argmax()


def _default(me: Knowledge) -> Int[Array, ""]:
    """Where no rule applies: discard the oldest card, or give the hint that tells most."""
    free = {"kind": jnp.array(2), "min_tokens": jnp.array(1.0)}
    _, hint = _give(me, free, jnp.ones_like(me.hints.possible), me.hints.told)
    return jnp.where(me.tokens < TOKENS, me.held.argmax(), hint)


_RULES: tuple[Callable[[Knowledge, Any], Move], ...] = (
    _play_likely,
    _play_hinted,
    _hint_playable,
    _hint_save,
    _hint_most,
    _discard_useless,
    _discard,
)


def controls(commands: tuple[Command, ...]) -> Controls:
    """Rules as actions: a player not in turn has none and does nothing."""

    def arguments(command: Command, codes: Int[Array, "P"]) -> dict[str, Any]:
        """Options by their index, numbers by their value."""
        return {
            parameter.name: code
            if isinstance(parameter, Choice)
            else parameter.decode(code.astype(jnp.float32))
            for parameter, code in zip(command.parameters, codes, strict=False)
        }

    def moves(state: Table, program: Program) -> tuple[Bool[Array, "N"], Int[Array, "N"], Any]:
        known = knowledge(state)

        def one(me: Knowledge, op: Any, codes: Any) -> Move:
            said = [
                rule(me, arguments(command, codes))
                for rule, command in zip(_RULES, commands, strict=True)
            ]
            applies = jnp.stack([applies for applies, _ in said])[op]
            return applies, jnp.stack([action for _, action in said])[op]

        applies, action = jax.vmap(one)(known, program.op, program.arguments)
        return applies, action, known

    def applies(state: Table, program: Program, memory: Any) -> Bool[Array, "N"]:
        del memory
        return moves(state, program)[0]

    def resolve(state: Table, program: Program, memory: Any) -> tuple[Target, Any]:
        applies, action, known = moves(state, program)
        action = jnp.where(applies, action, jax.vmap(_default)(known))
        count, size, colours, ranks = state.game.player_hands.shape
        nothing = 2 * size + (count - 1) * (colours + ranks)
        turn = state.game.cur_player_idx > 0
        action = jnp.where(turn, action, nothing).astype(jnp.int32)
        return Target(action, applies, program.op), memory

    def act(target: Target, state: Table, agent: Int[Array, ""]) -> tuple[Any, Any]:
        del state, agent
        return target.action, jnp.array(False)

    return Controls(
        init=lambda state: (),
        resolve=resolve,
        controllers=(act,) * len(_RULES),
        applies=applies,
    )
