"""What a cook can be told, in a given kitchen."""

from leed_jax.instructions import Choice, Command, Vocabulary
from leed_jax.scenarios.overcooked_v2 import facts
from leed_jax.scenarios.overcooked_v2.kitchen import BUTTON, COUNTER, POT, Kitchen

(
    FETCH,
    PUT,
    TAKE_PLATE,
    PLATE_SOUP,
    DELIVER,
    PLACE,
    TAKE,
    WAIT,
    MAKE_WAY,
    PRESS,
) = range(10)
"""Commands, in the vocabulary's order; the last one only where there is a button."""

NEAREST, RECIPE, FULLEST, HANDOVER, HERE = "nearest", "recipe", "fullest", "handover", "here"
ITEMS = ("anything", "ingredient", "plate", "soup")

MAX_RULES = 16


def make(where: Kitchen, agents: tuple[str, ...], horizon: int) -> Vocabulary:
    """What a cook can be told there."""
    names = facts.thing_names(where)
    pots = tuple(names[index] for index in where.of_kind(POT))
    counters = tuple(names[index] for index in where.of_kind(COUNTER))
    several = len(where.recipes) > 1
    when = Choice(
        "when",
        tuple(facts.CONDITIONS),
        "the rule applies only while it holds",
        shown="a condition",
    )
    piles = "nearest: the nearest pile that the cook can reach"
    hints: tuple[str, ...] = ()
    if several:
        hints = (RECIPE,)
        piles = (
            "recipe: the pile of the recipe's ingredient, once the cook has seen the sign or the "
            "lit button in the episode; until then the rule does not apply; nearest: the nearest "
            "pile, whatever its ingredient"
        )
    given = f"the nearest such counter, or a given one, as in {counters[0]}"
    rules = (NEAREST, HANDOVER) if where.handover.any() else (NEAREST,)
    if where.handover.any():
        given += "; handover: only the counters named so in the task"
    shown = ", ".join(f'"{rule}"' for rule in rules) + " or the name of a counter"
    places = tuple(name for name, kind in zip(names, where.kind, strict=True) if kind != COUNTER)
    commands = (
        Command(
            "FetchIngredient",
            "go to a pile and take an ingredient; applies with empty hands",
            (Choice("pile", (NEAREST, *hints, *_piles(where)), piles), when),
        ),
        Command(
            "PutInPot",
            "bring the ingredient in hand to a pot and put it in; applies with an ingredient in "
            "hand; if no such pot has room, wait beside the one that will be free first",
            (
                Choice(
                    "pot",
                    (FULLEST, NEAREST, *pots),
                    "fullest: of the pots with room the fullest one, the nearest of equals; "
                    "nearest: the nearest with room; or a given one",
                ),
                when,
            ),
        ),
        Command(
            "TakePlate",
            "take an empty plate from the nearest pile of plates; applies with empty hands",
            (when,),
        ),
        Command(
            "PlateSoup",
            "bring the empty plate in hand to a pot and take the soup; applies with an empty plate "
            "in hand; if no such soup is ready, wait beside the pot that will be ready first",
            (
                Choice(
                    "pot",
                    (NEAREST, *pots),
                    "nearest: the nearest that is ready; or a given one",
                ),
                when,
            ),
        ),
        Command("Deliver", "hand in the plate of soup in hand; applies with one in hand"),
        Command(
            "PlaceOnCounter",
            "put what is in hand on an empty counter; applies with such an item in hand and such a "
            "counter empty",
            (
                Choice("item", ITEMS, "what the cook must hold"),
                Choice("counter", (*rules, *counters), given, shown=shown),
                when,
            ),
        ),
        Command(
            "TakeFromCounter",
            "take an item from a counter; applies with empty hands and such an item on such a "
            "counter",
            (
                Choice("item", ITEMS, "what to take"),
                Choice("counter", (*rules, *counters), given, shown=shown),
                when,
            ),
        ),
        Command(
            "Wait",
            "go beside a thing and stay there, whatever is in hand",
            (
                Choice(
                    "place",
                    (HERE, *places, *counters),
                    "here: where the cook stands",
                    shown='"here" or the name of a thing, as in "pot_0"',
                ),
                when,
            ),
        ),
        Command(
            "MakeWay",
            "go to a cell where the cook is in nobody's way, whatever is in hand",
            (when,),
        ),
    )
    if (where.kind == BUTTON).any():
        press = Command(
            "PressButton", "press the button; applies with empty hands and its light off", (when,)
        )
        commands = (*commands, press)
    return Vocabulary(
        agents=agents,
        commands=commands,
        conditions=(),
        horizon=horizon,
        max_instructions=MAX_RULES,
        timed=False,
    )


def _piles(where: Kitchen) -> tuple[str, ...]:
    names = facts.thing_names(where)
    return tuple(names[index] for index in where.piles)
