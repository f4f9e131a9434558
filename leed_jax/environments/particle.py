"""``simple_spread`` on arrays: starts, states, observations and rewards are JaxMARL's to rounding.

The physics is in `particle_physics`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from leed_jax.environments import particle_physics as physics
from leed_jax.environments.particle_physics import ACCELERATION, DIRECTIONS, Bodies
from leed_jax.types import ArrayEnv, EnvSpec, Measure, TimeStep

AGENT_RADIUS = 0.15
HORIZON = 26
"""Steps of JaxMARL's episodes: done is read before the clock moves, so max_steps = 25 makes 26."""
MOST_TOUCHING = 8
"""Where agents observe their neighbours only, they touch so many at most: 6 discs fit around one,
and more only if they overlap by more than agents can press them together."""

WORLDS = ("fixed", "grow")
"""fixed: everything is drawn from [-1, 1]², whatever the number of agents; grow: from a square
whose area per agent is always that of three agents."""


class ParticleState(NamedTuple):
    """Agents and landmarks, named as in JaxMARL, so that one reader serves both."""

    p_pos: Float[Array, "P 2"]
    """The N agents, then the landmarks."""
    p_vel: Float[Array, "N 2"]
    """Of the agents, units/s."""
    step: Int[Array, ""]
    """Steps since the start."""
    neighbours: Int[Array, "N K"] | None = None
    """The nearest other agents, where only they are observed: the next contacts need them, too."""


def half_width(num_agents: int, world: str) -> float:
    """Half the side of the square that places are drawn from; 1 for three agents, always."""
    return 1.0 if world == "fixed" else math.sqrt(num_agents / 3)


def simple_spread(
    num_agents: int,
    *,
    num_landmarks: int | None = None,
    nearest: int | None = None,
    world: str = "fixed",
    horizon: int = HORIZON,
    local_ratio: float = 0.5,
    name: str = "mpe/simple_spread",
    measures: tuple[Measure, ...] = (),
) -> ArrayEnv:
    """JaxMARL's ``MPE_simple_spread_v3`` (jaxmarl/environments/mpe/simple_spread.py).

    With the default options it starts in the same states from the same keys and goes on as
    JaxMARL's. An agent observes its velocity and place, where every landmark and every other agent
    is relative to itself, and two zeros for every other agent (what JaxMARL's silent agents say).

    Args:
      num_agents: N, at least 2.
      num_landmarks: M; None: as many as agents.
      nearest: k; every agent observes its k nearest landmarks and its k nearest other agents only,
        nearest first, 4 + 4k numbers (and no zeros); None: all of them. The global state, else all
        observations, is then places and velocities; contacts are among the `MOST_TOUCHING` (or k)
        nearest.
      world: what starts are drawn from, one of `WORLDS`.
      horizon: steps of an episode.
      local_ratio: share of an agent's own collisions in its reward; the rest is shared.
      name: for messages and tables.
      measures: success metrics.

    Raises:
      ValueError: an option out of range.
    """
    landmarks = num_agents if num_landmarks is None else num_landmarks
    _require(num_agents >= 2, "num_agents", num_agents, "at least 2")
    _require(landmarks >= 1, "num_landmarks", landmarks, "at least 1")
    most = min(num_agents - 1, landmarks)
    _require(
        nearest is None or 1 <= nearest <= most, "nearest", nearest, f"None or from 1 to {most}"
    )
    _require(world in WORLDS, "world", world, "'fixed' or 'grow'")
    _require(horizon >= 1, "horizon", horizon, "at least 1")
    _require(0 <= local_ratio <= 1, "local_ratio", local_ratio, "in [0, 1]")
    half = half_width(num_agents, world)
    partners = None if nearest is None else min(max(nearest, MOST_TOUCHING), num_agents - 1)
    size = 4 + 2 * landmarks + 4 * (num_agents - 1) if nearest is None else 4 + 4 * nearest
    bodies = Bodies(
        radii=np.full(num_agents, AGENT_RADIUS),
        solid=np.ones(num_agents, bool),
        masses=np.ones(num_agents),
        max_speeds=np.full(num_agents, np.inf),
    )

    def arrived(
        places: Float[Array, "P 2"], velocities: Float[Array, "N 2"], step: Int[Array, ""]
    ) -> ParticleState:
        neighbours = None
        if partners is not None:
            agents = places[:num_agents]
            neighbours = physics.nearest(agents, agents, partners, oneself=False)
        return ParticleState(places, velocities, step, neighbours)

    def time_step(state: ParticleState, reward: Float[Array, "N"]) -> TimeStep:
        if nearest is None:
            observation = _observe_all(state)
            everything = observation.ravel()
        else:
            observation = _observe_near(state, nearest)
            everything = jnp.concatenate([state.p_pos.ravel(), state.p_vel.ravel()])
        return TimeStep(
            observation=observation,
            reward=reward,
            terminated=jnp.zeros(num_agents, bool),
            truncated=state.step >= horizon,
            action_mask=jnp.ones((num_agents, len(DIRECTIONS)), bool),
            decision=jnp.ones(num_agents, bool),
            global_state=everything,
        )

    def reset(key: Key[Array, ""]) -> tuple[ParticleState, TimeStep]:
        agent_key, landmark_key = jax.random.split(key)
        drawn = [
            jax.random.uniform(part, (count, 2), minval=-half, maxval=half)
            for part, count in ((agent_key, num_agents), (landmark_key, landmarks))
        ]
        still = jnp.zeros((num_agents, 2))
        state = arrived(jnp.concatenate(drawn), still, jnp.zeros((), jnp.int32))
        return state, time_step(state, jnp.zeros(num_agents))

    def step(
        key: Key[Array, ""], state: ParticleState, action: Int[Array, "N"]
    ) -> tuple[ParticleState, TimeStep]:
        del key
        places, targets = state.p_pos[:num_agents], state.p_pos[num_agents:]
        pushes = ACCELERATION * jnp.asarray(DIRECTIONS)[action]
        places, velocities = physics.integrate(
            places, state.p_vel, pushes, bodies, state.neighbours
        )
        state = arrived(jnp.concatenate([places, targets]), velocities, state.step + 1)
        uncovered = jnp.sqrt(physics.squared_distances(places, targets).min(0)).sum()
        reward = -local_ratio * _touching(state) - (1 - local_ratio) * uncovered
        return state, time_step(state, reward)

    agents = tuple(f"agent_{index}" for index in range(num_agents))
    actions = (len(DIRECTIONS),) * num_agents
    spec = EnvSpec(name, agents, (size,) * num_agents, actions, horizon)
    return ArrayEnv(reset=reset, step=step, spec=spec, measures=measures)


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _touching(state: ParticleState) -> Float[Array, "N"]:
    """How many others every agent touches."""
    places = state.p_pos[: state.p_vel.shape[0]]
    if state.neighbours is None:
        # Oneself is among those near.
        apart = jnp.sqrt(physics.squared_distances(places, places))
        near = (apart < 2 * AGENT_RADIUS).sum(1) - 1
    else:
        away = places[state.neighbours] - places[:, None]
        near = (jnp.sqrt((away**2).sum(-1)) < 2 * AGENT_RADIUS).sum(1)
    return near.astype(jnp.float32)


def _observe_all(state: ParticleState) -> Float[Array, "N D"]:
    """`SimpleSpreadMPE.get_obs`: landmarks and others in the order of their numbers."""
    count = state.p_vel.shape[0]
    places, landmarks = state.p_pos[:count], state.p_pos[count:]
    # Row i without agent i, by a choice between two shifts: a gather is slower.
    behind = jnp.arange(count - 1) >= jnp.arange(count)[:, None]
    others = jnp.where(behind[..., None], places[1:], places[:-1])
    silence = jnp.zeros((count, 2 * (count - 1)))
    return _joined(state, landmarks - places[:, None], others - places[:, None], silence)


def _observe_near(state: ParticleState, nearest: int) -> Float[Array, "N D"]:
    assert state.neighbours is not None
    count = state.p_vel.shape[0]
    places, landmarks = state.p_pos[:count], state.p_pos[count:]
    near = landmarks[physics.nearest(places, landmarks, nearest)]
    others = places[state.neighbours[:, :nearest]]
    return _joined(state, near - places[:, None], others - places[:, None])


def _joined(state: ParticleState, *parts: Float[Array, "N ..."]) -> Float[Array, "N D"]:
    """What every agent observes: its velocity, its place, and ``parts``."""
    count = state.p_vel.shape[0]
    own = state.p_vel, state.p_pos[:count]
    return jnp.concatenate([*own, *(part.reshape(count, -1) for part in parts)], axis=1)
