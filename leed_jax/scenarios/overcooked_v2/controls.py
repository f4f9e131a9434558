"""Rules become actions: which apply, and where they send the cooks.

Everything is read off the state (and what a cook remembers of the recipe), so that a policy that
sees the same can decide the same.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from leed_jax.instructions import Choice, Vocabulary
from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.overcooked_v2 import facts, moves
from leed_jax.scenarios.overcooked_v2 import kitchen as kitchens
from leed_jax.scenarios.overcooked_v2 import vocabulary as words
from leed_jax.scenarios.overcooked_v2.facts import Facts
from leed_jax.scenarios.overcooked_v2.kitchen import BUTTON, COUNTER, DELIVERY, POT, Kitchen

COSTLY = 100_000
"""Price of a place where a cook would have to wait, in steps."""
IMPOSSIBLE = 10 * COSTLY


class Target(NamedTuple):
    """Where the cooks are sent, and what they do next."""

    place: Int[Array, "N"]
    """One of `Kitchen`'s places: a thing to stand before, or, counted on, a cell to stand in."""
    idle: Bool[Array, "N"]
    """No rule applies."""
    waiting: Bool[Array, "N"]
    """What the rule asks for cannot be done now, or is to wait."""
    action: Int[Array, "N"]


def make(kitchen: Kitchen, vocabulary: Vocabulary, view: int | None) -> Controls:
    """The controls of a kitchen; ``state.game`` is JaxMARL's state."""
    count, ops = len(kitchen.things), range(len(vocabulary.commands))
    kind = jnp.asarray(kitchen.kind)
    beside = jnp.asarray(kitchen.steps[:count].min((-1, -2)) < kitchens.FAR).T  # [C H]
    named, column = {}, {}
    for op, command in enumerate(vocabulary.commands):
        for index, parameter in enumerate(command.parameters):
            assert isinstance(parameter, Choice)
            column[op, parameter.name] = index, parameter.options
            if parameter.name in ("pile", "pot", "counter"):
                masks = [_named(kitchen, parameter.name, option) for option in parameter.options]
                named[op] = jnp.asarray(np.stack(masks))
    names = facts.thing_names(kitchen)
    places = column[words.WAIT, "place"][1]
    waits = jnp.asarray([names.index(place) if place in names else -1 for place in places])

    def argument(program: Program, op: int, name: str) -> Int[Array, "N 1"]:
        index, options = column[op, name]
        # The codes of another command's arguments may be too large for this one's.
        return jnp.minimum(program.arguments[:, index], len(options) - 1)[:, None]

    def says(program: Program, op: int, name: str, option: str) -> Bool[Array, "N 1"]:
        options = column[op, name][1]
        found = options.index(option) if option in options else -1
        return argument(program, op, name) == found

    def choose(now: Facts, program: Program) -> tuple[Any, Any, Any]:
        """Whether each cook's rule applies; the thing that it is about, and its price."""
        cooks = jnp.arange(len(now.me))
        held, lying = facts.kind_of(now.held)[:, None], facts.kind_of(now.item)
        met = facts.holds(kitchen, now)
        reach, steps = beside[now.me], now.steps[:, :count]
        anywhere = jnp.ones((len(cooks), 1), bool)

        def when(op: int) -> Bool[Array, "N 1"]:
            if (op, "when") not in column:
                return anywhere
            return met[argument(program, op, "when")[:, 0], cooks][:, None]

        def things(op: int, name: str) -> Bool[Array, "N H"]:
            return named[op][argument(program, op, name)[:, 0]]

        def fits(op: int, item: Any) -> Any:
            asked = argument(program, op, "item")
            return (item > 0) & ((asked == words.ITEMS.index("anything")) | (item == asked))

        empty = held == facts.NOTHING
        of_recipe = (kind == (kitchens.INGREDIENTS + now.recipe)[:, None]) & (now.recipe >= 0)[
            :, None
        ]
        piles = jnp.where(
            says(program, words.FETCH, "pile", words.RECIPE), of_recipe, things(words.FETCH, "pile")
        )
        fullest = says(program, words.PUT, "pot", words.FULLEST)
        lacking = jnp.where(fullest, kitchens.FAR * (facts.CAPACITY - now.amount), 0)
        # Among pots that make a cook wait, the one that is ready first, or else the fullest.
        later = jnp.where(now.timer > 0, now.timer, kitchens.FAR - 10 * now.amount)
        until_free = COSTLY + kitchens.FAR * jnp.where(now.ready, 0, later)
        until_ready = COSTLY + kitchens.FAR * later
        # Per command: what must be true, which things come into question, and what they cost
        # beside the steps to them.
        rows = [
            (empty, piles, 0),
            (
                held == facts.INGREDIENT,
                things(words.PUT, "pot"),
                jnp.where(now.room, lacking, until_free),
            ),
            (empty, kind == kitchens.PLATES, 0),
            (
                held == facts.EMPTY_PLATE,
                things(words.PLATE_SOUP, "pot"),
                jnp.where(now.ready, 0, until_ready),
            ),
            (held == facts.SOUP, kind == DELIVERY, 0),
            (fits(words.PLACE, held), things(words.PLACE, "counter") & (lying == 0), 0),
            (empty, things(words.TAKE, "counter") & fits(words.TAKE, lying), 0),
            (anywhere, False, 0),
            (anywhere, False, 0),
            (empty, (kind == BUTTON) & (now.timer == 0), 0),
        ]
        allowed = jnp.stack([(rows[op][0] & when(op))[:, 0] for op in ops])[program.op, cooks]
        candidates = jnp.stack([rows[op][1] & reach for op in ops])[program.op, cooks]
        prices = jnp.stack([rows[op][2] + steps for op in ops])[program.op, cooks]
        prices = jnp.where(candidates, prices, IMPOSSIBLE)
        still = (program.op == words.WAIT) | (program.op == words.MAKE_WAY)
        return allowed & (still | candidates.any(1)), prices.argmin(1), prices.min(1)

    def applies(state: Any, program: Program, memory: Int[Array, "N"]) -> Bool[Array, "N"]:
        return choose(facts.read(kitchen, view, state.game, memory), program)[0]

    def resolve(
        state: Any, program: Program, memory: Int[Array, "N"]
    ) -> tuple[Target, Int[Array, "N"]]:
        now = facts.read(kitchen, view, state.game, memory)
        applicable, thing, price = choose(now, program)
        here = count + now.me
        away = now.steps[:, count:]
        quiet = jnp.where(away < kitchens.FAR, 4 * jnp.asarray(kitchen.bustle) + away, IMPOSSIBLE)
        beside_it = waits[argument(program, words.WAIT, "place")]
        there = jnp.take_along_axis(now.steps, beside_it, 1) < kitchens.FAR
        wait = jnp.where((beside_it >= 0) & there, beside_it, here[:, None])[:, 0]
        place = jnp.where(program.op == words.WAIT, wait, thing)
        place = jnp.where(program.op == words.MAKE_WAY, count + quiet.argmin(1), place)
        place = jnp.where(applicable, place, here)
        able = applicable & (price < COSTLY)
        action = moves.act(kitchen, now, place, able)
        return Target(place, ~applicable, ~able, action), now.recipe

    def act(target: Target, state: Any, agent: Int[Array, ""]) -> tuple[Any, Any]:
        del state, agent
        return target.action, jnp.array(False)

    return Controls(
        init=lambda state: jnp.full(2, -1, jnp.int32),
        resolve=resolve,
        controllers=(act,) * len(vocabulary.commands),
        applies=applies,
    )


def _named(kitchen: Kitchen, parameter: str, option: str) -> Bool[np.ndarray, "H"]:
    """The things among which an option leaves the choice."""
    names, kind = facts.thing_names(kitchen), kitchen.kind
    if option in names:
        return np.array(names) == option
    if option == words.HANDOVER:
        return kitchen.handover
    if parameter == "pile":
        return kind >= kitchens.INGREDIENTS
    return kind == {"pot": POT, "counter": COUNTER}[parameter]
