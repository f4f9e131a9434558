"""Particles that push and touch each other on a plane, on arrays.

The physics is that of JaxMARL's MPE (jaxmarl/environments/mpe/{simple,default_params}.py, there
after OpenAI's multiagent-particle-envs), without its Python loops over agents: the cost of
compiling does not depend on their number.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

TIME_STEP = 0.1
"""Seconds."""
DAMPING = 0.25
"""Share of its velocity that a particle loses per step."""
ACCELERATION = 5.0
"""Of an agent that pushes, units/s²."""
CONTACT_FORCE, CONTACT_MARGIN = 100.0, 1e-3
"""Force per unit of penetration, and the width over which it sets in."""
DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float32)
"""Of the five discrete actions: none, left, right, down, up."""

GROUP, UNGROUPED = 8, 64
"""`nearest` searches in groups of so many where there are more than so many."""
_MOST = np.iinfo(np.int32).max


class Bodies(NamedTuple):
    """What is fixed about the P entities of a world; the first N of them move."""

    radii: Float[np.ndarray, "P"]
    solid: Bool[np.ndarray, "P"]
    """Pushed by, and pushing, other solid entities that it touches."""
    masses: Float[np.ndarray, "N"]
    max_speeds: Float[np.ndarray, "N"]
    """Units/s; infinite where there is no limit."""


def integrate(
    places: Float[Array, "P 2"],
    velocities: Float[Array, "N 2"],
    forces: Float[Array, "N 2"],
    bodies: Bodies,
    partners: Int[Array, "N K"] | None = None,
) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"]]:
    """Places and velocities of the entities that move, a time step later.

    ``place + dt velocity`` with the velocity before the step, then ``(1 - damping) velocity +
    dt (force + contact forces) / mass``, cut to the highest speed (`SimpleMPE._integrate_state`).

    Args:
      places: of all entities, those that move first.
      velocities: of those that move, units/s.
      forces: of their own: acceleration times direction (JaxMARL divides them by the mass, too).
      bodies: of all entities.
      partners: for every entity that moves, the only ones that it may touch; None: all. With
        contacts among neighbours alone the work is O(N K).
    """
    count = velocities.shape[0]
    if bodies.solid[:count].any() and bodies.solid.sum() > 1:
        forces = forces + _contact_forces(places, bodies, partners, count)
    after = velocities * (1 - DAMPING) + forces / bodies.masses[:, None] * TIME_STEP
    if np.isfinite(bodies.max_speeds).any():
        speed = jnp.sqrt((after**2).sum(-1))
        cut = bodies.max_speeds / jnp.where(speed > 0, speed, 1.0)
        after = jnp.where((speed > bodies.max_speeds)[:, None], after * cut[:, None], after)
    return places[:count] + velocities * TIME_STEP, after


def _contact_forces(
    places: Float[Array, "P 2"], bodies: Bodies, partners: Int[Array, "N K"] | None, count: int
) -> Float[Array, "N 2"]:
    """The forces of solid entities on those that move, `SimpleMPE._get_collision_force`.

    Those from exactly the same place, where oneself is above all, are zero (JaxMARL: NaN).
    """
    moving = places[:count]
    if partners is None:
        solid = np.flatnonzero(bodies.solid)
        x, y = _offsets(moving, places[solid])
        reach, push = bodies.radii[solid], np.ones(len(solid), bool)
    else:
        near = places[partners]
        x, y = moving[:, :1] - near[..., 0], moving[:, 1:] - near[..., 1]
        reach = jnp.asarray(bodies.radii)[partners]
        push = jnp.asarray(bodies.solid)[partners]
    distance = jnp.sqrt(x**2 + y**2)
    depth = (bodies.radii[:count, None] + reach - distance) / CONTACT_MARGIN
    # Of a margin of 1e-3, log(1 + ...) loses 1e-10 against log1p and takes two thirds of the time.
    softened = jnp.maximum(depth, 0.0) + jnp.log(1.0 + jnp.exp(-jnp.abs(depth)))
    strength = CONTACT_FORCE * CONTACT_MARGIN * softened
    strength = strength / jnp.where(distance > 0, distance, 1.0)
    strength = jnp.where(bodies.solid[:count, None] & push, strength, 0.0)
    return jnp.stack([(strength * x).sum(1), (strength * y).sum(1)], axis=1)


def squared_distances(
    places: Float[Array, "N 2"], others: Float[Array, "M 2"]
) -> Float[Array, "N M"]:
    """Of every place to every one of ``others``, units²."""
    x, y = _offsets(places, others)
    return x**2 + y**2


def _offsets(
    places: Float[Array, "N 2"], others: Float[Array, "M 2"]
) -> tuple[Float[Array, "N M"], Float[Array, "N M"]]:
    """From every one of ``others`` to every place, along x and along y.

    Apart, because [N M 2] is slow to reduce over its short last axis, and large at 1,024 agents.
    """
    return places[:, :1] - others[:, 0], places[:, 1:] - others[:, 1]


def nearest(
    places: Float[Array, "N 2"],
    others: Float[Array, "M 2"],
    count: int,
    *,
    oneself: bool = True,
) -> Int[Array, "N K"]:
    """For every place, the indices of the ``count`` nearest of ``others``, nearest first.

    One whole number stands for distance and index: the squared distance's bits, the last of them
    replaced by the index. The smallest of such numbers is found ``count`` times; where there are
    many, first among the smallest of every `GROUP`, because the ``count`` nearest are in the
    groups whose nearest are nearest. On a CPU that takes a fifth of the time of `jax.lax.top_k`.
    Squared distances that agree to 2 ** -(23 - bits of M) (1e-4 for 1,024) count as equal; of them
    the lower index comes first.

    Args:
      places: from where.
      others: to where.
      count: K, at most M, or M - 1 without oneself.
      oneself: false: ``others`` are the places, and no place is near to itself.
    """
    total, own = others.shape[0], jnp.arange(places.shape[0], dtype=jnp.int32)
    grouped = total > max(UNGROUPED, 2 * GROUP * count)
    padding = -total % GROUP if grouped else 0
    others = jnp.pad(others, ((0, padding), (0, 0)), constant_values=jnp.inf)
    bits = (1 << max(total + padding - 1, 0).bit_length()) - 1
    index = jnp.arange(total + padding, dtype=jnp.int32)

    def ranks(index: Int[Array, "*m #N"], there: Float[Array, "*m #N 2"]) -> Int[Array, "*m N"]:
        squared = (there[..., 0] - places[:, 0]) ** 2 + (there[..., 1] - places[:, 1]) ** 2
        squared = jax.lax.bitcast_convert_type(squared.astype(jnp.float32), jnp.int32)
        rank = (squared & ~bits) | index
        return rank if oneself else jnp.where(index == own, _MOST, rank)

    if grouped:
        shape = (-1, GROUP, 1)
        best = ranks(index.reshape(shape), others.reshape(*shape, 2)).min(1)
        group = (_smallest(best, count) & bits) // GROUP
        index = (group[:, None] * GROUP + index[:GROUP, None]).reshape(count * GROUP, -1)
        rank = ranks(index, others[index])
    else:
        rank = ranks(index[:, None], others[:, None])
    return (_smallest(rank, count) & bits).T


def _smallest(rank: Int[Array, "M N"], count: int) -> Int[Array, "K N"]:
    """The ``count`` smallest numbers of every column, which are all different, in order."""
    # Without this, every pass may compute the distances again, and round them otherwise.
    rank = jax.lax.optimization_barrier(rank)
    found = [rank.min(0)]
    for _ in range(count - 1):
        found.append(jnp.where(rank > found[-1], rank, _MOST).min(0))
    return jnp.stack(found)
