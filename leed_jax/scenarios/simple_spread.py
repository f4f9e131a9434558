"""``mpe/simple_spread``: N agents cover N landmarks without bumping into each other."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl, particle, particle_physics
from leed_jax.environments.particle import AGENT_RADIUS, HORIZON
from leed_jax.scenarios import Controls, Program, Scenario, Threshold
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _spread_words as words
from leed_jax.scenarios.mpe._spread_words import ARRIVED, RESOLUTION, Target
from leed_jax.types import ArrayEnv, Measure, State

NAMES = ("mpe/simple_spread",)

MOVE_TO, MOVE_TO_POINT, KEEP_AWAY, HOLD = range(4)

MOST_NUMBERED = 32
"""Frames with more agents show discs and dots without numbers."""

# Team return at which a run counts as having learnt the task: halfway between what per-agent
# IPPO reaches in a million steps and what the recorded own-landmark plans reach, rounded.
THRESHOLDS = {3: -40.0}


def make(
    name: str,
    *,
    num_agents: int = 3,
    backend: str = "array",
    nearest: int | None = None,
    world: str = "fixed",
) -> Scenario:
    """The scenario for any number of agents, with as many landmarks.

    Args:
      name: the scenario's.
      num_agents: N, at least 2.
      backend: array: `particle.simple_spread`; jaxmarl: JaxMARL's own environment, whose states,
        observations and rewards are the same to rounding, at ten times the cost.
      nearest: every agent observes, and its controller yields to, so many of its nearest others
        only, and observes as many of its nearest landmarks; None: all.
      world: "grow" with the number of agents, or "fixed".

    Raises:
      ValueError: fewer than two agents (without others there is nothing to keep away from), or
        another option out of range.
    """
    if num_agents < 2:
        raise ValueError(f"{name}: num_agents must be at least 2, got {num_agents}")
    env = _environment(name, num_agents, backend, nearest, world)
    half = particle.half_width(num_agents, world)
    agents = env.spec.agents
    value = THRESHOLDS.get(num_agents) if nearest is None else None
    why = "halfway between IPPO after 1,000,000 steps and the recorded demonstrations"
    drive = functools.partial(_drive, nearest=nearest)
    drive_there = functools.partial(_drive_there, nearest=nearest)
    told = {"nearest": nearest} if nearest is not None else {}
    told |= {"world": world} if world != "fixed" else {}
    return Scenario(
        name=name,
        options={"num_agents": num_agents, "backend": backend, "nearest": nearest, "world": world},
        env=env,
        vocabulary=words.vocabulary(agents, half),
        task=words.task(num_agents, half, nearest),
        describe=lambda state: words.describe(state, num_agents),
        controls=Controls(
            init=lambda state: jnp.full(num_agents, -1),
            resolve=functools.partial(resolve, reach=words.reach(half)),
            controllers=(drive_there, drive_there, drive, drive),
            conditions=(_everyone_arrived, _someone_close),
        ),
        advice=words.ADVICE,
        feedback=lambda states, targets: words.feedback(states, targets, agents),
        draw=functools.partial(_draw, half=half),
        threshold=None if value is None else Threshold("team_return", value, why),
        # What was answered for three agents in the usual world holds for either backend.
        prompt_options={"num_agents": num_agents, **told},
    )


def _environment(
    name: str, num_agents: int, backend: str, nearest: int | None, world: str
) -> ArrayEnv:
    measures = _measures(num_agents)
    if backend == "array":
        return particle.simple_spread(
            num_agents, nearest=nearest, world=world, name=name, measures=measures
        )
    if backend != "jaxmarl":
        raise ValueError(f"{name}: backend must be 'array' or 'jaxmarl', got {backend!r}")
    if nearest is not None or world != "fixed":
        raise ValueError(
            f"{name}: backend 'jaxmarl' needs nearest=None and world='fixed', "
            f"got {nearest!r} and {world!r}"
        )
    game = jaxmarl.load("MPE_simple_spread_v3", num_agents=num_agents, num_landmarks=num_agents)
    return jaxmarl.as_array_env(game, name=name, horizon=HORIZON, measures=measures)


# -------------------------------------------------------------------------------- numbers


def _split(state: State) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"], Float[Array, "N 2"]]:
    """Positions and velocities of the agents, positions of the landmarks."""
    return particles.split(state, state.p_pos.shape[0] // 2)


def _apart(places: Float[Array, "N 2"], others: Float[Array, "M 2"]) -> Float[Array, "N M"]:
    return jnp.sqrt(particle_physics.squared_distances(places, others))


def _measures(num_agents: int) -> tuple[Measure, ...]:
    def distances(state: State) -> Float[Array, "N"]:
        places, _, landmarks = _split(state)
        return _apart(places, landmarks).min(0)

    def touching(state: State) -> Float[Array, ""]:
        places, _, _ = _split(state)
        apart = _apart(places, places)
        return ((apart < 2 * AGENT_RADIUS).sum() - num_agents) / num_agents

    return (
        Measure(
            "landmarks_covered",
            lambda state: (distances(state) < AGENT_RADIUS).mean(),
            "last",
            f"share of landmarks with an agent within {AGENT_RADIUS} at the end; 1 is best",
        ),
        Measure(
            "landmark_distance",
            lambda state: distances(state).mean(),
            "mean",
            "distance from a landmark to the agent nearest to it, mean over the episode; 0 is best",
        ),
        Measure(
            "collisions_per_agent",
            touching,
            "sum",
            "agents touched, summed over the steps of an episode; 0 is best",
        ),
    )


def resolve(
    state: State, program: Program, claims: Int[Array, "N"], *, reach: float = words.reach(1.0)
) -> tuple[Target, Any]:
    """Where every agent is sent; landmarks are claimed when an instruction starts, and kept.

    Args:
      state: of the environment.
      program: what the agents are told.
      claims: every agent's landmark, -1 where it has none.
      reach: see `_spread_words.reach`.
    """
    places, _, landmarks = _split(state)
    count = places.shape[0]
    first = program.arguments[:, 0]
    amounts = RESOLUTION * program.arguments.astype(jnp.float32)
    to_landmark = program.op == MOVE_TO
    named, nearest, nearest_free = first < count, first == count, first == count + 1
    distances = _apart(places, landmarks)

    claims = jnp.where(program.started | ~to_landmark, -1, claims)
    unset = to_landmark & (claims < 0)
    claims = jnp.where(unset & named, first, claims)
    claims = jnp.where(unset & nearest, distances.argmin(1), claims)
    claims = claim_free(distances, claims, unset & nearest_free)

    point = jnp.where(to_landmark[:, None], landmarks[claims], places)
    to_point = program.op == MOVE_TO_POINT
    point = jnp.where(to_point[:, None], amounts[:, :2] - reach, point)
    keep = jnp.select([to_landmark, to_point], [amounts[:, 1], amounts[:, 2]], amounts[:, 0])
    keep = jnp.where(program.op == HOLD, 0.0, keep)
    return Target(point, keep, jnp.where(to_landmark, claims, -1)), claims


def claim_free(
    distances: Float[Array, "N N"], claims: Int[Array, "N"], wanting: Bool[Array, "N"]
) -> Int[Array, "N"]:
    """``claims`` with a landmark for every wanting agent: closest pair first, none taken twice.

    Where all are taken (others were sent to them by name), the agent gets its nearest.

    In every round all pairs that are each other's nearest are matched at once: each of them is the
    closest pair when its turn comes, whatever is matched before. A round costs O(N²), and places
    drawn at random take few; N rounds at worst, none where no agent is wanting.
    """
    count = claims.shape[0]
    index = jnp.arange(count)
    taken = jnp.zeros(count, bool).at[claims].max(claims >= 0, mode="drop")
    claims = jnp.where(wanting, distances.argmin(1), claims)

    def more(carry: tuple[Any, Any, Any]) -> Bool[Array, ""]:
        _, wanting, taken = carry
        return wanting.any() & ~taken.all()

    def match(carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        claims, wanting, taken = carry
        # Finite, whatever the distances are: one pair at least is matched in every round.
        near = jnp.minimum(distances, 1e30)
        price = jnp.where(wanting[:, None] & ~taken, near, jnp.inf)
        favourite, rival = price.argmin(1), price.argmin(0)
        matched = wanting & (rival[favourite] == index)
        claims = jnp.where(matched, favourite, claims)
        return claims, wanting & ~matched, taken.at[favourite].max(matched)

    return jax.lax.while_loop(more, match, (claims, wanting, taken))[0]


def _drive(
    target: Target, state: State, agent: Int[Array, ""], *, nearest: int | None
) -> tuple[Any, Any]:
    """The push towards the agent's target, see `particles.steer`; never finished."""
    places, velocities, _ = _split(state)
    if nearest is not None:
        # Only those that the agent observes: what it yields to is then to be learnt from it.
        seen = jnp.concatenate([agent[None], state.neighbours[agent, :nearest]])
        places, velocities, agent = places[seen], velocities[seen], jnp.zeros_like(agent)
    action = particles.steer(target.point, target.keep_distance, places, velocities, agent)
    return action, jnp.array(False)


def _drive_there(
    target: Target, state: State, agent: Int[Array, ""], *, nearest: int | None
) -> tuple[Any, Any]:
    """As `_drive`; finished over the target."""
    places, _, _ = _split(state)
    action, _ = _drive(target, state, agent, nearest=nearest)
    return action, jnp.linalg.norm(places[agent] - target.point) < ARRIVED


def _everyone_arrived(state: State, target: Target) -> Bool[Array, "N"]:
    places, _, _ = _split(state)
    there = jnp.linalg.norm(places - target.point, axis=-1) < ARRIVED
    return jnp.broadcast_to(there.all(), there.shape)


def _someone_close(state: State, target: Target) -> Bool[Array, "N"]:
    places, _, _ = _split(state)
    apart = _apart(places, places)
    return (apart + jnp.where(jnp.eye(places.shape[0], dtype=bool), jnp.inf, 0.0)).min(1) < 0.35


def _draw(axes: Any, state: State, targets: Target | None, *, half: float) -> None:
    """Agents as coloured discs, landmarks as dots with their number, targets as lines."""
    places, _, landmarks = (np.asarray(values) for values in _split(state))
    colours = drawing.colours(len(places))
    drawing.frame(axes, extent=drawing.EXTENT * half)
    if len(places) <= MOST_NUMBERED:
        drawing.landmarks(axes, landmarks)
        drawing.agents(axes, places, [AGENT_RADIUS] * len(places), colours=colours)
    else:
        axes.plot(*landmarks.T, "o", color="0.25", markersize=2, zorder=1)
        for place, colour in zip(places, colours, strict=True):
            drawing.ring(axes, place, radius=AGENT_RADIUS, colour=colour)
    if targets is not None:
        drawing.targets(axes, places, targets.point, colours=colours)
