"""``mpe/simple_spread``: N agents cover N landmarks without bumping into each other (JaxMARL)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario, Threshold, rounded
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_spread",)

MOVE_TO, MOVE_TO_POINT, KEEP_AWAY, HOLD = range(4)

HORIZON = particles.HORIZON
AGENT_RADIUS = 0.15
ARRIVED = 0.1  # an instruction is finished within this distance of its target

# Team return at which a run counts as having learnt the task: halfway between what per-agent
# IPPO reaches in a million steps and what the recorded own-landmark plans reach, rounded.
THRESHOLDS = {3: -40.0}


class Target(NamedTuple):
    """Where an agent is sent."""

    point: Float[Array, "N 2"]
    keep_distance: Float[Array, "N"]
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def make(name: str, *, num_agents: int = 3) -> Scenario:
    """The scenario for any number of agents, with as many landmarks.

    Raises:
      ValueError: fewer than two agents (without others there is nothing to keep away from).
    """
    if num_agents < 2:
        raise ValueError(f"{name}: num_agents must be at least 2, got {num_agents}")
    game = jaxmarl.load("MPE_simple_spread_v3", num_agents=num_agents, num_landmarks=num_agents)
    env = jaxmarl.as_array_env(game, name=name, horizon=HORIZON, measures=_measures(num_agents))
    value = THRESHOLDS.get(num_agents)
    why = "halfway between IPPO after 1,000,000 steps and the recorded demonstrations"
    return Scenario(
        name=name,
        options={"num_agents": num_agents},
        env=env,
        vocabulary=vocabulary(env.spec.agents),
        task=_task(num_agents),
        describe=lambda state: _describe(state, num_agents),
        controls=Controls(
            init=lambda state: jnp.full(num_agents, -1),
            resolve=resolve,
            controllers=(_drive_there, _drive_there, _drive, _drive),
            conditions=(_everyone_arrived, _someone_close),
        ),
        advice=_ADVICE,
        feedback=lambda states, targets: _feedback(states, targets, env.spec.agents),
        draw=_draw,
        threshold=None if value is None else Threshold("team_return", value, why),
    )


# ------------------------------------------------------------------------------- in words


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """What an agent can be told."""
    places = tuple(f"landmark_{index}" for index in range(len(agents)))
    keep = Number(
        "keep_distance",
        low=0.0,
        high=0.6,
        resolution=0.05,
        meaning="try to keep the centres of other agents at least this far away; 0: ignore them",
    )
    coordinate = dict(low=-1.5, high=1.5, resolution=0.05)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "MoveTo",
                "drive to a landmark, brake over it and stay there; finished once over it",
                (
                    Choice(
                        "target",
                        (*places, "nearest", "nearest_free"),
                        "a landmark by its number (the numbers stay the same from episode to "
                        "episode, the places do not); nearest: the one nearest to the agent when "
                        "the instruction starts, whoever else goes there; nearest_free: of the "
                        "landmarks no other agent is sent to, assigned for all agents together "
                        "when the instruction starts, closest pair first, never two to one",
                    ),
                    keep,
                ),
            ),
            Command(
                "MoveToPoint",
                "drive to a point, brake and stay there; finished once there",
                (
                    Number("x", **coordinate, meaning="to the right"),
                    Number("y", **coordinate, meaning="up"),
                    keep,
                ),
            ),
            Command("KeepAway", "stay, but step aside for other agents; never finished", (keep,)),
            Command("Hold", "brake and stay; never finished"),
        ),
        conditions=(
            Condition("everyone_arrived", "all agents are over their targets"),
            Condition("someone_close", "another agent's centre is nearer than 0.35"),
        ),
        horizon=HORIZON,
        max_instructions=12,
    )


def _task(num_agents: int) -> str:
    return f"""\
{num_agents} agents and {num_agents} landmarks lie on a plane; every episode draws their places \
anew, uniformly from x and y in [-1, 1]. The landmarks stay where they are. The agents shall cover \
all landmarks, each a different one, as early as possible, and not touch each other.

Time: an episode has {HORIZON} steps of 0.1 s. An agent pushes left, right, down, up or not at all \
in each step. It gains 0.5 units/s by a push and loses a quarter of its speed per step, so it \
travels at most 2 units/s (0.2 units a step) and drifts 0.4 s of its speed after the last push. \
Two agents touch when their centres are nearer than {2 * AGENT_RADIUS} (both are discs of radius \
{AGENT_RADIUS}); they then push each other apart. Landmarks are points and can be driven over.

Reward, per agent and step: minus half the sum over all landmarks of the distance to the agent \
nearest to it, minus half the number of agents that it is touching. The team's score of an episode \
is the sum over agents and steps, so it is negative; 0 would be perfect.

What one agent observes: its own velocity and position, where every landmark is relative to \
itself (always in the order landmark_0, landmark_1, ...), and where the other agents are relative \
to itself. It observes neither their velocities nor their intentions."""


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. What an agent can decide from its \
own observation, without working out what the others will choose, is learnt about ten times \
faster than a choice that depends on how all the agents stand to each other; if the \
demonstrations vary in a way that the observation does not explain, little is learnt. So send \
the agents where each can know its target by itself in every episode, all to different places, \
and among such plans choose the one with the highest team score.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def _describe(state: State, num_agents: int) -> str:
    places = np.asarray(state.p_pos)
    lines = [
        f"{'agent' if i < num_agents else 'landmark'}_{i % num_agents}: x {x:+.2f}, y {y:+.2f}"
        for i, (x, y) in enumerate(np.reshape(rounded(places), (-1, 2)))
    ]
    return "\n".join(lines)


def _feedback(states: State, targets: Target, agents: tuple[str, ...]) -> dict[str, str]:
    """Averages over episodes, per agent."""
    count = len(agents)
    places = np.asarray(states.p_pos)[:, :, :count]
    apart = np.linalg.norm(places[:, :, :, None] - places[:, :, None], axis=-1)
    touching = (apart < 2 * AGENT_RADIUS) & ~np.eye(count, dtype=bool)
    away = np.linalg.norm(np.asarray(targets.point) - places, axis=-1)
    landmark = np.asarray(targets.landmark)[:, -1]
    shared = (landmark[:, :, None] == landmark[:, None]) & (landmark[:, :, None] >= 0)
    conflict = (shared & ~np.eye(count, dtype=bool)).any(-1)
    there = away < ARRIVED
    first = np.where(there.any(1), there.argmax(1), places.shape[1]).mean(0)
    return {
        agent: (
            f"over its target at the end in {there[:, -1, n].mean():.0%} of the episodes, first "
            f"after {first[n]:.1f} steps; {away[:, -1, n].mean():.2f} from it at the end; "
            f"touched other agents in {touching[:, :, n].any(-1).sum(1).mean():.1f} steps; "
            f"had the same final target as another agent in {conflict[:, n].mean():.0%}"
        )
        for n, agent in enumerate(agents)
    }


# ----------------------------------------------------------------------------- in numbers


def _split(state: State) -> tuple[Float[Array, "N 2"], Float[Array, "N 2"], Float[Array, "N 2"]]:
    """Positions and velocities of the agents, positions of the landmarks."""
    return particles.split(state, state.p_pos.shape[0] // 2)


def _measures(num_agents: int) -> tuple[Measure, ...]:
    def distances(state: State) -> Float[Array, "N"]:
        places, _, landmarks = _split(state)
        return jnp.linalg.norm(places[:, None] - landmarks, axis=-1).min(0)

    def touching(state: State) -> Float[Array, ""]:
        places, _, _ = _split(state)
        apart = jnp.linalg.norm(places[:, None] - places, axis=-1)
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


def resolve(state: State, program: Program, claims: Int[Array, "N"]) -> tuple[Target, Any]:
    """Where every agent is sent; landmarks are claimed when an instruction starts, and kept."""
    places, _, landmarks = _split(state)
    count = places.shape[0]
    first = program.arguments[:, 0]
    amounts = 0.05 * program.arguments.astype(jnp.float32)
    to_landmark = program.op == MOVE_TO
    named, nearest, nearest_free = first < count, first == count, first == count + 1
    distances = jnp.linalg.norm(places[:, None] - landmarks, axis=-1)

    claims = jnp.where(program.started | ~to_landmark, -1, claims)
    unset = to_landmark & (claims < 0)
    claims = jnp.where(unset & named, first, claims)
    claims = jnp.where(unset & nearest, distances.argmin(1), claims)
    claims = claim_free(distances, claims, unset & nearest_free)

    point = jnp.where(to_landmark[:, None], landmarks[claims], places)
    to_point = program.op == MOVE_TO_POINT
    point = jnp.where(to_point[:, None], -1.5 + amounts[:, :2], point)
    keep = jnp.select([to_landmark, to_point], [amounts[:, 1], amounts[:, 2]], amounts[:, 0])
    keep = jnp.where(program.op == HOLD, 0.0, keep)
    return Target(point, keep, jnp.where(to_landmark, claims, -1)), claims


def claim_free(
    distances: Float[Array, "N N"], claims: Int[Array, "N"], wanting: Bool[Array, "N"]
) -> Int[Array, "N"]:
    """``claims`` with a landmark for every wanting agent: closest pair first, none taken twice.

    Where all are taken (others were sent to them by name), the agent gets its nearest.
    """
    count = claims.shape[0]
    taken = jnp.zeros(count, bool).at[claims].max(claims >= 0, mode="drop")

    def assign(_: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        claims, wanting, taken = carry
        # A taken landmark is worse than any free one, but better than none.
        price = distances + jnp.where(taken, 1e3, 0.0) + jnp.where(wanting, 0.0, jnp.inf)[:, None]
        agent, landmark = jnp.divmod(price.argmin(), count)
        claims = claims.at[agent].set(jnp.where(wanting.any(), landmark, claims[agent]))
        return claims, wanting.at[agent].set(False), taken.at[landmark].max(wanting.any())

    return jax.lax.fori_loop(0, count, assign, (claims, wanting, taken))[0]


def _drive(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The push towards the agent's target, see `particles.steer`; never finished."""
    places, velocities, _ = _split(state)
    action = particles.steer(target.point, target.keep_distance, places, velocities, agent)
    return action, jnp.array(False)


def _drive_there(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_drive`; finished over the target."""
    places, _, _ = _split(state)
    action, _ = _drive(target, state, agent)
    return action, jnp.linalg.norm(places[agent] - target.point) < ARRIVED


def _everyone_arrived(state: State, target: Target) -> Bool[Array, "N"]:
    places, _, _ = _split(state)
    there = jnp.linalg.norm(places - target.point, axis=-1) < ARRIVED
    return jnp.broadcast_to(there.all(), there.shape)


def _someone_close(state: State, target: Target) -> Bool[Array, "N"]:
    places, _, _ = _split(state)
    apart = jnp.linalg.norm(places[:, None] - places, axis=-1)
    return (apart + jnp.where(jnp.eye(places.shape[0], dtype=bool), jnp.inf, 0.0)).min(1) < 0.35


def _draw(axes: Any, state: State, targets: Target | None) -> None:
    """Agents as coloured discs, landmarks as dots with their number, targets as lines."""
    places, _, landmarks = _split(state)
    colours = drawing.colours(len(places))
    drawing.frame(axes)
    drawing.landmarks(axes, landmarks)
    drawing.agents(axes, places, [AGENT_RADIUS] * len(places), colours=colours)
    if targets is not None:
        drawing.targets(axes, places, targets.point, colours=colours)
