"""Where robots are sent, and the wheels' speeds that take them there."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.scenarios import Program
from leed_jax.scenarios.jaxnav import words
from leed_jax.scenarios.jaxnav.routes import (
    NEXT_CELLS,
    Fields,
    cell_of,
    centre_of,
    far,
    free_line,
    stopped,
    updated,
    waypoint,
)
from leed_jax.scenarios.jaxnav.words import DRIVE_TO_CELL, DRIVE_TO_GOAL, ROUTES, STEP_ASIDE
from leed_jax.types import State

MAX_TURN = float(np.pi / 6)  # rad/s at the action's bounds, jaxnav_env.py:agent_action_space
TURN_GAIN = 2.0  # rad/s per rad off
STRETCH = 0.8  # m that are looked along for a way beside other robots
SIDEWAYS = np.deg2rad([0, *(s * a for a in range(15, 150, 15) for s in (-1, 1))]).astype(np.float32)
KEEP_HEADING = 0.5  # price of a radian of turning, in radians off the line
ARRIVED = 0.25  # from the centre of a cell


class Target(NamedTuple):
    """Where a robot drives, and how."""

    point: Float[Array, "N 2"]
    speed: Float[Array, "N"]
    """m/s, at most; 0: brake, turning towards the point."""
    turn_on_spot: Float[Array, "N"]
    """Radians off its heading from which on the robot turns without driving."""
    finished: Bool[Array, "N"]


# ------------------------------------------------------------------------------- resolving


class _Told(NamedTuple):
    """Arguments of DriveToGoal as numbers."""

    route: Int[Array, "N"]
    speed: Float[Array, "N"]
    turn_on_spot: Float[Array, "N"]
    look_ahead: Float[Array, "N"]
    wall_distance: Float[Array, "N"]
    give_way: Int[Array, "N"]
    brake_distance: Float[Array, "N"]
    pass_distance: Float[Array, "N"]


def _told(arguments: Int[Array, "N P"]) -> _Told:
    code = arguments.astype(jnp.float32).T
    return _Told(
        route=arguments[:, 0],
        speed=words.SPEED.decode(code[1]),
        turn_on_spot=jnp.deg2rad(words.TURN_ON_SPOT.decode(code[2])),
        look_ahead=words.LOOK_AHEAD.decode(code[3]),
        wall_distance=words.WALL_DISTANCE.decode(code[4]),
        give_way=arguments[:, 5],
        brake_distance=words.BRAKE_DISTANCE.decode(code[6]),
        pass_distance=words.PASS_DISTANCE.decode(code[7]),
    )


def resolve(state: State, program: Program, fields: Fields) -> tuple[Target, Fields]:
    """Waypoints of all robots, and who waits for whom."""
    told = _told(program.arguments)
    walls = state.map_data > 0
    places = state.pos[:, :2]
    to_goal = program.op == DRIVE_TO_GOAL
    fields = updated(fields, state, to_goal & (told.route == ROUTES.index("around_stopped")))

    routed = jax.vmap(waypoint, (0, 0, 0, None, 0, 0))(
        places, state.goal, fields, walls, told.look_ahead, told.wall_distance
    )
    straight = told.route == ROUTES.index("straight")
    point = jnp.where(straight[:, None], state.goal, routed)
    cell = cell_of(places)
    # The own cell is closed too if a robot stopped in it.
    open_cells = jnp.concatenate([cell[:, None], cell[:, None] + NEXT_CELLS], 1)
    number = jnp.arange(cell.shape[0])
    left = fields[number[:, None], open_cells[..., 1], open_cells[..., 0]].min(1)
    no_way = (left >= far(walls)) & ~straight
    brake = state.goal_reached | no_way | _giving_way(state, told, left)
    point, stuck = _passing(state, told, point, walls)
    goal = Target(
        jnp.where(state.goal_reached[:, None], places, point),
        jnp.where(brake | stuck, 0.0, told.speed),
        told.turn_on_spot,
        state.goal_reached,
    )

    codes = program.arguments.astype(jnp.float32)
    centre = codes[:, :2] + 1.5
    to_cell = Target(
        centre,
        words.SPEED.decode(codes[:, 2]),
        jnp.deg2rad(words.TURN_ON_SPOT.decode(codes[:, 3])),
        jnp.linalg.norm(places - centre, axis=-1) < ARRIVED,
    )
    aside = _aside(state, words.ASIDE_DISTANCE.decode(codes[:, 0]), walls)
    nobody = jnp.zeros(cell.shape[0], bool)
    wait = Target(places, jnp.zeros(cell.shape[0]), jnp.full(cell.shape[0], jnp.pi), nobody)

    chosen = wait
    for op, target in ((DRIVE_TO_GOAL, goal), (DRIVE_TO_CELL, to_cell), (STEP_ASIDE, aside)):
        mine = program.op == op
        chosen = jax.tree.map(
            lambda new, old, mine=mine: jnp.where(
                jnp.expand_dims(mine, range(1, new.ndim)), new, old
            ),
            target,
            chosen,
        )
    return chosen, fields


def _apart(state: State) -> tuple[Float[Array, "N N"], Float[Array, "N N"]]:
    """Distance and direction of every other robot (columns) from every robot; itself far away."""
    offset = state.pos[None, :, :2] - state.pos[:, None, :2]
    distance = jnp.linalg.norm(offset, axis=-1)
    distance = jnp.where(jnp.eye(distance.shape[0], dtype=bool), jnp.inf, distance)
    return distance, jnp.arctan2(offset[..., 1], offset[..., 0])


def _wrap(angle: Any) -> Any:
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi


def _giving_way(state: State, told: _Told, left: Float[Array, "N"]) -> Bool[Array, "N"]:
    """A robot on its way that has priority is near and in front; ``left``: cells to the goal."""
    distance, bearing = _apart(state)
    number = jnp.arange(distance.shape[0])
    left = left * 1000.0 + number.astype(jnp.float32)  # ties: by number
    rules = {
        "nobody": jnp.zeros(distance.shape, bool),
        "lower_numbers": number[None] < number[:, None],
        "closer_to_goal": left[None] < left[:, None],
        "everyone": jnp.ones(distance.shape, bool),
    }
    ranks = jnp.stack([rules[rule] for rule in words.YIELDS])[told.give_way, number]
    ahead = jnp.abs(_wrap(bearing - state.theta.reshape(-1, 1))) < jnp.pi / 2
    near = distance < told.brake_distance[:, None]
    return (ranks & ahead & near & ~stopped(state)[None]).any(1)


def _passing(
    state: State, told: _Told, point: Float[Array, "N 2"], walls: Bool[Array, "H W"]
) -> tuple[Float[Array, "N 2"], Bool[Array, "N"]]:
    """Waypoints beside the robots that are in the way, and who finds no way beside them."""
    places = state.pos[:, :2]
    distance, _ = _apart(state)
    gap = told.pass_distance[:, None]
    offset = point - places
    heading = jnp.arctan2(offset[:, 1], offset[:, 0])[:, None] + SIDEWAYS
    reach = jnp.minimum(jnp.linalg.norm(offset, axis=-1), STRETCH)[:, None, None]
    ways = reach * jnp.stack([jnp.cos(heading), jnp.sin(heading)], -1)  # [N, directions, 2]
    shares = jnp.array([1.0, 2.0, 3.0])[:, None] / 3.0
    stretch = places[:, None, None] + ways[:, :, None] * shares  # [N, directions, 3, 2]
    to_others = stretch[:, :, :, None] - places  # [N, directions, 3, N, 2]
    near = jnp.linalg.norm(to_others, axis=-1).min(2)
    mine = jnp.eye(places.shape[0], dtype=bool)[:, None]
    passes = ((near >= jnp.minimum(gap, distance)[:, None]) | mine).all(-1)
    ends = places[:, None] + ways
    check = jax.vmap(jax.vmap(free_line, (None, 0, None, None)), (0, 0, 0, None))
    inside = check(places, ends, told.wall_distance, walls) | (SIDEWAYS == 0.0)
    free = passes & inside
    # The least off the line, but without turning round at every change of the picture.
    turn = jnp.abs(_wrap(heading - state.theta.reshape(-1, 1)))
    price = jnp.where(free, jnp.abs(SIDEWAYS) + KEEP_HEADING * turn, jnp.inf)
    best = jnp.where(free[:, 0], 0, price.argmin(1))
    beside = jnp.take_along_axis(ends, best[:, None, None], 1)[:, 0]
    return jnp.where(best[:, None] == 0, point, beside), ~free.any(1)


def _aside(state: State, keep: Float[Array, "N"], walls: Bool[Array, "H W"]) -> Target:
    """The centre of the own cell, or of the free one beside it that is furthest from the others."""
    places = state.pos[:, :2]
    distance, _ = _apart(state)
    cells = jnp.concatenate([cell_of(places)[:, None], cell_of(places)[:, None] + NEXT_CELLS], 1)
    centres = centre_of(cells)
    away = jnp.linalg.norm(centres[:, :, None] - places[None, None], axis=-1)  # [N, 5, N]
    mine = jnp.eye(places.shape[0], dtype=bool)[:, None]
    away = jnp.where(mine, jnp.inf, away).min(-1)
    closed = walls[cells[..., 1], cells[..., 0]]
    best = jnp.where(closed, -jnp.inf, away).argmax(1)
    best = jnp.where(distance.min(1) < keep, best, 0)
    point = jnp.take_along_axis(centres, best[:, None, None], 1)[:, 0]
    count = places.shape[0]
    return Target(
        point,
        jnp.full(count, 0.5),
        jnp.full(count, jnp.pi / 6),
        (best == 0) & (jnp.linalg.norm(places - point, axis=-1) < ARRIVED),
    )


# -------------------------------------------------------------------------------- driving


def drive(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """Speed forwards and turn, each in [-1, 1] (-1: stand still, or the sharpest turn right)."""
    offset = target.point - state.pos[agent, :2]
    away = jnp.linalg.norm(offset)
    off = _wrap(jnp.arctan2(offset[1], offset[0]) - state.theta.reshape(-1)[agent])
    off = jnp.where(away < 0.05, 0.0, off)  # there is no direction to a point underneath
    straight = jnp.maximum(1.0 - jnp.abs(off) / target.turn_on_spot, 0.0)
    speed = jnp.minimum(target.speed * straight, away)
    turn = jnp.clip(TURN_GAIN * off / MAX_TURN, -1.0, 1.0)
    return jnp.stack([2.0 * speed - 1.0, turn]), target.finished


def _near(state: State) -> Bool[Array, "N N"]:
    """Columns: others on their way that are close."""
    distance, _ = _apart(state)
    return (distance < words.CLOSE) & ~stopped(state)[None]


def _robot_close(state: State, target: Target) -> Bool[Array, "N"]:
    return _near(state).any(1)


def _nobody_close(state: State, target: Target) -> Bool[Array, "N"]:
    return ~_near(state).any(1)


def _lower_number_close(state: State, target: Target) -> Bool[Array, "N"]:
    near = _near(state)
    return jnp.tril(near, -1).any(1)


def _others_stopped(state: State, target: Target) -> Bool[Array, "N"]:
    others = ~jnp.eye(state.pos.shape[0], dtype=bool)
    return (stopped(state)[None] | ~others).all(1)


CONDITIONS = (_robot_close, _nobody_close, _lower_number_close, _others_stopped)
