"""Motion in JaxMARL's particle worlds, and the one rule by which an agent is driven to a point.

A step moves every agent by ``0.1 * velocity``; then its velocity becomes ``0.75 * velocity``
plus its push, cut to its highest speed where it has one
(`leed_jax.environments.particle_physics`).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from leed_jax.environments import particle
from leed_jax.environments.particle_physics import ACCELERATION, DAMPING, DIRECTIONS, TIME_STEP
from leed_jax.types import State

KEPT_VELOCITY = 1 - DAMPING
PUSH = TIME_STEP * ACCELERATION
"""Gain of velocity by a push, units/s."""
PUSHES = jnp.array(DIRECTIONS)
"""Directions of the five discrete actions: none, left, right, down, up."""
HORIZON = particle.HORIZON
"""Steps of an episode."""
LOOKAHEAD = 5  # steps that are predicted; 4 to 12 were tried, 5 gave the best returns
YIELDING = 2.0  # price of a unit of missing distance, in units of distance to the target;
# above 1, so that an agent told to keep away gives up its place for it


def split(
    state: State, num_agents: int
) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"], Float[Array, "M 2"]]:
    """Positions and velocities of the agents, positions of the M landmarks."""
    return state.p_pos[:num_agents], state.p_vel[:num_agents], state.p_pos[num_agents:]


def steer(
    point: Float[Array, "2"],
    keep_distance: Float[Array, ""] | Float[Array, "N"],
    places: Float[Array, "N 2"],
    velocities: Float[Array, "N 2"],
    agent: Int[Array, ""],
    *,
    push: float | Float[Array, ""] = PUSH,
    max_speed: Float[Array, ""] | None = None,
    pushes: Float[Array, "C 2"] = PUSHES,
    obstacles: Float[Array, "M 2"] | None = None,
    clearance: Float[Array, ""] | Float[Array, "M"] | float = 0.0,
) -> Int[Array, ""]:
    """One of C pushes, then coasting: the one whose next `LOOKAHEAD` steps come out best.

    The price is the mean distance to the target, plus the mean intrusion on each other agent's
    ``keep_distance`` and each obstacle's ``clearance``, the others taken to coast. Coasting is
    what brakes: a push that would carry the agent past its target loses.

    Args:
      point: where the agent is sent.
      keep_distance: to be kept from the centres of all other agents, or of each; 0 ignores them.
      places: of all agents.
      velocities: of all agents, units/s.
      agent: which of them is driven.
      push: gain of velocity by a push of length one, units/s.
      max_speed: of this agent, units/s; None: no limit.
      pushes: to choose from; by default the discrete actions, in their order.
      obstacles: centres of what stands still.
      clearance: to be kept from the centres of all obstacles, or of each.

    Returns:
      Index into ``pushes``.
    """
    steps = jnp.arange(2.0, LOOKAHEAD + 1)
    coasted = TIME_STEP * (1 - KEPT_VELOCITY ** (steps - 1)) / (1 - KEPT_VELOCITY)
    next_places = places + TIME_STEP * velocities
    others = next_places[:, None] + KEPT_VELOCITY * velocities[:, None] * coasted[:, None]
    pushed = KEPT_VELOCITY * velocities[agent] + push * pushes
    if max_speed is not None:
        speed = jnp.maximum(jnp.linalg.norm(pushed, axis=-1, keepdims=True), 1e-6)
        pushed = pushed * jnp.minimum(1.0, max_speed / speed)
    path = next_places[agent] + pushed[:, None] * coasted[:, None]
    away = jnp.linalg.norm(path - point, axis=-1).mean(-1)
    apart = jnp.linalg.norm(path[:, None] - others, axis=-1)
    keep = keep_distance[:, None] if keep_distance.ndim else keep_distance
    intrusion = jnp.maximum(keep - apart, 0.0).mean(-1)
    intrusion = jnp.where(jnp.arange(places.shape[0]) == agent, 0.0, intrusion).sum(-1)
    if obstacles is not None:
        gap = jnp.linalg.norm(path[:, None] - obstacles[:, None], axis=-1)
        wanted = jnp.asarray(clearance)
        wanted = wanted[:, None] if wanted.ndim else wanted
        intrusion = intrusion + jnp.maximum(wanted - gap, 0.0).mean(-1).sum(-1)
    return (away + YIELDING * intrusion).argmin()
