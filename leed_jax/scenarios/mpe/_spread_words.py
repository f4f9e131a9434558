"""What is said about ``mpe/simple_spread``, and what can be said to its agents."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from leed_jax import instructions
from leed_jax.environments.particle import AGENT_RADIUS, HORIZON
from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import rounded
from leed_jax.types import State

ARRIVED = 0.1
"""An instruction is finished within this distance of its target."""
RESOLUTION = 0.05
"""Of points and distances."""


class Target(NamedTuple):
    """Where an agent is sent."""

    point: Float[Array, "N 2"]
    keep_distance: Float[Array, "N"]
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def reach(half: float) -> float:
    """Points that agents can be sent to have coordinates up to it: half beyond the edge, or more.

    In whole halves, so that it is a multiple of `RESOLUTION`.
    """
    return math.ceil(3 * half) / 2


def vocabulary(agents: tuple[str, ...], half: float) -> Vocabulary:
    """What an agent can be told, in a world of which ``half`` is half the side."""
    places = tuple(f"landmark_{index}" for index in range(len(agents)))
    keep = Number(
        "keep_distance",
        low=0.0,
        high=0.6,
        resolution=RESOLUTION,
        meaning="try to keep the centres of other agents at least this far away; 0: ignore them",
    )
    coordinate = dict(low=-reach(half), high=reach(half), resolution=RESOLUTION)
    listed = len(places) <= instructions.MAX_LISTED
    shown = f'"{places[0]}" and so on to "{places[-1]}", "nearest" or "nearest_free"'
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
                        None if listed else shown,
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


def task(num_agents: int, half: float, nearest: int | None) -> str:
    """What the agents are to achieve; ``nearest`` as in `particle.simple_spread`."""
    sees = _ALL if nearest is None else _NEAREST.format(nearest=nearest)
    return f"""\
{num_agents} agents and {num_agents} landmarks lie on a plane; every episode draws their places \
anew, uniformly from x and y in [-{half:.4g}, {half:.4g}]. The landmarks stay where they are. \
The agents shall cover all landmarks, each a different one, as early as possible, and not touch \
each other.

Time: an episode has {HORIZON} steps of 0.1 s. An agent pushes left, right, down, up or not at all \
in each step. It gains 0.5 units/s by a push and loses a quarter of its speed per step, so it \
travels at most 2 units/s (0.2 units a step) and drifts 0.4 s of its speed after the last push. \
Two agents touch when their centres are nearer than {2 * AGENT_RADIUS} (both are discs of radius \
{AGENT_RADIUS}); they then push each other apart. Landmarks are points and can be driven over.

Reward, per agent and step: minus half the sum over all landmarks of the distance to the agent \
nearest to it, minus half the number of agents that it is touching. The team's score of an episode \
is the sum over agents and steps, so it is negative; 0 would be perfect.

{sees} It observes neither their velocities nor their intentions."""


_ALL = """\
What one agent observes: its own velocity and position, where every landmark is relative to \
itself (always in the order landmark_0, landmark_1, ...), and where the other agents are relative \
to itself."""

_NEAREST = """\
What one agent observes: its own velocity and position, where the {nearest} landmarks nearest to \
it and the {nearest} other agents nearest to it are relative to itself, nearest first; not their \
numbers, and nothing of the rest."""

ADVICE = {
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


def describe(state: State, num_agents: int) -> str:
    """Where everything is at a start."""
    places = np.asarray(state.p_pos)
    lines = [
        f"{'agent' if i < num_agents else 'landmark'}_{i % num_agents}: x {x:+.2f}, y {y:+.2f}"
        for i, (x, y) in enumerate(np.reshape(rounded(places), (-1, 2)))
    ]
    return "\n".join(lines)


def feedback(states: State, targets: Target, agents: tuple[str, ...]) -> dict[str, str]:
    """What happened to every agent, averaged over episodes."""
    places = np.asarray(states.p_pos)[:, :, : len(agents)]
    away = np.linalg.norm(np.asarray(targets.point) - places, axis=-1)
    landmark = np.asarray(targets.landmark)[:, -1]
    there = away < ARRIVED
    first = np.where(there.any(1), there.argmax(1), places.shape[1]).mean(0)

    def about(n: int) -> str:
        # Agent by agent: of all pairs in all steps there are too many where agents are many.
        apart = np.linalg.norm(places - places[:, :, n : n + 1], axis=-1)
        touching = (apart < 2 * AGENT_RADIUS).sum(-1) > 1  # oneself is one of them
        same = (landmark == landmark[:, n : n + 1]).sum(-1) > 1
        conflict = same & (landmark[:, n] >= 0)
        return (
            f"over its target at the end in {there[:, -1, n].mean():.0%} of the episodes, first "
            f"after {first[n]:.1f} steps; {away[:, -1, n].mean():.2f} from it at the end; "
            f"touched other agents in {touching.sum(1).mean():.1f} steps; "
            f"had the same final target as another agent in {conflict.mean():.0%}"
        )

    return {agent: about(n) for n, agent in enumerate(agents)}
