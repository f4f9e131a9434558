"""What a model is told about the robots, and what it may tell them."""

from typing import NamedTuple

import numpy as np

from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import rounded
from leed_jax.types import State

DRIVE_TO_GOAL, DRIVE_TO_CELL, STEP_ASIDE, WAIT = range(4)
ROUTES = ("straight", "shortest", "around_stopped")
YIELDS = ("nobody", "lower_numbers", "closer_to_goal", "everyone")
CLOSE = 1.2  # m between centres: conditions

SPEED = Number("speed", 0.1, 1.0, 0.1, "at most, in m/s")
TURN_ON_SPOT = Number(
    "turn_on_spot",
    low=10,
    high=180,
    resolution=10,
    meaning="degrees; a robot whose heading is off by this much or more stands and turns; with "
    "less it drives, the slower the more it is off",
)
LOOK_AHEAD = Number(
    "look_ahead",
    low=0,
    high=5,
    resolution=0.5,
    meaning="m; it steers for the furthest cell centre of its route (or the goal) within this "
    "distance to which the straight line keeps wall_distance; 0: always for the next one. Where "
    "none can be had, it drives to the centre of its own cell first. Within 1 m of the point "
    "steered for, the robot slows down. Without effect on a straight route",
)
WALL_DISTANCE = Number(
    "wall_distance",
    low=0.25,
    high=0.5,
    resolution=0.05,
    meaning="m from the robot's centre to the walls that corners are cut with; 0.5 is the middle "
    "of a passage one cell wide",
)
ROUTE = Choice(
    "route",
    ROUTES,
    "straight: in a straight line as if there were no walls; shortest: from cell to cell around "
    "the walls, with the fewest cells; around_stopped: the same, and cells in which another robot "
    "has stopped for good (arrived or crashed) count as walls, so that the robot takes another "
    "way, or waits if there is none",
)
GIVE_WAY = Choice(
    "give_way",
    YIELDS,
    "the robots that have priority over this one: it stands and waits (turning to its route) while "
    "one of them is on its way, in front of it (within 90 degrees of its heading) and nearer than "
    "brake_distance. closer_to_goal: those with fewer cells left to their goals, of equal ones the "
    "lower number",
)
BRAKE_DISTANCE = Number(
    "brake_distance", 0.0, 2.0, 0.1, "m between centres, see give_way; 0: never waits"
)
PASS_DISTANCE = Number(
    "pass_distance",
    low=0.0,
    high=1.5,
    resolution=0.1,
    meaning="m between centres; where the next 0.8 m of its line come nearer than this to any "
    "robot, moving or not, it drives beside the line, up to 135 degrees off but as little as can "
    "be, where they do not (or lead away from that robot) and keep wall_distance; with no such "
    "direction it waits; 0: other robots are not looked at",
)
ASIDE_DISTANCE = Number("robot_distance", 0.0, 2.0, 0.1, "m between centres; 0: never leaves")


class World(NamedTuple):
    """What the words depend on."""

    num_agents: int
    map_size: int
    fill: float
    max_steps: int
    dense: bool
    goal_radius: float


def vocabulary(agents: tuple[str, ...], world: World) -> Vocabulary:
    """What a robot can be told."""
    last = world.map_size - 2
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "DriveToGoal",
                "drive to the robot's own goal and stop there; finished once it has reached it",
                (
                    ROUTE,
                    SPEED,
                    TURN_ON_SPOT,
                    LOOK_AHEAD,
                    WALL_DISTANCE,
                    GIVE_WAY,
                    BRAKE_DISTANCE,
                    PASS_DISTANCE,
                ),
            ),
            Command(
                "DriveToCell",
                "drive straight to the centre of a cell and stop there, looking neither at walls "
                "nor at robots; finished within 0.25 m of it",
                (
                    Number("column", 1, last, 1, "of the cell, from the left; x is column + 0.5"),
                    Number("row", 1, last, 1, "of the cell, from below; y is row + 0.5"),
                    SPEED,
                    TURN_ON_SPOT,
                ),
            ),
            Command(
                "StepAside",
                "drive at 0.5 m/s to the centre of the cell that the robot is in, or, while any "
                "robot is nearer than robot_distance, of the free cell beside it that is furthest "
                "from all robots; finished within 0.25 m of its own cell's centre with nobody near",
                (ASIDE_DISTANCE,),
            ),
            Command("Wait", "brake and stand; never finished"),
        ),
        conditions=(
            Condition(
                "robot_close",
                f"another robot on its way is within {CLOSE} m (between centres)",
            ),
            Condition("nobody_close", f"no other robot on its way is within {CLOSE} m"),
            Condition(
                "lower_number_close",
                f"a robot on its way that has a lower number is within {CLOSE} m",
            ),
            Condition("others_stopped", "all other robots have arrived or crashed"),
        ),
        horizon=world.max_steps,
    )


def task(world: World) -> str:
    """The physics and the rewards, from jaxmarl/environments/jaxnav/jaxnav_env.py."""
    side, cells = world.map_size, world.map_size - 2
    starts = (
        "Starts and goals are centres of free cells, drawn at random, 4.7 m apart on average on "
        "a map of 11 x 11 cells. Where up to 60% are walls, 30% of the goals are walled off."
        if world.dense
        else "Starts and goals are random free points, 3.8 m apart on average on a map of 11 x 11 "
        "cells; starts are at least 0.45 m from walls, goals at least 0.3 m. Where up to 30% are "
        "walls, 2% of the goals are walled off."
    )
    return f"""\
{world.num_agents} robots drive on a map of {side} x {side} square cells with sides of 1 m. The \
outermost cells are walls; of the {cells} x {cells} inner ones a random number is, between none \
and {world.fill:.0%}, anywhere. x (columns) runs to the right, y (rows) upwards; both start at 0 \
in the lower left corner of the map. Map, starts, headings and goals are drawn anew in every \
episode. {starts} Every robot shall reach its own goal soon and hit nothing.

Robots are squares with sides of 0.5 m: the centre is 0.25 m from the sides and 0.35 m from the \
corners. A step takes 0.1 s. A robot chooses a speed from 0 to 1 m/s and a turning rate from -0.52 \
to 0.52 rad/s (30 degrees/s); in a step the speed changes by 0.1 m/s at most and the rate by 0.1 \
rad/s. It cannot drive backwards; half a turn takes 6 s. At 1 m/s it needs 0.55 m to stop and its \
sharpest curve has a radius of 1.9 m; at 0.5 m/s 0.15 m and 1 m. A robot that touches a wall or \
another robot has crashed: it stands there for the rest of the episode, an obstacle to the others. \
A robot has arrived once its centre is within {world.goal_radius} m of its goal; it stays on the \
map, still an obstacle, and may go on driving (and may still crash). The episode ends when every \
robot has arrived or crashed, or after {world.max_steps} steps.

Reward of a robot, per step: 0.25 per metre that it came nearer to its goal in a straight line \
(before arriving); +4 on arriving; -4 on crashing; -0.01 until it arrived or crashed; and -0.1 in \
every step in which a wall or a robot is within 0.4 m of its centre, also when it stands there \
after arriving or crashing, until the episode ends. Every robot is paid half its own reward and \
half the mean over all robots; the team's score is the sum over robots and steps. A \
robot that drives well earns about 4.

What one robot observes: how far the nearest wall or robot is in each of many directions around \
it (up to 6 m; it cannot tell which of the two it is), its own speed and turning rate, and the \
distance (up to 6 m) and direction of its goal. It sees neither the map nor its own place on it, \
nor the others' goals, numbers or intentions."""


_LEARNABLE = """\
Your plan is executed to produce demonstrations. One small policy per robot is then trained to do \
what its robot did, seeing only that robot's own observation of the moment, without memory. What \
it can decide from the distances around it and the direction of its goal is learnt fast; what \
depends on the map behind walls, on time that has passed or on what other robots intend is not. \
Reaching the goals counts most, a crash costs as much as an arrival brings; and a robot that gives \
way must not wait for ever. All robots are alike, and so may their plans be, but two that both \
wait for each other stand still until the time is over. Robots that stand close to a wall after \
arriving lose 0.1 per step."""

ADVICE = {
    "learnable": _LEARNABLE,
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can: all \
robots at their goals, no crash, quickly.""",
}


def describe(state: State) -> str:
    """Map from above, then poses and goals."""
    walls = np.asarray(state.map_data) > 0
    rows = [
        f"row {row:2d} " + "".join("#" if wall else "." for wall in walls[row])
        for row in reversed(range(walls.shape[0]))
    ]
    headings = np.degrees(np.asarray(state.theta, float).reshape(-1))
    robots = [
        f"agent_{n}: x {x:.2f}, y {y:.2f}, heading {heading + 0.0:.0f} degrees (0 is to the right, "
        f"90 up); goal x {goal_x:.2f}, y {goal_y:.2f}"
        for n, ((x, y), heading, (goal_x, goal_y)) in enumerate(
            zip(
                np.reshape(rounded(np.asarray(state.pos)[:, :2]), (-1, 2)),
                np.round(headings),
                np.reshape(rounded(state.goal), (-1, 2)),
                strict=True,
            )
        )
    ]
    return "\n".join(["The map (# wall, . free; column 0 is leftmost):", *rows, *robots])


def feedback(states: State, agents: tuple[str, ...], world: World) -> dict[str, str]:
    """Outcomes per robot, averages over episodes."""
    places, goals = np.asarray(states.pos)[..., :2], np.asarray(states.goal)
    away = np.linalg.norm(goals - places, axis=-1)[:, -1]
    reached, crashed = np.asarray(states.goal_reached), np.asarray(states.move_term)
    under_way = ~(reached | crashed)
    # The last state is from before the episode's last step: who was still under way then, with
    # time left, ended the episode by it.
    ended = under_way[:, -1] & (np.asarray(states.step)[:, -1, None] < world.max_steps - 1)
    came = ended & (away <= world.goal_radius + 0.1)
    arrived = reached[:, -1] | came
    hit = crashed[:, -1] | (ended & ~came)
    time = under_way.sum(1)
    standing = (under_way & (np.asarray(states.vel)[..., 0] < 0.02)).sum(1)
    gaps = np.linalg.norm(places[:, -1, :, None] - places[:, -1, None], axis=-1)
    robots = (gaps + 9 * np.eye(len(agents))).min(-1) < 0.85
    return {
        agent: (
            f"arrived in {arrived[:, n].mean():.0%} of the episodes; crashed in "
            f"{hit[:, n].mean():.0%} ({(hit & robots)[:, n].mean():.0%} beside another robot, the "
            f"rest into walls); neither in {(~arrived & ~hit)[:, n].mean():.0%}; on its way for "
            f"{time[:, n].mean():.0f} steps on average, standing in {standing[:, n].mean():.0f} of "
            f"them; {away[:, n].mean():.2f} m from its goal at the end"
        )
        for n, agent in enumerate(agents)
    }
