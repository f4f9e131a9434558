"""jaxnav is JaxMARL's, its words mean what they say, and plans made of them are good."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import episodes, execution, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.scenarios import Program
from leed_jax.scenarios._quiet import Quiet
from leed_jax.scenarios.jaxnav import controls, routes, words

OPTIONS = {"num_agents": 2, "map_size": 8, "max_steps": 160, "lidar_num_beams": 12}
SCENARIO = scenarios.make("jaxnav/grid_rand_poly", **OPTIONS)
AGENTS = SCENARIO.env.spec.agents
reset = jax.jit(SCENARIO.env.reset)
step = jax.jit(SCENARIO.env.step)
CAREFUL = {
    "route": "around_stopped",
    "speed": 0.8,
    "turn_on_spot": 20,
    "look_ahead": 3,
    "wall_distance": 0.35,
    "give_way": "nobody",
    "brake_distance": 0,
    "pass_distance": 0.8,
}
DEFAULTS = (1, 7, 2, 6, 4, 0, 0, 0)  # shortest, 0.8 m/s, 30 degrees, 3 m, 0.45 m, nobody


def drive(**changes: Any) -> Instruction:
    return Instruction("DriveToGoal", CAREFUL | changes)


@functools.cache
def start() -> Any:
    with jax.numpy_dtype_promotion("standard"):  # JaxMARL's own code needs it
        return reset(jax.random.key(0))[0]


def state_of(rows: list[str], places: Any, goals: Any, headings: Any = (0.0, 0.0)) -> Any:
    """A state on this map, the uppermost row first as in a description."""
    walls = jnp.array([[int(cell == "#") for cell in row] for row in reversed(rows)])
    return start().replace(
        map_data=walls,
        pos=jnp.array(places, jnp.float32),
        theta=jnp.array(headings, jnp.float32).reshape(start().theta.shape),
        vel=jnp.zeros((2, 2)),
        goal=jnp.array(goals, jnp.float32),
    )


OPEN = ["########", *["#......#"] * 6, "########"]
WALL = ["########", "#......#", "#......#", "#.####.#", "#......#", *["#......#"] * 2, "########"]


def program(op: int, *rows: Any) -> Program:
    codes = jnp.array([[*row, *[0] * (8 - len(row))] for row in rows])
    return Program(jnp.full(2, op), codes, jnp.ones(2, bool))


def resolve(state: Any, told: Program) -> Any:
    fields = jax.jit(routes.distances_at_start)(state)
    return jax.jit(controls.resolve)(state, told, fields)[0]


def play(plan: Any, state: Any, steps: int) -> list[Any]:
    """The states of an episode from ``state`` on."""
    guide = execution.make_expert(SCENARIO, plan)
    label, memory, states = jax.jit(guide.label), jax.jit(guide.init)(state), [state]
    for _ in range(steps):
        action, memory = label(states[-1], memory)
        states.append(step(jax.random.key(0), states[-1], action)[0])
    return states


# ------------------------------------------------------------------------ the environment


def test_observations_rewards_and_motion_are_jaxmarls():
    game = Quiet(
        jaxmarl.load(
            "jaxnav",
            num_agents=2,
            map_id="Grid-Rand-Poly",
            map_params={"map_size": (8, 8), "fill": 0.3, "max_dist_to_goal": 5.0},
            max_steps=160,
            lidar_num_beams=12,
        )
    )
    theirs = jax.jit(game.step_env)
    state = state_of(OPEN, [[1.4, 2.0], [2.0, 5.0]], [[6.0, 2.0], [2.0, 4.0]], (3.0, -1.5))
    for index in range(12):
        key = jax.random.key(index)
        action = jax.random.uniform(key, (2, 2), minval=-1.0)
        # Speed from 0 to 1 m/s, turning rate from -30 to 30 degrees/s.
        chosen = {
            name: jnp.array([(v + 1) / 2, w * jnp.pi / 6])
            for name, (v, w) in zip(AGENTS, action, strict=True)
        }
        observation, expected, reward, done, _ = theirs(key, state, chosen)
        state, ours = step(key, state, action)
        for n, name in enumerate(AGENTS):
            np.testing.assert_allclose(observation[name], ours.observation[n], atol=1e-5)
            np.testing.assert_allclose(reward[name], ours.reward[n], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(expected.pos, state.pos, rtol=1e-5)
        assert bool(ours.over) is bool(done["__all__"])
    assert bool(state.move_term[0]), "the first robot was to hit the wall on its left"


def test_a_crashed_robot_decides_nothing_and_the_end_is_told_from_the_time_limit():
    state = state_of(OPEN, [[1.28, 2.0], [2.0, 5.0]], [[6.0, 2.0], [2.0, 4.0]], (np.pi, 0.0))
    ahead = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    for _ in range(2):  # 0.01 m, then 0.02 m more: the side of the square is over the wall's edge
        state, time_step = step(jax.random.key(0), state, ahead)
    np.testing.assert_array_equal(time_step.decision, [False, True])
    assert not time_step.over
    there = state.replace(pos=jnp.array([[1.25, 2.0], [2.0, 4.2]]))
    _, ended = step(jax.random.key(0), there, ahead)
    assert ended.terminated.all() and not ended.truncated
    late = state.replace(step=jnp.asarray(159, state.step.dtype))
    _, ended = step(jax.random.key(0), late, ahead)
    assert ended.truncated and not ended.terminated.any()


def test_measures_count_robots():
    state = start().replace(
        goal_reached=jnp.array([True, False]), move_term=jnp.array([True, False])
    )
    values = {measure.name: float(measure.read(state)) for measure in SCENARIO.env.measures}
    assert values == {"goals_reached": 0.5, "crashed": 0.5, "timed_out": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_agents": 40}, r"num_agents must be in \[1, 14\] on a map of 11 filled to 0.3"),
        ({"map_size": 3}, r"map_size must be in \[6, 40\], got 3"),
        ({"fill": 1.0}, r"fill must be in \[0.05, 0.8\], got 1.0"),
    ],
)
def test_worlds_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        scenarios.make("jaxnav/grid_rand_poly", **options)


# ----------------------------------------------------------------------------- the words


def test_distances_count_the_cells_around_walls():
    state = state_of(WALL, [[3.5, 3.5], [1.5, 1.5]], [[3.5, 5.5], [6.5, 1.5]])
    field = np.asarray(jax.jit(routes.distances_at_start)(state))
    # From (3, 3) the wall in row 4 leaves ways at columns 1 and 6: left 2, up 2, right 2.
    assert field[0, 3, 3] == 6 and field[0, 5, 3] == 0 and field[1, 1, 1] == 5
    assert field[0, 4, 3] == 64, "a wall"
    closed = [*WALL[:3], "########", *WALL[4:]]
    field = jax.jit(routes.distances_at_start)(state.replace(map_data=state_map(closed)))
    assert field[0, 3, 3] == 64, "no way"


def state_map(rows: list[str]) -> Any:
    return state_of(rows, [[1, 1], [1, 1]], [[1, 1], [1, 1]]).map_data


def test_clearance_is_the_distance_to_the_nearest_wall():
    walls = state_map(WALL) > 0
    for point, expected in (
        ([3.5, 3.5], 0.5),  # below the wall in row 4
        ([1.7, 3.7], np.hypot(0.3, 0.3)),  # its left lower corner is (2, 4)
        ([1.2, 3.0], 0.2),  # the outer wall
        ([4.0, 2.5], 1.0),  # exact up to 1
        ([3.5, 4.5], 0.0),
    ):
        assert float(routes.clearance(jnp.array(point), walls)) == pytest.approx(expected, abs=1e-5)


def test_routes_lead_around_walls_as_told():
    state = state_of(WALL, [[3.5, 3.5], [3.5, 3.5]], [[3.5, 5.5], [3.6, 3.0]])
    straight, shortest = resolve(state, program(0, (0, *DEFAULTS[1:]), DEFAULTS)).point
    np.testing.assert_allclose(straight, [3.5, 5.5])
    np.testing.assert_allclose(shortest, [3.6, 3.0], rtol=1e-6)  # in sight
    # The way is (2, 3), (1, 3), (1, 4), ...: of these the line to (1, 3) alone stays clear.
    point = resolve(state, program(0, DEFAULTS, DEFAULTS)).point[0]
    np.testing.assert_allclose(point, [1.5, 3.5])
    near = (*DEFAULTS[:3], 0, *DEFAULTS[4:])
    np.testing.assert_allclose(resolve(state, program(0, near, near)).point[0], [2.5, 3.5])


def test_cells_of_stopped_robots_are_walls_only_if_told():
    gap = [*WALL[:3], "#.######", *WALL[4:]]
    state = state_of(gap, [[3.5, 3.5], [1.5, 4.5]], [[3.5, 5.5], [1.5, 4.5]])
    state = state.replace(move_term=jnp.array([False, True]))
    fields = jax.jit(routes.distances_at_start)(state)
    for route, speed in ((1, 0.8), (2, 0.0)):
        told = program(0, (route, *DEFAULTS[1:]), DEFAULTS)
        memory = fields
        for _ in range(10):
            target, memory = jax.jit(controls.resolve)(state, told, memory)
        np.testing.assert_allclose(target.speed[0], speed, rtol=1e-6)


def test_robots_wait_for_those_with_priority_in_front_of_them():
    state = state_of(OPEN, [[2.0, 3.0], [3.0, 3.0]], [[6.0, 3.0], [4.0, 3.0]], (0.0, np.pi))
    for rule, waiting in (
        ("nobody", [False, False]),
        ("lower_numbers", [False, True]),
        ("closer_to_goal", [True, False]),
        ("everyone", [True, True]),
    ):
        row = (*DEFAULTS[:5], words.YIELDS.index(rule), 12, 0)  # nearer than 1.2 m
        np.testing.assert_array_equal(resolve(state, program(0, row, row)).speed == 0, waiting)
    away = state.replace(theta=state.theta[::-1])  # now they turn their backs
    row = (*DEFAULTS[:5], words.YIELDS.index("everyone"), 12, 0)
    assert (resolve(away, program(0, row, row)).speed > 0).all()
    far = (*DEFAULTS[:5], words.YIELDS.index("everyone"), 9, 0)  # 0.9 m
    assert (resolve(state, program(0, far, far)).speed > 0).all()


def test_a_robot_in_the_line_is_passed_on_the_right():
    state = state_of(OPEN, [[2.0, 4.0], [3.0, 4.0]], [[6.0, 4.0], [3.0, 4.0]])
    ignoring = resolve(state, program(0, DEFAULTS, DEFAULTS)).point[0]
    np.testing.assert_allclose(ignoring, [4.5, 4.5])
    row = (*DEFAULTS[:7], 8)  # 0.8 m
    target = resolve(state, program(0, row, row))
    offset = np.asarray(target.point[0]) - [2.0, 4.0]
    assert np.linalg.norm(offset) == pytest.approx(0.8, abs=1e-5) and offset[1] != 0
    share = np.linspace(0, 1, 4)[1:, None]
    assert np.linalg.norm([2.0, 4.0] + share * offset - [3.0, 4.0], axis=-1).min() > 0.8 - 1e-5
    corridor = ["########"] * 3 + ["#......#"] + ["########"] * 4
    state = state_of(corridor, [[2.0, 4.5], [3.0, 4.5]], [[6.0, 4.5], [3.0, 4.5]])
    assert resolve(state, program(0, row, row)).speed[0] == 0, "there is no room"


def test_stepping_aside_takes_the_free_cell_away_from_others():
    state = state_of(WALL, [[3.5, 3.3], [4.3, 3.3]], [[1, 1], [1, 1]])
    target = resolve(state, program(words.STEP_ASIDE, (10,), (0,)))
    # Of (2, 3), (3, 2) and (4, 3), with a wall above, the left one is furthest from the other.
    np.testing.assert_allclose(target.point, [[2.5, 3.5], [4.5, 3.5]])
    np.testing.assert_array_equal(target.finished, [False, False])
    centred = state.replace(pos=state.pos.at[1].set(jnp.array([4.4, 3.5])))
    finished = resolve(centred, program(words.STEP_ASIDE, (10,), (0,))).finished
    np.testing.assert_array_equal(finished, [False, True])


def test_conditions_on_states_worked_by_hand():
    hold = dict(zip(CONDITIONS, controls.CONDITIONS, strict=True))
    state = state_of(OPEN, [[2.0, 3.0], [3.1, 3.0]], [[6, 3], [6, 5]])  # 1.1 m apart
    none = resolve(state, program(words.WAIT, (0,), (0,)))
    for name, expected in (
        ("robot_close", [True, True]),
        ("nobody_close", [False, False]),
        ("lower_number_close", [False, True]),
        ("others_stopped", [False, False]),
    ):
        np.testing.assert_array_equal(hold[name](state, none), expected)
    stopped = state.replace(move_term=jnp.array([True, False]))
    np.testing.assert_array_equal(hold["robot_close"](stopped, none), [True, False])
    np.testing.assert_array_equal(hold["others_stopped"](stopped, none), [False, True])


CONDITIONS = [condition.name for condition in SCENARIO.vocabulary.conditions]


def test_a_robot_turns_on_the_spot_then_drives_and_stops_at_a_cell():
    cell = {"column": 1, "row": 4, "speed": 0.6, "turn_on_spot": 20}
    todo = AgentPlan((Instruction("DriveToCell", cell),))
    wait = AgentPlan((Instruction("Wait"),))
    state = state_of(OPEN, [[4.5, 4.5], [6.5, 1.5]], [[6.5, 6.5], [1.5, 1.5]], (0.0, 0.0))
    states = play({AGENTS[0]: todo, AGENTS[1]: wait}, state, 119)
    speeds = np.array([float(s.vel[0, 0]) for s in states])
    headings = np.array([float(s.theta.reshape(-1)[0]) for s in states])
    off = np.abs((headings - np.pi + np.pi) % (2 * np.pi) - np.pi)
    assert (speeds[off > np.deg2rad(21)] == 0).all() and speeds.max() == pytest.approx(
        0.6, abs=0.01
    )
    assert np.linalg.norm(np.asarray(states[-1].pos[0]) - [1.5, 4.5]) < controls.ARRIVED
    np.testing.assert_array_equal(states[-1].pos[1], state.pos[1])


# -------------------------------------------------------------------------- what it is worth


@functools.cache
def executed(count: int = 16, **changes: Any) -> execution.Executed:
    plan = dict.fromkeys(AGENTS, AgentPlan((drive(**changes),)))
    return execution.execute(SCENARIO, [plan], jax.random.split(jax.random.key(0), count))


@pytest.mark.slow
def test_a_careful_plan_beats_a_careless_one_and_random_driving():
    careful = executed(64).episodes
    careless = executed(64, route="straight", speed=1, turn_on_spot=180, pass_distance=0).episodes
    keys = jax.random.split(jax.random.key(0), 64)
    guess = episodes.random_policy(continuous=True)
    random = jax.jit(lambda keys: episodes.run(SCENARIO.env, guess, keys))(keys)
    reached = [float(np.mean(ran.measures["goals_reached"])) for ran in (careful, careless, random)]
    team = [float(np.asarray(ran.returns).sum(-1).mean()) for ran in (careful, careless, random)]
    # Measured 0.88, 0.34 and 0.06; 6.2, -4.3 and -11.7.
    assert reached[0] > 0.82 and reached[0] > reached[1] + 0.2 and reached[0] > reached[2] + 0.5
    assert team[0] > 4.5 and team[0] > team[1] + 5 and team[0] > team[2] + 5
    assert np.mean(careful.measures["crashed"]) < 0.05


@pytest.mark.slow
def test_demonstrations_hold_actions_in_range_of_robots_that_still_drive():
    demos = execution.from_executed(SCENARIO, executed(), {})
    arrays = demos.arrays
    assert arrays.action.dtype == np.float32 and np.abs(arrays.action).max() <= 1.0
    crashed = np.asarray(executed().episodes.record.state.move_term)
    assert not (arrays.valid & crashed).any() and arrays.valid.any()


def test_feedback_reports_what_happened():
    run = executed()
    last = np.asarray(run.episodes.length) - 1
    states = jax.tree.map(
        lambda leaf: np.asarray(leaf)[
            np.arange(16)[:, None], np.minimum(np.arange(160), last[:, None])
        ],
        run.episodes.record.state,
    )
    told = SCENARIO.feedback(states, None)
    # The last state is from before the last step: the outcome is inferred, and must be right.
    arrived = float(np.mean(run.episodes.measures["goals_reached"]))
    shares = [float(text.split("arrived in ")[1].split("%")[0]) / 100 for text in told.values()]
    assert np.mean(shares) == pytest.approx(arrived, abs=0.011)
    assert "standing in" in told["agent_0"]
