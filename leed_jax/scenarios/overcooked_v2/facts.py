"""A kitchen's state as rules ask for it: who is where with what, and which conditions hold."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from leed_jax.scenarios.overcooked_v2 import kitchen as kitchens
from leed_jax.scenarios.overcooked_v2.kitchen import BUTTON, COUNTER, DELIVERY, POT, Kitchen
from leed_jax.types import State

CAPACITY = 3
"""Ingredients of a soup."""
PLATE, COOKED = 1, 2
"""Bits of an item; above them two bits count every ingredient."""
NOTHING, INGREDIENT, EMPTY_PLATE, SOUP = range(4)
"""What an item is."""

CONDITIONS = {
    "always": "in every step",
    "ingredient_needed": (
        "the pots that are not full lack more ingredients, all together, than there are in the "
        "other cook's hands and on counters"
    ),
    "plate_needed": (
        "more soups are cooking or ready in pots than there are empty plates in the other cook's "
        "hands and on counters"
    ),
    "pot_has_room": "some pot is not full",
    "no_pot_has_room": "all pots are full (cooking, or ready)",
    "soup_coming": "some pot is cooking or ready",
    "no_soup_coming": "no pot is cooking or ready",
    "soup_ready": "some pot's soup is ready",
    "no_soup_ready": "no pot's soup is ready",
    "all_pots_empty": "no pot holds anything",
    "ingredient_on_counter": "an ingredient lies on some counter",
    "no_ingredient_on_counter": "no ingredient lies on any counter",
    "plate_on_counter": "an empty plate lies on some counter",
    "no_plate_on_counter": "no empty plate lies on any counter",
    "soup_on_counter": "a plate of soup stands on some counter",
}
"""What a rule's ``when`` may ask for, and what it means."""


def thing_names(kitchen: Kitchen) -> list[str]:
    """What the things are called: by kind and number, counters by x and y."""
    names = [f"counter_{x}_{y}" for y, x in kitchen.things]
    for label, kind in (("pot", POT), ("plates", kitchens.PLATES), ("delivery", DELIVERY),
                        ("sign", kitchens.RECIPE_SIGN), ("button", BUTTON)):  # fmt: skip
        found = kitchen.of_kind(kind)
        for number, index in enumerate(found):
            names[index] = f"{label}_{number}"
    for number, index in enumerate(kitchen.piles):
        names[index] = f"pile_{number}"
    return names


class Facts(NamedTuple):
    """A state, as the rules ask for it. N is 2."""

    me: Int[Array, "N"]
    """Cells of the cooks."""
    direction: Int[Array, "N"]
    held: Int[Array, "N"]
    """The items in their hands."""
    item: Int[Array, "H"]
    """What lies on or in every thing."""
    timer: Int[Array, "H"]
    """Steps until a pot is ready; that a button's light stays on."""
    amount: Int[Array, "H"]
    """Ingredients in a pot, elsewhere 0."""
    ready: Bool[Array, "H"]
    room: Bool[Array, "H"]
    """Pots that an ingredient can be put in."""
    steps: Int[Array, "N P"]
    """To every place."""
    recipe: Int[Array, "N"]
    """The recipe's ingredient as far as the cook knows it from the sign, now or earlier; -1."""


def kind_of(item: Any) -> Int[Array, "*b"]:
    """`NOTHING`, `INGREDIENT`, `EMPTY_PLATE` or `SOUP`."""
    plated, food = (item & PLATE) > 0, (item >> 2) > 0
    return jnp.where(plated, jnp.where(food, SOUP, EMPTY_PLATE), jnp.where(food, INGREDIENT, 0))


def read(kitchen: Kitchen, view: int | None, state: State, remembered: Int[Array, "N"]) -> Facts:
    """The facts of a state of JaxMARL's.

    Args:
      kitchen: where.
      view: cells that a cook sees in every direction; None: it sees everything.
      state: of the game.
      remembered: ingredient of the recipe, -1 as long as a cook has not seen it.
    """
    agents, rows, columns = state.agents, kitchen.things[:, 0], kitchen.things[:, 1]
    row, column = jnp.asarray(agents.pos.y), jnp.asarray(agents.pos.x)
    me = jnp.asarray(kitchen.cell_at)[row, column]
    item, timer = state.grid[rows, columns, 1], state.grid[rows, columns, 2]
    pot = jnp.asarray(kitchen.kind == POT)
    counts = jnp.stack([item >> (2 * i + 2) & 3 for i in range(kitchen.num_ingredients)])
    amount = jnp.where(pot, counts.sum(0), 0)
    ready = pot & ((item & COOKED) > 0)
    everywhere = jnp.ones((len(me), len(rows)), bool)
    away = jnp.maximum(abs(row[:, None] - rows), abs(column[:, None] - columns))
    seen = everywhere if view is None else away <= view
    lit = jnp.asarray(kitchen.kind == kitchens.RECIPE_SIGN)
    lit = lit | (jnp.asarray(kitchen.kind == BUTTON) & (timer > 0))
    asked = (state.recipe >> (2 * jnp.arange(kitchen.num_ingredients) + 2) & 3).argmax()
    if len(kitchen.recipes) == 1:  # known to all from the start
        sign = jnp.full(len(me), asked)
    else:
        sign = jnp.where((seen & lit).any(1), asked, -1)
    steps = jnp.asarray(kitchen.steps)
    return Facts(
        me=me,
        direction=agents.dir,
        held=agents.inventory,
        item=item,
        timer=timer,
        amount=amount,
        ready=ready,
        room=pot & ~ready & (timer == 0) & (amount < CAPACITY),
        steps=steps[:, me, agents.dir, me[::-1]].T,
        recipe=jnp.where(sign >= 0, sign, remembered),
    )


def holds(kitchen: Kitchen, now: Facts) -> Bool[Array, "W N"]:
    """Every condition of `CONDITIONS`, for each cook."""
    counter = jnp.asarray(kitchen.kind == COUNTER)
    lying, carried = kind_of(now.item), kind_of(now.held)[::-1]
    ingredients, plates, soups = (
        (counter & (lying == kind)).sum() for kind in (INGREDIENT, EMPTY_PLATE, SOUP)
    )
    more_ingredients = ingredients + (carried == INGREDIENT).astype(jnp.int32)
    more_plates = plates + (carried == EMPTY_PLATE).astype(jnp.int32)
    lacking = jnp.where(now.room, CAPACITY - now.amount, 0).sum()
    coming = now.ready | ((now.timer > 0) & jnp.asarray(kitchen.kind == POT))
    told = {
        "always": jnp.array(True),
        "ingredient_needed": lacking > more_ingredients,
        "plate_needed": coming.sum() > more_plates,
        "pot_has_room": now.room.any(),
        "no_pot_has_room": ~now.room.any(),
        "soup_coming": coming.any(),
        "no_soup_coming": ~coming.any(),
        "soup_ready": now.ready.any(),
        "no_soup_ready": ~now.ready.any(),
        "all_pots_empty": ~(now.amount > 0).any(),
        "ingredient_on_counter": ingredients > 0,
        "no_ingredient_on_counter": ingredients == 0,
        "plate_on_counter": plates > 0,
        "no_plate_on_counter": plates == 0,
        "soup_on_counter": soups > 0,
    }
    return jnp.stack([jnp.broadcast_to(told[name], carried.shape) for name in CONDITIONS])
