"""simple_spread is JaxMARL's, its words mean what they say, and plans made of them are good."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import execution, scenarios
from leed_jax.environments import jaxmarl
from leed_jax.instructions import AgentPlan, Instruction
from leed_jax.scenarios import Program, simple_spread
from leed_jax.scenarios.mpe import _particles as particles

SCENARIO = scenarios.make("mpe/simple_spread", num_agents=3)
AGENTS = SCENARIO.env.spec.agents
reset = jax.jit(SCENARIO.env.reset)
step = jax.jit(SCENARIO.env.step)
FAR_APART = jnp.array([[-5.0, 0.0], [0.0, 0.0], [5.0, 0.0]])


@functools.cache
def game() -> Any:
    return jaxmarl.load("MPE_simple_spread_v3", num_agents=3, num_landmarks=3)


@functools.cache
def executed(target: str) -> execution.Executed:
    """1000 episodes of a plan in which everyone goes to the landmark ``target``."""
    arguments = {"target": target, "keep_distance": 0.35}
    todo = {
        agent: AgentPlan((Instruction("MoveTo", arguments | {"target": target.format(n)}),))
        for n, agent in enumerate(AGENTS)
    }
    return execution.execute(SCENARIO, [todo], jax.random.split(jax.random.key(0), 1000))


def state_of(agents: Any, landmarks: Any = FAR_APART, velocities: Any = 0.0) -> Any:
    """A state with these places."""
    with jax.numpy_dtype_promotion("standard"):  # JaxMARL's own code needs it
        state, _ = reset(jax.random.key(0))
    places = jnp.concatenate([jnp.asarray(agents, jnp.float32), jnp.asarray(landmarks)])
    speeds = jnp.zeros((6, 2)).at[:3].set(velocities)
    return state.replace(p_pos=places, p_vel=speeds)


# ------------------------------------------------------------------------ the environment


def test_observations_rewards_and_motion_are_jaxmarls():
    theirs = jax.jit(game().step_env)
    state, ours = reset(jax.random.key(0))
    observation, _ = game().reset(jax.random.key(0))
    for name, row in zip(AGENTS, ours.observation, strict=True):
        np.testing.assert_array_equal(observation[name], row)
    collided = False
    for index in range(10):
        key = jax.random.key(index)
        # Close together, so that collisions and their penalty take part.
        state = state.replace(p_pos=jax.random.uniform(key, (6, 2), minval=-0.4, maxval=0.4))
        action = jax.random.randint(key, (3,), 0, 5)
        chosen = dict(zip(AGENTS, action, strict=True))
        observation, expected, reward, done, _ = theirs(key, state, chosen)
        state, ours = step(key, state, action)
        for n, name in enumerate(AGENTS):
            np.testing.assert_allclose(observation[name], ours.observation[n], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(reward[name], ours.reward[n], rtol=1e-5)
        np.testing.assert_allclose(expected.p_vel, state.p_vel, rtol=1e-5, atol=1e-6)
        assert not ours.terminated.any() and bool(ours.truncated) is bool(done["__all__"])
        collided |= float(np.ptp(np.asarray(ours.reward))) > 0
    assert collided, "the rewards differ between agents only by collisions"


def test_every_episode_lasts_exactly_as_long_as_the_spec_says():
    np.testing.assert_array_equal(executed("landmark_{}").episodes.length, simple_spread.HORIZON)
    assert SCENARIO.env.spec.horizon == simple_spread.HORIZON == 26


def test_the_controllers_constants_predict_jaxmarls_motion():
    state = state_of(FAR_APART)
    place, velocity = np.array(FAR_APART), np.zeros((3, 2), np.float32)
    pushes = np.asarray(particles.PUSHES)
    for index in range(20):
        action = np.random.default_rng(index).integers(0, 5, 3)
        place = place + np.float32(particles.TIME_STEP) * velocity
        velocity = particles.KEPT_VELOCITY * velocity + particles.PUSH * pushes[action]
        state, _ = step(jax.random.key(0), state, jnp.asarray(action))
        np.testing.assert_allclose(state.p_pos[:3], place, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state.p_vel[:3], velocity, rtol=1e-5, atol=1e-6)


def test_measures_on_a_state_worked_by_hand():
    # Nearest agents: 0.1 from (0, 0); 0 from (0.2, 0); (0, 0) again at sqrt(1 + 1) = 1.4142,
    # as (0.2, 0) is at sqrt(1.44 + 1) = 1.5620 and (1, 1) at 2.
    state = state_of([[0, 0], [0.2, 0], [1, 1]], [[0, 0.1], [0.2, 0], [-1.0, 1]])
    values = {measure.name: float(measure.read(state)) for measure in SCENARIO.env.measures}
    assert values["landmarks_covered"] == pytest.approx(2 / 3)  # nearer than 0.15
    assert values["landmark_distance"] == pytest.approx((0.1 + 0 + 1.41421) / 3, abs=1e-5)
    assert values["collisions_per_agent"] == pytest.approx(2 / 3)  # the first touches the second


def test_fewer_than_two_agents_are_refused():
    with pytest.raises(ValueError, match="num_agents must be at least 2, got 1"):
        scenarios.make("mpe/simple_spread", num_agents=1)


# ----------------------------------------------------------------------------- the words


@pytest.mark.usefixtures("strict_dtypes")
def test_free_landmarks_are_claimed_closest_pair_first():
    distances = jnp.array([[1.0, 2.0, 9.0], [0.5, 3.0, 4.0], [0.8, 0.9, 5.0]])
    everyone, nobody = jnp.ones(3, bool), jnp.zeros(3, bool)
    none = jnp.full(3, -1)
    # 0.5: agent 1 takes 0. Of the rest 0.9: agent 2 takes 1. Left for agent 0: 2.
    claims = simple_spread.claim_free(distances, none, everyone)
    np.testing.assert_array_equal(claims, [2, 0, 1])
    # Agent 2 was sent to 0 by name. Then 2.0: agent 0 takes 1, and agent 1 is left with 2.
    claims = simple_spread.claim_free(
        distances, jnp.array([-1, -1, 0]), jnp.array([True, True, False])
    )
    np.testing.assert_array_equal(claims, [1, 2, 0])
    # Agents 0 and 1 were sent to 0 and 1, agent 2 wants nothing: nothing changes.
    given = jnp.array([0, 1, -1])
    np.testing.assert_array_equal(simple_spread.claim_free(distances, given, nobody), given)


def test_no_two_agents_claim_the_same_landmark():
    distances = jax.random.uniform(jax.random.key(0), (500, 4, 4))
    distances = distances.at[0].set(1.0)  # all alike
    claim = jax.vmap(lambda d: simple_spread.claim_free(d, jnp.full(4, -1), jnp.ones(4, bool)))
    np.testing.assert_array_equal(
        np.sort(jax.jit(claim)(distances)), np.arange(4)[None].repeat(500, 0)
    )


def program(rows: Any, started: bool = True) -> Program:
    """Op and up to three arguments for every agent."""
    codes = jnp.array(rows)
    return Program(codes[:, 0], codes[:, 1:], jnp.full(3, started))


LANDMARKS = jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
PLACES = jnp.array([[0.9, 0.0], [0.8, 0.1], [0.0, 0.0]])


@pytest.mark.usefixtures("strict_dtypes")
def test_every_way_to_name_a_target_leads_there():
    state, none = state_of(PLACES, LANDMARKS), jnp.full(3, -1)
    named, nearest, free = 2, 3, 4
    move, point = simple_spread.MOVE_TO, simple_spread.MOVE_TO_POINT
    rows = [[move, named, 7, 0], [move, nearest, 0, 0], [move, free, 1, 0]]
    target, claims = simple_spread.resolve(state, program(rows), none)
    # landmark_2 by name, the nearest (0) whoever else goes there, and the only one left (1).
    np.testing.assert_array_equal(claims, [2, 0, 1])
    np.testing.assert_array_equal(target.landmark, [2, 0, 1])
    np.testing.assert_allclose(target.point, LANDMARKS[claims])
    np.testing.assert_allclose(target.keep_distance, [0.35, 0, 0.05], rtol=1e-6)

    keep_away, hold = simple_spread.KEEP_AWAY, simple_spread.HOLD
    rows = [[point, 50, 0, 2], [keep_away, 12, 0, 0], [hold, 0, 0, 0]]
    target, claims = simple_spread.resolve(state, program(rows), claims)
    # -1.5 + 50 * 0.05 = 1.0, -1.5 + 0 = -1.5; the other two stay where they are.
    np.testing.assert_allclose(target.point, [[1.0, -1.5], *PLACES[1:].tolist()], rtol=1e-6)
    np.testing.assert_allclose(target.keep_distance, [0.1, 0.6, 0], rtol=1e-6)
    np.testing.assert_array_equal(target.landmark, [-1, -1, -1])


@pytest.mark.usefixtures("strict_dtypes")
def test_a_claim_is_kept_while_the_instruction_lasts():
    rows = [[simple_spread.MOVE_TO, 3, 0, 0]] * 3  # nearest
    _, claims = simple_spread.resolve(state_of(PLACES, LANDMARKS), program(rows), jnp.full(3, -1))
    moved = state_of(-PLACES, LANDMARKS)  # now the other side is nearest for two of them
    _, kept = simple_spread.resolve(moved, program(rows, started=False), claims)
    np.testing.assert_array_equal(kept, claims)
    _, anew = simple_spread.resolve(moved, program(rows), claims)
    np.testing.assert_array_equal(anew[:2], [2, 2])


@pytest.mark.usefixtures("strict_dtypes")
def test_conditions_on_states_worked_by_hand():
    everyone_arrived, someone_close = SCENARIO.controls.conditions
    state = state_of([[0, 0], [0.3, 0], [0.7, 0]])
    # Distances 0.3 and 0.4; the limit is 0.35.
    anywhere = simple_spread.Target(jnp.zeros((3, 2)), jnp.zeros(3), jnp.full(3, -1))
    np.testing.assert_array_equal(someone_close(state, anywhere), [True, True, False])
    for away, expected in ((0.09, True), (0.11, False)):
        point = jnp.array([[0, 0], [0.3, 0], [0.7 + away, 0]])
        target = simple_spread.Target(point, jnp.zeros(3), jnp.full(3, -1))
        np.testing.assert_array_equal(everyone_arrived(state, target), [expected] * 3)


def test_an_agent_on_its_own_brakes_over_its_target_and_stays():
    todo = AgentPlan((Instruction("MoveToPoint", {"x": 1.0, "y": -0.5, "keep_distance": 0}),))
    guide = execution.make_expert(SCENARIO, dict.fromkeys(AGENTS, todo))
    label = jax.jit(guide.label)
    # Three starts around the target, one of them in full flight; they ignore each other, and
    # only the first is looked at, the others being moved out of the way.
    for start, velocity in (([-1, 1], [0, 0]), ([1.0, 1], [-2.0, 0]), ([0.9, -0.5], [2.0, 0])):
        places = jnp.array([start, [-50, 0], [50, 0]], jnp.float32)
        state = state_of(places, velocities=jnp.array([velocity, [0, 0], [0, 0]], jnp.float32))
        memory, away = guide.init(state), []
        for _ in range(simple_spread.HORIZON):
            action, memory = label(state, memory)
            state, _ = step(jax.random.key(0), state, action)
            away.append(float(jnp.linalg.norm(state.p_pos[0] - jnp.array([1.0, -0.5]))))
        assert max(away[-3:]) < simple_spread.ARRIVED / 2, (start, away)
        assert float(jnp.linalg.norm(state.p_vel[0])) < 0.5


def test_stepping_aside_keeps_an_approaching_agent_away():
    apart = {}
    for name, arguments in (("Hold", {}), ("KeepAway", {"keep_distance": 0.6})):
        # Agent 1 comes from the right and stops at 0.3, regardless of agent 0 at 0.
        todo = {agent: AgentPlan((Instruction(name, arguments),)) for agent in AGENTS}
        come = Instruction("MoveToPoint", {"x": 0.3, "y": 0.0, "keep_distance": 0})
        guide = execution.make_expert(SCENARIO, todo | {AGENTS[1]: AgentPlan((come,))})
        label = jax.jit(guide.label)
        state = state_of([[0, 0], [1.2, 0], [50.0, 0]])
        memory = guide.init(state)
        for _ in range(simple_spread.HORIZON):
            action, memory = label(state, memory)
            state, _ = step(jax.random.key(0), state, action)
        apart[name] = float(jnp.linalg.norm(state.p_pos[0] - state.p_pos[1]))
    assert apart["Hold"] == pytest.approx(0.3, abs=0.05)
    assert apart["KeepAway"] > 0.4


# -------------------------------------------------------------------------- what it is worth


@pytest.mark.parametrize(("target", "least"), [("landmark_{}", -30.0), ("nearest_free", -26.0)])
def test_simple_plans_reach_their_team_returns(target, least):
    # Measured -28.1 and -23.8, standard error 0.3; random actions give about -80.
    episodes = executed(target).episodes
    assert np.asarray(episodes.returns).sum(-1).mean() > least
    assert np.asarray(executed(target).episodes.record.legal).all()
    assert np.mean(episodes.measures["landmarks_covered"]) > 0.95


def test_feedback_reports_what_happened():
    record = executed("landmark_{}").episodes.record
    told = SCENARIO.feedback(record.state, record.memory.targets)
    places = np.asarray(record.state.p_pos)
    away = np.linalg.norm(places[:, -1, 0] - places[:, -1, 3], axis=-1)
    assert f"at the end in {(away < 0.1).mean():.0%} of the episodes" in told["agent_0"]
    assert f"{away.mean():.2f} from it at the end" in told["agent_0"]
    assert "same final target as another agent in 0%" in told["agent_0"]
