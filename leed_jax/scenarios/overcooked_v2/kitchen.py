"""A kitchen's layout, and how many actions every place is away, known before an episode begins."""

import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

# Codes of jaxmarl/environments/overcooked_v2/common.py.
FLOOR, COUNTER, DELIVERY, POT, RECIPE_SIGN, BUTTON, PLATES, INGREDIENTS = 0, 1, 4, 5, 6, 7, 9, 10
RIGHT, DOWN, LEFT, UP, STAY, INTERACT = range(6)
FACING = np.array([2, 1, 3, 0])
"""The direction in which each of the four moves turns a cook: up 0, down 1, right 2, left 3."""
OFFSETS = np.array([[-1, 0], [1, 0], [0, 1], [0, -1]])
"""(row, column) of the cell in front, by direction."""

FAR = 200
"""Steps to what cannot be reached."""


class Kitchen(NamedTuple):
    """A layout for two cooks. Positions are (row, column).

    C floor cells; H things that stand beside the floor; P = H + C places to go to: next to a thing,
    facing it, or onto a cell.
    """

    tiles: Int[np.ndarray, "height width"]
    cells: Int[np.ndarray, "C 2"]
    cell_at: Int[np.ndarray, "height width"]
    """Index of a floor cell, -1 elsewhere."""
    things: Int[np.ndarray, "H 2"]
    kind: Int[np.ndarray, "H"]
    """Tile of every thing."""
    handover: Bool[np.ndarray, "H"]
    """Counters with floor on two opposite sides: what lies there can be taken from both."""
    beyond: Int[np.ndarray, "C 5"]
    """The cell that each move, or standing still, leads to if nobody is in the way."""
    steps: Int[np.ndarray, "P C 4 C"]
    """Fewest actions to a place from a cell and direction, the other cook (last axis: its cell)
    getting out of the way as well as it can."""
    bustle: Int[np.ndarray, "C"]
    """How much a cook that stands in a cell is in the way, see `_bustle`."""
    num_ingredients: int
    recipes: tuple[tuple[int, ...], ...]
    """Ingredients that an episode may ask for."""

    def of_kind(self, kind: int) -> list[int]:
        """The things of a kind, in reading order."""
        return np.flatnonzero(self.kind == kind).tolist()

    @property
    def piles(self) -> list[int]:
        """Piles of ingredients, in reading order."""
        return np.flatnonzero(self.kind >= INGREDIENTS).tolist()

    @property
    def rooms(self) -> Int[np.ndarray, "C"]:
        """Cells of one room have the same number: the first cell that can be reached."""
        apart = self.steps[len(self.things) :, :, 0].min(-1)
        return (apart < FAR).argmax(0)


def of_layout(layout: Any) -> Kitchen:
    """The kitchen of a JaxMARL ``Layout``.

    Raises:
      ValueError: it is not for two cooks.
    """
    if len(layout.agent_positions) != 2:
        raise ValueError(f"layouts for two cooks only, not {len(layout.agent_positions)}")
    recipes = tuple(tuple(recipe) for recipe in layout.possible_recipes)
    tiles = np.asarray(layout.static_objects)
    return _kitchen(tiles.tobytes(), tiles.shape, tiles.dtype.str, layout.num_ingredients, recipes)


@functools.cache
def _kitchen(
    data: bytes, shape: tuple[int, int], dtype: str, num_ingredients: int, recipes: Any
) -> Kitchen:
    """Cached: the table takes a second on the larger layouts."""
    tiles = np.frombuffer(data, dtype).reshape(shape).astype(np.int32)
    floor = np.pad(tiles == FLOOR, 1)
    above, below, left, right = floor[:-2, 1:-1], floor[2:, 1:-1], floor[1:-1, :-2], floor[1:-1, 2:]
    beside = (tiles != FLOOR) & (above | below | left | right)
    cells, things = np.argwhere(tiles == FLOOR), np.argwhere(beside)
    kind = tiles[tuple(things.T)]
    through = ((above & below) | (left & right))[tuple(things.T)]
    cell_at = np.full(shape, -1, np.int32)
    cell_at[tuple(cells.T)] = np.arange(len(cells))
    thing_at = np.full(shape, -1)
    thing_at[tuple(things.T)] = np.arange(len(things))
    # Every floor cell is surrounded by something, so that nothing leads off the map.
    front = cells[:, None] + OFFSETS
    ahead = cell_at[front[..., 0], front[..., 1]]
    stay = np.arange(len(cells))[:, None]
    moves = ahead[:, FACING]
    beyond = np.concatenate([np.where(moves >= 0, moves, stay), stay], 1)
    facing = thing_at[front[..., 0], front[..., 1]]
    steps = _steps(beyond, facing, len(things))
    return Kitchen(
        tiles=tiles,
        cells=cells,
        cell_at=cell_at,
        things=things,
        kind=kind,
        handover=(kind == COUNTER) & through,
        beyond=beyond.astype(np.int32),
        steps=steps,
        bustle=_bustle(beyond, facing, kind),
        num_ingredients=num_ingredients,
        recipes=recipes,
    )


def _steps(
    beyond: Int[np.ndarray, "C 5"], facing: Int[np.ndarray, "C 4"], num_things: int
) -> Int[np.ndarray, "P C 4 C"]:
    """`Kitchen.steps`, by value iteration over both cooks' cells and the first one's direction."""
    count = len(beyond)
    mine, theirs = beyond[:, None, :, None], beyond[None, :, None, :]
    here, there = np.arange(count)[:, None, None, None], np.arange(count)[None, :, None, None]
    blocked = clash(mine, theirs, here, there)
    my_cell = np.where(blocked, here, mine)[:, None]  # [C 1 C 5 5]
    their_cell = np.where(blocked, there, theirs)[:, None]
    turned = np.arange(4)[:, None] * np.ones(5, int)
    turned[:, :4] = FACING
    direction = turned[None, :, None, :, None]
    steps = np.full((num_things + count, count, 4, count), FAR, np.int16)
    for thing in range(num_things):
        steps[thing][facing == thing] = 0
    for cell in range(count):
        steps[num_things + cell, cell] = 0
    while True:
        best = steps[:, my_cell, direction, their_cell].min((-1, -2)) + 1
        better = np.minimum(steps, best).astype(np.int16)
        if (better == steps).all():
            return steps.astype(np.int32)
        steps = better


def clash(mine: Any, theirs: Any, here: Any, there: Any) -> Any:
    """Whether JaxMARL leaves both cooks where they are: one cell for two, or changing places."""
    return (mine == theirs) | ((mine == there) & (theirs == here))


def _bustle(
    beyond: Int[np.ndarray, "C 5"], facing: Int[np.ndarray, "C 4"], kind: Int[np.ndarray, "H"]
) -> Int[np.ndarray, "C"]:
    """Per cell: how many steps longer the ways between things in use get around it, summed.

    A way that it cuts off, or a thing that can be used from there alone, counts 20 steps.
    """
    count, cut_off = len(beyond), 20
    used = [np.flatnonzero((facing == thing).any(1)) for thing in np.flatnonzero(kind != COUNTER)]

    def ways(closed: int | None) -> Int[np.ndarray, "U U"]:
        apart = np.where(np.eye(count, dtype=bool), 0, FAR)
        if closed is not None:
            apart[closed, closed] = FAR
        for _ in range(count):
            apart = np.minimum(apart, apart[beyond].min(1) + 1)
            if closed is not None:
                apart[closed] = FAR
        return np.array([[apart[np.ix_(a, b)].min() for a in used] for b in used])

    free = ways(None)
    longer = [np.where(free < FAR, ways(cell) - free, 0) for cell in range(count)]
    return np.array([np.minimum(more, cut_off).sum() for more in longer], np.int32)
