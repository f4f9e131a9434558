"""Kitchens in words: the layout, what a cook can be told, and what became of a plan."""

from typing import Any

import numpy as np

from leed_jax.scenarios.overcooked_v2 import facts, kitchen
from leed_jax.scenarios.overcooked_v2.kitchen import BUTTON, COUNTER, POT, RECIPE_SIGN, Kitchen

HORIZON = 400
COOKING_STEPS, LIGHT_STEPS = 20, 10
DELIVERY_REWARD, BUTTON_COST = 20, 5
"""The last four as in jaxmarl/environments/overcooked_v2/settings.py."""

DIRECTIONS = ("up", "down", "right", "left")
HELD = ("nothing", "an ingredient", "an empty plate", "a plate of soup")
"""By `facts.kind_of`."""


def _xy(place: Any) -> str:
    return f"({place[1]}, {place[0]})"


def _map(where: Kitchen) -> str:
    """The layout in letters."""
    letters = {kitchen.FLOOR: ".", COUNTER: "#", kitchen.DELIVERY: "D", POT: "P"}
    letters |= {RECIPE_SIGN: "S", BUTTON: "B", kitchen.PLATES: "C"}
    rows = [
        "".join(letters.get(tile, str(tile - kitchen.INGREDIENTS)) for tile in row)
        for row in where.tiles.tolist()
    ]
    return "\n".join(rows)


def _things(where: Kitchen) -> str:
    """Every thing beside the floor with its place, counters last."""
    names = facts.thing_names(where)
    ways = _access(where)
    lines = []
    for kind, label in (
        (POT, "Pots"),
        (kitchen.INGREDIENTS, "Piles of ingredients"),
        (kitchen.PLATES, "Piles of plates"),
        (kitchen.DELIVERY, "Delivery"),
        (RECIPE_SIGN, "Recipe sign"),
        (BUTTON, "Button"),
    ):
        found = where.piles if kind == kitchen.INGREDIENTS else where.of_kind(kind)
        texts = []
        for i in found:
            what = f" of ingredient {where.kind[i] - kind}" if kind == kitchen.INGREDIENTS else ""
            texts.append(f"{names[i]}{what} at {_xy(where.things[i])}, used from {ways[i]}")
        if texts:
            lines.append(f"{label}: {'; '.join(texts)}.")
    counters = [names[i] for i in where.of_kind(COUNTER)]
    lines.append(f"Counters (counter_x_y), each holds one item: {', '.join(counters)}.")
    if where.handover.any():
        both = [f"{names[i]} (from {ways[i]})" for i in np.flatnonzero(where.handover)]
        lines.append(
            "Handover counters, with floor on two opposite sides, so that an item can be put down "
            f"from one side and taken from the other: {', '.join(both)}."
        )
    return "\n".join(lines)


def _access(where: Kitchen) -> list[str]:
    there = where.steps[: len(where.things)].min((-1, -2)) == 0
    return [" ".join(_xy(where.cells[c]) for c in np.flatnonzero(row)) for row in there]


def _rooms(where: Kitchen, homes: dict[str, int]) -> str:
    """Who cooks where, if the kitchen is divided."""
    rooms = where.rooms
    if len(set(rooms.tolist())) == 1:
        return "Both cooks can go everywhere."
    names = facts.thing_names(where)
    near = where.steps[: len(where.things)].min((-1, -2)) == 0
    texts = []
    for agent, room in homes.items():
        inside = [names[i] for i in np.flatnonzero(near[:, rooms == room].any(1))]
        useful = [n for n in inside if not n.startswith("counter")]
        shared = [names[i] for i in np.flatnonzero(where.handover) if names[i] in inside]
        cells = " ".join(_xy(c) for c in where.cells[rooms == room])
        texts.append(
            f"{agent} is always in the room {cells} and reaches {', '.join(useful + shared)}"
        )
    return "The kitchen is divided and nobody leaves its room. " + "; ".join(texts) + "."


def task(where: Kitchen, homes: dict[str, int], view: int | None) -> str:
    """What the prompt says of the kitchen, its rules and what a cook sees."""
    several = len(where.recipes) > 1
    wanted = ""
    recipe = "Every soup counts."
    if several:
        kinds = " or ".join(str(recipe[0]) for recipe in where.recipes)
        wanted = ", all of them of the kind that the episode's recipe asks for,"
        recipe = (
            f"The recipe is drawn for every episode and stays: 3 of ingredient {kinds}, equally "
            "likely. A soup of anything else is worth nothing when handed in, and a pot can only "
            "be emptied by plating its soup once it holds 3 ingredients. The recipe sign always "
            "shows the recipe; "
            f"the button, when pressed, shows it for {LIGHT_STEPS} steps and costs the team "
            f"{BUTTON_COST} points each time."
        )
    conditions = "\n".join(f'- "{name}": {text}' for name, text in facts.CONDITIONS.items())
    seen = (
        "the whole kitchen: its own and the other cook's place, direction and item in hand, and "
        "what is in every pot (with the steps until it is ready) and on every counter"
        if view is None
        else f"only the cells at most {view} away from its own in x and in y (walls do not hide "
        "anything): who is there, in which direction, with which item, and what is in pots and on "
        "counters there"
    )
    sight = "" if view is None else f" {_sight(where, view)}"
    blind = "" if view is None else "They are about the kitchen as it is, seen or not.\n"
    return f"""\
Two cooks make soup: put 3 ingredients{wanted} into a pot, which then starts cooking by itself \
and is ready {COOKING_STEPS} steps later; take the soup out with an empty plate; hand it in at \
the delivery. An episode has {HORIZON} steps. Every soup handed in gives {DELIVERY_REWARD} \
points to both cooks (the reward is shared). The team's score is the points of an episode. \
{recipe}

The kitchen, x to the right and y downwards from (0, 0) at the top left. "." is floor, "#" a \
counter, "P" a pot, "C" a pile of plates, "D" the delivery, "S" a recipe sign, "B" a button, a \
digit an endless pile of that ingredient:
{_map(where)}
{_things(where)}
{_rooms(where, homes)}

In a step a cook moves to the next cell (right, down, left, up), or turns to a thing it moves \
against, or acts on the thing in front of it. It holds one item or nothing: an ingredient, an \
empty plate, or a plate of soup. Items cannot be put back on piles or thrown away; only pots, \
counters and the delivery take them. Cooks cannot pass through each other. Walking is done for \
you by the shortest way: of two cooks in each other's way, first goes who can act at once, then \
who is on the way to something that can be done now, then who holds a plate of soup, an empty \
plate, an ingredient, nothing, then the lower number; the other steps aside. A cook that no rule \
applies to stands still and steps aside like that. A rule by which a cook waits applies while it \
waits, so the rules below it do not get their turn.

Conditions for a rule's "when", true or false in every step:
{conditions}
{blind}
What one cook observes: {seen}.{sight}"""


def _sight(where: Kitchen, view: int) -> str:
    """From which cells what matters is in view."""
    names = facts.thing_names(where)
    texts = []
    for kind in (RECIPE_SIGN, BUTTON, POT):
        for index in where.of_kind(kind):
            away = abs(where.cells - where.things[index]).max(1)
            cells = " ".join(_xy(cell) for cell in where.cells[away <= view])
            texts.append(f"{names[index]} is in view from {cells}")
    return f"{'; '.join(texts)}."


_PITFALL = """\
Think of every step in which a rule could leave a cook with the wrong item in hand: a cook that \
waits at a full pot with an ingredient cannot fetch a plate, and if both do, nothing ever happens \
again. See to it that soup is always taken out by someone."""


def advice(view: int | None) -> dict[str, str]:
    """By goal, what makes a plan good."""
    sight = "that cook observes in the step, without memory"
    if view is not None:
        sight = "that cook observes, and what it remembers of the steps before"
    return {
        "learnable": f"""\
Your plan is executed to produce demonstrations. One small policy per cook is then trained to do \
what its cook did, knowing only what {sight}. Rules decide by what is in hand and in the kitchen, \
so they can be learnt if the decision is clear from that: few rules, a clear share of the work, \
little walking in each other's way. Among such plans choose the one with the most deliveries in \
{HORIZON} steps. {_PITFALL}""",
        "return": f"""\
Your plan is executed to produce demonstrations. Make the score as high as you can. {_PITFALL}""",
    }


def describe(where: Kitchen, agents: tuple[str, ...], state: Any) -> str:
    """The cooks at the start of an episode, and the recipe where it varies."""
    cooks = state.game.agents
    row, column = np.asarray(cooks.pos.y), np.asarray(cooks.pos.x)
    held = np.asarray(facts.kind_of(cooks.inventory))
    lines = [
        f"{agent} at ({column[n]}, {row[n]}), looks {DIRECTIONS[int(cooks.dir[n])]}, holds "
        f"{HELD[held[n]]}"
        for n, agent in enumerate(agents)
    ]
    if len(where.recipes) > 1:
        lines.append(f"recipe of this episode: 3 of ingredient {_recipe(where, state.game)}")
    lines.append("All pots and counters are empty at the start.")
    return "\n".join(lines)


def _recipe(where: Kitchen, game: Any) -> int:
    return next(r[0] for r in where.recipes if 3 * (4 << 2 * r[0]) == int(game.recipe))
