"""What turns the words of contests for a goal into pushes: which landmark is meant, and the way."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _words as words
from leed_jax.types import State

MOVE_TO, MOVE_TO_POINT, FOLLOW, GUARD, HOLD = range(5)
TARGETS = (
    "goal",
    "decoy",
    "landmark_0",
    "landmark_1",
    "nearest",
    "farthest",
    "theirs",
    "not_theirs",
    "shared_out",
)
GOAL, DECOY, FIRST, SECOND, NEAREST, FARTHEST, THEIRS, NOT_THEIRS, SHARED_OUT = range(9)
ADVERSARY = 0
CLOSE = 0.3


class Target(NamedTuple):
    """Where an agent is sent."""

    point: Float[Array, "N 2"]
    keep_distance: Float[Array, "N"]
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def controls(count: int) -> Controls:
    """The controls of ``count`` agents, the first of them the adversary."""
    return Controls(
        init=lambda state: jnp.full(count, -1),
        resolve=resolve,
        controllers=(_drive_there, _drive_there, _drive, _drive, _drive),
        conditions=(_arrived, _someone_close),
    )


def resolve(state: State, program: Program, kept: Int[Array, "N"]) -> tuple[Target, Any]:
    """Where every agent is sent.

    Landmarks are chosen when an instruction starts, and kept, but for ``theirs`` and
    ``not_theirs``, which follow what the others do.
    """
    count = program.op.shape[0]
    places, _, landmarks = particles.split(state, count)
    first, arguments = program.arguments[:, 0], program.arguments
    distance = jnp.linalg.norm(places[:, None] - landmarks, axis=-1)
    agents = jnp.arange(count)

    chosen = _landmark(first, distance, state.goal)
    lasting = (first == THEIRS) | (first == NOT_THEIRS)
    landmark = jnp.where(program.started | lasting | (kept < 0), chosen, kept)
    # Where it cannot know the goal, an agent told to go there stays.
    blind = (agents == ADVERSARY) & ((first == GOAL) | (first == DECOY) | (first == SHARED_OUT))

    at = jnp.where(blind[:, None], places, landmarks[landmark])
    other = jnp.where(program.op == FOLLOW, first, arguments[:, 1]).clip(0, count - 1)
    towards = places[other] - at
    gap = jnp.maximum(jnp.linalg.norm(towards, axis=-1, keepdims=True), 1e-6)
    amounts = words.RESOLUTION * arguments.astype(jnp.float32)
    ahead = at + towards / gap * jnp.minimum(amounts[:, 2:3], gap)
    ahead = jnp.where((blind | (other == agents))[:, None], at, ahead)

    to_landmark = ((program.op == MOVE_TO) | (program.op == GUARD)) & ~blind
    point = jnp.select(
        [(program.op == op)[:, None] for op in (MOVE_TO, MOVE_TO_POINT, FOLLOW, GUARD)],
        [at, words.point(arguments[:, :2]), places[other], ahead],
        places,
    )
    keep = jnp.select(
        [program.op == MOVE_TO, program.op == MOVE_TO_POINT], [amounts[:, 1], amounts[:, 2]], 0.0
    )
    return Target(point, keep, jnp.where(to_landmark, landmark, -1)), landmark


def _landmark(
    code: Int[Array, "N"], distance: Float[Array, "N 2"], goal: Int[Array, ""]
) -> Int[Array, "N"]:
    """The landmark behind codes of `TARGETS`, for every agent.

    ``theirs``: the one with the nearest agent of the other side; ``shared_out``: the goal for the
    good agent nearer to it than the other good ones (in a tie the first), the decoy for the rest.
    """
    count = code.shape[0]
    good, adversary = distance[1:], distance[ADVERSARY]
    theirs = jnp.where(jnp.arange(count) == ADVERSARY, good.min(0).argmin(), adversary.argmin())
    takes_goal = jnp.arange(count) == 1 + good[:, goal].argmin()
    return jnp.select(
        [
            code == GOAL,
            code == DECOY,
            code == FIRST,
            code == SECOND,
            code == NEAREST,
            code == FARTHEST,
            code == THEIRS,
            code == NOT_THEIRS,
        ],
        [
            goal,
            1 - goal,
            0,
            1,
            distance.argmin(-1),
            distance.argmax(-1),
            theirs,
            1 - theirs,
        ],
        jnp.where(takes_goal, goal, 1 - goal),
    )


def _drive(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The push towards the agent's target, see `particles.steer`; never finished."""
    places, velocities, _ = particles.split(state, state.p_pos.shape[0] - 2)
    action = particles.steer(target.point, target.keep_distance, places, velocities, agent)
    return action, jnp.array(False)


def _drive_there(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_drive`; finished over the target."""
    action, _ = _drive(target, state, agent)
    return action, jnp.linalg.norm(state.p_pos[agent] - target.point) < words.ARRIVED


def _arrived(state: State, target: Target) -> Bool[Array, "N"]:
    count = target.landmark.shape[0]
    return jnp.linalg.norm(state.p_pos[:count] - target.point, axis=-1) < words.ARRIVED


def _someone_close(state: State, target: Target) -> Bool[Array, "N"]:
    places = state.p_pos[: target.landmark.shape[0]]
    apart = jnp.linalg.norm(places[:, None] - places, axis=-1)
    return (apart + jnp.where(jnp.eye(places.shape[0], dtype=bool), jnp.inf, 0.0)).min(1) < CLOSE
