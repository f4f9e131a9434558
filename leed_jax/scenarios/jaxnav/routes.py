"""Ways around walls: distances to goals over the cells of a map, and points in sight on the way."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.types import State

SWEEPS = 8  # of a distance field per step: a way that closes is noticed within two seconds
CELLS_AHEAD = 6  # along a route, for a look-ahead of 5 m
SAMPLES = 16  # of a line that is checked for walls
NEXT_CELLS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.int32)  # x, y
AROUND = np.array([[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1)], np.int32)

Fields = Float[Array, "N H W"]
"""Per robot the number of cells between every cell and its goal's; `far` where there is no way."""


def stopped(state: State) -> Bool[Array, "N"]:
    """Robots that have arrived or crashed."""
    return jnp.logical_or(state.goal_reached, state.move_term)


def cell_of(places: Float[Array, "*b 2"]) -> Int[Array, "*b 2"]:
    """Column and row of the cell of a place."""
    return jnp.asarray(jnp.floor(places), jnp.int32)


def centre_of(cells: Int[Array, "*b 2"]) -> Float[Array, "*b 2"]:
    """The middle of a cell, in metres."""
    return cells.astype(jnp.float32) + 0.5


def far(walls: Any) -> float:
    """More cells than any way has."""
    return float(walls.shape[-1] * walls.shape[-2])


def _sweep(fields: Fields, closed: Bool[Array, "N H W"], goals: Bool[Array, "N H W"]) -> Fields:
    """Every cell one further than the nearest of its four neighbours."""
    around = [jnp.roll(fields, by, axis) for axis in (1, 2) for by in (1, -1)]
    nearest = jnp.minimum(jnp.stack(around).min(0) + 1.0, far(fields))
    return jnp.where(goals, 0.0, jnp.where(closed, far(fields), nearest))


def _marks(places: Float[Array, "N 2"], walls: Any) -> Bool[Array, "N H W"]:
    """Per robot the cell of its place."""
    cell = cell_of(places)
    blank = jnp.zeros((places.shape[0], *walls.shape), bool)
    return blank.at[jnp.arange(places.shape[0]), cell[:, 1], cell[:, 0]].set(True)


def distances_at_start(state: State) -> Fields:
    """Fields around walls alone."""
    walls = state.map_data > 0
    goals = _marks(state.goal, walls)
    closed = jnp.broadcast_to(walls, goals.shape)
    fields = jnp.full(goals.shape, far(walls))
    # A shortest path enters every inner cell once at most.
    longest = (walls.shape[0] - 2) * (walls.shape[1] - 2)
    return jax.lax.fori_loop(0, longest, lambda _, f: _sweep(f, closed, goals), fields)


def updated(fields: Fields, state: State, around: Bool[Array, "N"]) -> Fields:
    """Some sweeps more: where ``around``, cells in which another robot stopped for good are walls.

    From whatever fields, sweeps converge to the true distances; a way that closes takes a few steps
    to be noticed.
    """
    walls = state.map_data > 0
    cells = _marks(state.pos[:, :2], walls) & stopped(state)[:, None, None]
    others = ~jnp.eye(around.shape[0], dtype=bool)
    parked = (cells[None] & others[:, :, None, None]).any(1)
    closed = walls | (parked & around[:, None, None])
    goals = _marks(state.goal, walls)
    for _ in range(SWEEPS):
        fields = _sweep(fields, closed, goals)
    return fields


def clearance(point: Float[Array, "2"], walls: Bool[Array, "H W"]) -> Float[Array, ""]:
    """Metres to the nearest wall, exact up to 1."""
    cells = cell_of(point) + AROUND
    gap = jnp.maximum(jnp.abs(point - centre_of(cells)) - 0.5, 0.0)
    filled = walls.at[cells[:, 1], cells[:, 0]].get(mode="fill", fill_value=True)
    return jnp.where(filled, jnp.linalg.norm(gap, axis=-1), 1.0).min()


def free_line(start: Any, end: Any, keep: Any, walls: Bool[Array, "H W"]) -> Bool[Array, ""]:
    """The line keeps its distance from walls, as far as the start itself does."""
    share = jnp.linspace(0.0, 1.0, SAMPLES + 1)[1:, None]
    gaps = jax.vmap(clearance, (0, None))(start + share * (end - start), walls)
    return gaps.min() >= jnp.minimum(keep, clearance(start, walls) - 0.01)


def waypoint(
    place: Float[Array, "2"],
    goal: Float[Array, "2"],
    field: Float[Array, "H W"],
    walls: Bool[Array, "H W"],
    look_ahead: Float[Array, ""],
    keep: Float[Array, ""],
) -> Float[Array, "2"]:
    """The furthest of the next cells on the way that can be driven to in a straight line.

    From anywhere in a cell its own centre can, and from there the centre of the next one.
    """

    def onwards(cell: Any, _: Any) -> tuple[Any, Any]:
        near = cell + NEXT_CELLS
        away = jnp.linalg.norm(centre_of(near) - goal, axis=-1)
        price = field[near[:, 1], near[:, 0]] + 0.001 * away  # of equal ways the more direct one
        cell = jnp.where((cell == cell_of(goal)).all(), cell, near[price.argmin()])
        return cell, jnp.where((cell == cell_of(goal)).all(), goal, centre_of(cell))

    own = jnp.where((cell_of(place) == cell_of(goal)).all(), goal, centre_of(cell_of(place)))
    _, points = jax.lax.scan(onwards, cell_of(place), length=CELLS_AHEAD)
    points = jnp.concatenate([own[None], points])
    within = jnp.linalg.norm(points - place, axis=-1) <= look_ahead
    within = within | (jnp.arange(CELLS_AHEAD + 1) <= 1)
    # A goal may be nearer to walls than robots are told to keep.
    last = jnp.minimum(keep, clearance(goal, walls) - 0.01)
    keep = jnp.where((points == goal).all(-1), last, keep)
    seen = within & jax.vmap(free_line, (None, 0, 0, None))(place, points, keep, walls)
    return points[jnp.where(seen, jnp.arange(CELLS_AHEAD + 1), 0).max()]
