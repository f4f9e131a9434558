"""Particle worlds are JaxMARL's, and the one rule that drives agents knows its way about."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax import scenarios
from leed_jax.environments import jaxmarl
from leed_jax.generation import prompts
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import simple_crypto

GAMES = {
    "mpe/simple_speaker_listener": ("MPE_simple_speaker_listener_v4", (3, 11), (3, 5)),
    "mpe/simple_reference": ("MPE_simple_reference_v3", (21, 21), (50, 50)),
    "mpe/simple_crypto": ("MPE_simple_crypto_v3", (4, 8, 8), (4, 4, 4)),
    "mpe/simple_adversary": ("MPE_simple_adversary_v3", (8, 10, 10), (5, 5, 5)),
    "mpe/simple_push": ("MPE_simple_push_v3", (8, 19), (5, 5)),
}
"""Sizes of the agents' observations and actions, as JaxMARL declares or returns them."""


@pytest.mark.parametrize("name", GAMES)
def test_agents_of_different_sizes_are_padded_and_masked_and_otherwise_jaxmarls(name):
    registered, _, actions = GAMES[name]
    game, env = jaxmarl.load(registered), scenarios.make(name).env
    agents = env.spec.agents
    assert env.spec.action_sizes == actions
    reset, step, theirs = jax.jit(env.reset), jax.jit(env.step), jax.jit(game.step_env)
    state, ours = reset(jax.random.key(0))
    sizes = env.spec.observation_sizes
    for index in range(3):
        keys = jax.random.split(jax.random.key(index), len(agents))
        action = jnp.array(
            [jax.random.randint(k, (), 0, n) for k, n in zip(keys, actions, strict=True)]
        )
        chosen = dict(zip(agents, action, strict=True))
        observation, _, reward, _, _ = theirs(keys[0], state, chosen)
        state, ours = step(keys[0], state, action)
        for n, agent in enumerate(agents):
            row = np.asarray(ours.observation[n])
            np.testing.assert_allclose(row[: sizes[n]], observation[agent], rtol=1e-5, atol=1e-6)
            assert not row[sizes[n] :].any()
            np.testing.assert_array_equal(ours.action_mask[n].sum(), actions[n])
            paid = float(reward[agent])
            if name == "mpe/simple_crypto":
                # A right word is 254^2 = 64,516 from the secret, a wrong one 255^2 + 1 = 65,026.
                paid = (paid + 65_026) / 510 if agent == "eve_0" else paid / 510
            assert float(ours.reward[n]) == pytest.approx(paid, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("name", GAMES)
def test_observation_sizes_are_what_the_agents_really_get(name):
    assert scenarios.make(name).env.spec.observation_sizes == GAMES[name][1]


@pytest.mark.parametrize("name", GAMES)
def test_prompts_are_short(name):
    scenario = scenarios.make(name)
    state, _ = scenario.env.reset(jax.random.key(0))
    asked = prompts.request(scenario, kind="relational", goal="learnable", starts=[state])
    assert asked.tokens < 2500


def test_the_units_of_crypto_are_the_squares_of_its_colours():
    assert (simple_crypto.RIGHT, simple_crypto.WRONG) == (64_516, 65_026)


# --------------------------------------------------------------------------------- steering

STILL = jnp.zeros((2, 2))
APART = jnp.array([[0.0, 0.0], [9.0, 9.0]])
NONE, LEFT, RIGHT, DOWN, UP = range(5)


def steer(point: Any, keep: Any = 0.0, places: Any = APART, **more: Any) -> int:
    chosen = particles.steer(
        jnp.array(point), jnp.asarray(keep), places, STILL, jnp.array(0), **more
    )
    return int(chosen)


def test_a_push_that_overshoots_loses_unless_the_highest_speed_cuts_it():
    # Coasting carries 0.1, 0.175, 0.231, 0.273 of the speed in 2 to 5 steps. A push of 4 from rest
    # ends 0.4 to 1.09 away, 0.68 beyond the target at 0.1 on average: worse than 0.1, staying.
    assert steer([0.1, 0.0], push=4.0) == NONE
    # At a highest speed of 0.3 it goes 0.03 to 0.082: 0.042 away on average.
    assert steer([0.1, 0.0], push=4.0, max_speed=jnp.array(0.3)) == RIGHT
    assert steer([0.0, -0.1], push=4.0, max_speed=jnp.array(0.3)) == DOWN


def test_an_agent_at_rest_has_no_trouble_with_a_highest_speed():
    assert steer([0.0, 0.0], max_speed=jnp.array(1.0)) == NONE


def test_distances_can_be_kept_from_some_agents_and_not_from_others():
    close = jnp.array([[0.0, 0.0], [0.1, 0.0]])
    assert steer([0.0, 0.0], keep=0.5, places=close) == LEFT
    assert steer([0.0, 0.0], keep=[0.0, 0.5], places=close) == LEFT
    assert steer([0.0, 0.0], keep=[0.5, 0.0], places=close) == NONE


def test_an_obstacle_on_the_way_is_passed_at_its_clearance():
    obstacle, goal = jnp.array([[0.5, 0.03]]), jnp.array([1.0, 0.0])

    def run(clearance):
        def move(now, _):
            place, velocity = now
            action = particles.steer(
                goal,
                jnp.array(0.0),
                jnp.stack([place, APART[1]]),
                jnp.stack([velocity, STILL[1]]),
                jnp.array(0),
                obstacles=obstacle,
                clearance=clearance,
            )
            place = place + particles.TIME_STEP * velocity
            push = particles.PUSH * particles.PUSHES[action]
            velocity = particles.KEPT_VELOCITY * velocity + push
            return (place, velocity), place

        return jax.lax.scan(move, (jnp.zeros(2), jnp.zeros(2)), None, 40)[1]

    for clearance, nearest in ((0.0, (0.0, 0.12)), (0.25, (0.15, 0.35))):
        path = np.asarray(jax.jit(run)(jnp.array(clearance)))
        gap = np.linalg.norm(path - np.asarray(obstacle[0]), axis=-1).min()
        assert nearest[0] <= gap <= nearest[1], (clearance, gap)
        assert np.linalg.norm(path[-1] - np.asarray(goal)) < 0.1


def test_directions_other_than_the_discrete_ones_can_be_offered():
    slant = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]])
    assert steer([1.0, 1.0], pushes=slant) == 2
