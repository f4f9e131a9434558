"""simple_spread on arrays is JaxMARL's, step by step, and stays small with many agents."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.environments import jaxmarl, particle
from leed_jax.environments import particle_physics as physics

EPISODES = 1000
TOLERANCE = 1e-6
"""Of a number x: so many times 1 + |x|. Measured from the same states: 4.5e-7, in velocities of 7
units/s, because the forces on an agent are added in another order."""


class Seen(NamedTuple):
    """Of one step."""

    places: Any
    velocities: Any
    observation: Any
    reward: Any
    over: Any


def seen(state: Any, step: Any) -> Seen:
    agents = step.reward.shape[-1]
    over = step.over
    return Seen(state.p_pos, state.p_vel[:agents], step.observation, step.reward, over)


def played(env: Any, num_agents: int, count: int = EPISODES) -> Any:
    """Random episodes of ``env``: the first state and every later one, and the actions."""

    def play(key: Any) -> Any:
        start = env.reset(key)

        def step(state: Any, key: Any) -> Any:
            action = jax.random.randint(key, (num_agents,), 0, 5)
            after, now = env.step(key, state, action)
            return after, (seen(after, now), action)

        return seen(*start), jax.lax.scan(step, start[0], jax.random.split(key, 26))[1]

    return jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), count))


@functools.cache
def theirs(num_agents: int, wide: bool = False) -> Any:
    with jax.enable_x64(wide):
        game = jaxmarl.load("MPE_simple_spread_v3", num_agents=num_agents, num_landmarks=num_agents)
        env = jaxmarl.as_array_env(game, name="mpe/simple_spread", horizon=26)
        return env.spec, jax.device_get(played(env, num_agents))


def continued(env: Any, first: Seen, after: Seen, action: Any) -> Seen:
    """What ``env`` makes of every step of somebody's episodes, from their states."""

    def one(first: Seen, after: Seen, action: Any) -> Seen:
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), first, after)

        def step(index: Any, before: Seen, action: Any) -> Seen:
            state = particle.ParticleState(before.places, before.velocities, index)
            return seen(*env.step(jax.random.key(0), state, action))

        return jax.vmap(step)(jnp.arange(len(action), dtype=jnp.int32), before, action)

    return jax.device_get(jax.jit(jax.vmap(one))(first, after, action))


def gap(found: Seen, wanted: Seen) -> dict[str, float]:
    """The largest difference, relative to 1 + |number|."""

    def most(a: Any, b: Any) -> float:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return float((abs(a - b) / (1 + abs(b))).max())

    return {name: most(*pair) for name, *pair in zip(Seen._fields, found, wanted, strict=True)}


@pytest.mark.parametrize("num_agents", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_every_step_of_1000_random_episodes_is_jaxmarls(num_agents):
    env = particle.simple_spread(num_agents)
    spec, (first, (after, action)) = theirs(num_agents)
    assert env.spec == spec
    begun, (own, chosen) = jax.device_get(played(env, num_agents))
    jax.tree.map(np.testing.assert_array_equal, begun, first)  # starts, to the last bit
    np.testing.assert_array_equal(chosen, action)

    found = continued(env, first, after, action)
    assert max(gap(found, after).values()) <= TOLERANCE, gap(found, after)
    np.testing.assert_array_equal(found.over, after.over)
    assert after.over.sum() == EPISODES and after.over[:, -1].all()
    # Agents did touch: contact is the only force that an agent without a push feels, and the only
    # thing in which rewards of agents differ.
    assert (np.ptp(after.reward, axis=-1) > 0).mean() > 0.03
    coasted = 0.75 * first.velocities + 0.5 * physics.DIRECTIONS[action[:, 0]]
    assert (abs(coasted - after.velocities[:, 0]) > 0.1).any(-1).mean() > 0.05

    # Each on its own way: contacts amplify rounding (see the next test), in few places.
    np.testing.assert_array_equal(own.over, after.over)
    apart = abs(own.places - after.places) / (1 + abs(after.places))
    assert (apart > TOLERANCE).mean() < 0.02 and apart.max() < 1e-3


@pytest.mark.parametrize("num_agents", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_whole_episodes_are_jaxmarls_where_rounding_is_finer(num_agents):
    _, (first, (after, _)) = theirs(num_agents, wide=True)
    with jax.enable_x64(True):
        begun, (own, _) = jax.device_get(played(particle.simple_spread(num_agents), num_agents))
    # The adapter of dictionaries rounds observations and rewards to 32 bits, not states.
    assert own.places.dtype == after.places.dtype == np.float64
    np.testing.assert_array_equal(begun.places, first.places)
    assert max(gap(own, after).values()) <= TOLERANCE, gap(own, after)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (physics, "CONTACT_FORCE", 0.0),
        (physics, "CONTACT_MARGIN", 2e-3),
        (physics, "DAMPING", 0.2501),
        (physics, "TIME_STEP", 0.1001),
        (physics, "ACCELERATION", 5.01),
        (particle, "ACCELERATION", 5.01),
        (particle, "AGENT_RADIUS", 0.151),
    ],
)
def test_the_comparison_sees_a_change(where, name, value, monkeypatch):
    _, (first, (after, action)) = theirs(3)
    few = jax.tree.map(lambda leaf: leaf[:200], (first, after, action))
    monkeypatch.setattr(where, name, value)
    found = continued(particle.simple_spread(3), *few)
    changed = max(gap(found, few[1]).values()) > 10 * TOLERANCE
    assert changed is (where is not physics or name != "ACCELERATION")  # that one is not used there


def test_the_comparison_sees_an_episode_of_another_length():
    _, (first, (after, action)) = theirs(3)
    for horizon in (25, 27):
        found = continued(particle.simple_spread(3, horizon=horizon), first, after, action)
        assert gap(found, after)["over"] > 0


def test_other_worlds_move_as_jaxmarls():
    # simple_tag: two sizes, two top speeds, and landmarks that stand in the way.
    game = jaxmarl.load("MPE_simple_tag_v3")
    count = game.num_agents
    speeds = np.asarray(game.max_speed[:count], float)
    bodies = physics.Bodies(
        radii=np.asarray(game.rad, float),
        solid=np.asarray(game.collide),
        masses=np.asarray(game.mass[:count], float),
        max_speeds=np.where(speeds < 0, np.inf, speeds),
    )
    assert len(set(bodies.radii)) == 3 and len(set(bodies.max_speeds)) == 2

    def both(key: Any) -> Any:
        keys = jax.random.split(key, 3)
        _, state = game.reset(key)
        places = jax.random.uniform(keys[0], (game.num_entities, 2), minval=-0.5, maxval=0.5)
        velocity = jnp.zeros((game.num_entities, 2))
        velocity = velocity.at[:count].set(jax.random.normal(keys[1], (count, 2)))
        forces = 4.0 * jax.random.normal(keys[2], (count, 2))
        state = state.replace(p_pos=places, p_vel=velocity)
        p_pos, p_vel = game._world_step(key, state, forces)
        ours = physics.integrate(places, velocity[:count], forces, bodies)
        return (p_pos[:count], p_vel[:count]), ours

    expected, found = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(1), 500))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=3e-6, atol=3e-6)
    fastest = np.linalg.norm(found[1], axis=-1).max(0)
    np.testing.assert_allclose(fastest, speeds, rtol=1e-5)  # somebody is cut, and nobody faster


@pytest.mark.usefixtures("strict_dtypes")
def test_forces_of_agents_at_one_place_are_zero_and_not_nan():
    env = particle.simple_spread(2)
    state, _ = env.reset(jax.random.key(0))
    state, step = env.step(
        jax.random.key(0), state._replace(p_pos=jnp.zeros((4, 2))), jnp.array([0, 2])
    )
    np.testing.assert_allclose(state.p_vel, [[0, 0], [0.5, 0]])
    np.testing.assert_allclose(step.reward, [-0.5, -0.5])  # one touch each, landmarks are covered


# ---------------------------------------------------------------------------- many agents


@pytest.mark.usefixtures("strict_dtypes")
@pytest.mark.parametrize(("agents", "others", "count"), [(5, 4, 4), (30, 64, 3), (50, 203, 8)])
def test_the_nearest_are_found_in_order(agents, others, count):
    draw = np.random.default_rng(others)
    for oneself in (True, False):
        there = draw.uniform(-1, 1, (others, 2)).astype(np.float32)
        places = draw.uniform(-1, 1, (agents, 2)).astype(np.float32) if oneself else there
        count = min(count, others - (not oneself))
        find = functools.partial(physics.nearest, count=count, oneself=oneself)
        found = np.asarray(jax.jit(find)(jnp.asarray(places), jnp.asarray(there)))
        away = np.linalg.norm(places[:, None] - there, axis=-1)
        if not oneself:
            np.fill_diagonal(away, np.inf)
        # As far away as the nearest, the second nearest, ...: equal to what counts as equal.
        expected = np.sort(away, axis=1)[:, :count]
        np.testing.assert_allclose(np.take_along_axis(away, found, 1), expected, rtol=1e-4)
        assert (np.diff(np.sort(found, axis=1)) > 0).all(), "one is found twice"


def test_neighbours_alone_give_the_same_world():
    whole, near = particle.simple_spread(12), particle.simple_spread(12, nearest=3)
    assert near.spec.observation_sizes == (16,) * 12
    _, (after, action) = jax.device_get(played(whole, 12, count=100))
    _, (own, chosen) = jax.device_get(played(near, 12, count=100))
    np.testing.assert_array_equal(action, chosen)
    assert (np.ptp(after.reward, axis=-1) > 0).mean() > 0.5
    # The first steps, before contacts amplify rounding.
    np.testing.assert_allclose(own.velocities[:, :4], after.velocities[:, :4], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(own.reward[:, :4], after.reward[:, :4], rtol=1e-4, atol=1e-4)
    # Own velocity and place, three landmarks, three others, each of them the nearest first.
    places, landmarks = own.places[:, :, :12], own.places[:, :, 12:]
    np.testing.assert_array_equal(own.observation[..., :2], own.velocities)
    np.testing.assert_array_equal(own.observation[..., 2:4], places)
    for part, there, skip in ((slice(4, 10), landmarks, 0), (slice(10, 16), places, 1)):
        relative = own.observation[..., part].reshape(*places.shape[:-1], 3, 2)
        away = np.linalg.norm(places[..., :, None, :] - there[..., None, :, :], axis=-1)
        expected = np.sort(away, axis=-1)[..., skip : skip + 3]
        np.testing.assert_allclose(
            np.linalg.norm(relative, axis=-1), expected, rtol=1e-4, atol=1e-6
        )
        # And they are real ones: some landmark or agent lies there.
        target = places[..., None, :] + relative
        off = np.linalg.norm(target[..., None, :] - there[..., None, None, :, :], axis=-1)
        assert off.min(-1).max() < 1e-5


def test_a_growing_world_keeps_its_density():
    fixed, grown = particle.simple_spread(27), particle.simple_spread(27, world="grow")
    key = jax.random.key(3)
    # Three times as wide: nine times the area for nine times three agents.
    np.testing.assert_allclose(
        grown.reset(key)[0].p_pos, 3 * fixed.reset(key)[0].p_pos, rtol=1e-5, atol=1e-5
    )
    assert particle.half_width(3, "grow") == 1.0


def sizes(jaxpr: Any) -> list[int]:
    """Numbers in everything that a program computes."""
    found = []
    for equation in jaxpr.eqns:
        found += [int(np.prod(out.aval.shape)) for out in equation.outvars]
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "jaxpr")
        ):
            if hasattr(inner, "jaxpr"):
                found += sizes(inner.jaxpr)
    return found


def test_memory_and_program_stay_small_with_many_agents():
    def traced(num_agents: int) -> list[int]:
        env = particle.simple_spread(num_agents, nearest=4, world="grow")
        state, _ = jax.eval_shape(env.reset, jax.random.key(0))
        action = jax.ShapeDtypeStruct((num_agents,), jnp.int32)
        return sizes(jax.make_jaxpr(env.step)(jax.random.key(0), state, action).jaxpr)

    few, many = traced(256), traced(1024)
    assert len(few) == len(many), "the program grows with the number of agents"
    assert max(many) == 1024**2, "more than a number per pair of agents"
    env = particle.simple_spread(1024, nearest=4, world="grow")
    kept = jax.tree.leaves(jax.eval_shape(env.reset, jax.random.key(0)))
    assert sum(leaf.size for leaf in kept) < 1024 * 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_agents": 1}, "num_agents must be at least 2, got 1"),
        ({"num_landmarks": 0}, "num_landmarks must be at least 1, got 0"),
        ({"nearest": 0}, "nearest must be None or from 1 to 2, got 0"),
        ({"nearest": 3}, "nearest must be None or from 1 to 2, got 3"),
        ({"nearest": 2, "num_landmarks": 1}, "nearest must be None or from 1 to 1, got 2"),
        ({"world": "round"}, "world must be 'fixed' or 'grow', got 'round'"),
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"local_ratio": 1.5}, r"local_ratio must be in \[0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        particle.simple_spread(**({"num_agents": 3} | options))
