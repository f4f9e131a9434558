"""``mpe/simple_adversary`` and ``mpe/simple_push``: who finds the others' goal (JaxMARL).

In both there are two landmarks, one of them the goal. The good agents know which, the adversary
does not, and has to tell it from what the good agents do.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import Controls, Judgement, Program, Scenario
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _sentences as sentences
from leed_jax.scenarios.mpe import _words as words
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_adversary", "mpe/simple_push")

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
RADII = {"mpe/simple_adversary": 0.15, "mpe/simple_push": 0.05}
CLOSE = 0.3


class Target(NamedTuple):
    """Where an agent is sent."""

    point: Float[Array, "N 2"]
    keep_distance: Float[Array, "N"]
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def make(name: str) -> Scenario:
    """Either scenario; they have no options.

    There is one adversary, and there are two good agents in ``simple_adversary``, one in
    ``simple_push``.
    """
    game = jaxmarl.load(f"MPE_{name.removeprefix('mpe/')}_v3")
    count = game.num_agents
    measures = _measures(count)
    env = jaxmarl.as_array_env(game, name=name, horizon=particles.HORIZON, measures=measures)
    agents = env.spec.agents
    return Scenario(
        name=name,
        options={},
        env=env,
        vocabulary=vocabulary(name, agents),
        task=sentences.TASKS[name],
        describe=partial(_describe, agents=agents),
        controls=Controls(
            init=lambda state: jnp.full(count, -1),
            resolve=resolve,
            controllers=(_drive_there, _drive_there, _drive, _drive, _drive),
            conditions=(_arrived, _someone_close),
        ),
        advice=sentences.ADVICE,
        feedback=partial(_feedback, agents=agents),
        draw=partial(_draw, radius=RADII[name]),
        judge=partial(_judge, measures=measures),
    )


# ------------------------------------------------------------------------------- in words

_AHEAD = Number("ahead", 0.0, 0.6, words.RESOLUTION, "how far from the landmark to stand")


def vocabulary(name: str, agents: tuple[str, ...]) -> Vocabulary:
    """What an agent can be told."""
    several = len(agents) > 2
    target = Choice("target", TARGETS[: len(TARGETS) - (not several)], sentences.target(several))
    others = Choice("agent", agents, "which agent; itself: it stays")
    keep = Number("keep_distance", 0.0, 0.6, words.RESOLUTION, sentences.KEEP)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "MoveTo",
                "drive to a landmark, brake over it and stay there; finished once over it",
                (target, keep),
            ),
            Command(
                "MoveToPoint",
                "drive to a point, brake and stay there; finished once there",
                (*words.POINT, keep),
            ),
            Command(
                "Follow",
                "drive to where another agent is, in every step; never finished",
                (others,),
            ),
            Command(
                "Guard",
                sentences.GUARD,
                (target._replace(meaning="which landmark, see MoveTo"), others, _AHEAD),
            ),
            Command("Hold", "brake and stay; never finished"),
        ),
        conditions=(
            Condition("arrived", f"the agent is within {words.ARRIVED} of its target"),
            Condition("someone_close", f"another agent's centre is nearer than {CLOSE}"),
        ),
        horizon=particles.HORIZON,
        max_instructions=8,
    )


def _describe(state: State, agents: tuple[str, ...]) -> str:
    lines = words.places((*agents, "landmark_0", "landmark_1"), state.p_pos)
    return "\n".join([*lines, f"goal: landmark_{int(state.goal)} (adversary_0 does not know)"])


def _feedback(states: State, targets: Target, agents: tuple[str, ...]) -> dict[str, str]:
    """Averages over episodes, per agent."""
    places, goal = np.asarray(states.p_pos), np.asarray(states.goal)
    landmarks, count = places[:, :, len(agents) :], len(agents)
    away = np.linalg.norm(places[:, :, :count, None] - landmarks[:, :, None], axis=-1)
    at_goal = np.where(goal[..., None] == 0, away[..., 0], away[..., 1])
    at_decoy = np.where(goal[..., None] == 0, away[..., 1], away[..., 0])
    landmark = np.asarray(targets.landmark)
    to_goal, to_decoy = landmark == goal[..., None], landmark == 1 - goal[..., None]
    return {
        agent: (
            f"sent to the goal in {to_goal[..., n].mean():.0%} of the steps, to the decoy in "
            f"{to_decoy[..., n].mean():.0%}; at the end within 0.2 of the goal in "
            f"{(at_goal[:, -1, n] < 0.2).mean():.0%} of the episodes, of the decoy in "
            f"{(at_decoy[:, -1, n] < 0.2).mean():.0%}; on average {at_goal[..., n].mean():.2f} "
            f"from the goal, at the end {at_goal[:, -1, n].mean():.2f}"
        )
        for n, agent in enumerate(agents)
    }


def _judge(ran: Episodes, measures: tuple[Measure, ...]) -> Judgement:
    good, adversary = (np.asarray(ran.measures[m.name]) for m in measures[:2])
    told = {f"{m.name} ({m.meaning})": np.asarray(ran.measures[m.name]) for m in measures}
    return Judgement(min(float(adversary.mean()), sentences.PAR) - good, told)


# ----------------------------------------------------------------------------- in numbers


def _from_goal(state: State, count: int) -> Float[Array, "N"]:
    return jnp.linalg.norm(state.p_pos[:count] - state.p_pos[count + state.goal], axis=-1)


def _measures(count: int) -> tuple[Measure, ...]:
    def nearest(state: State) -> Float[Array, ""]:
        return _from_goal(state, count)[1:].min()

    def adversary(state: State) -> Float[Array, ""]:
        return _from_goal(state, count)[ADVERSARY]

    return (
        Measure(
            "good_distance",
            nearest,
            "mean",
            "distance from the goal of the good agent nearest to it, mean over the episode; 0 is "
            "best for the good side",
        ),
        Measure(
            "adversary_distance",
            adversary,
            "mean",
            "distance of the adversary from the goal, mean over the episode; 0 is best for the "
            "adversary",
        ),
        Measure(
            "adversary_at_goal",
            lambda state: (adversary(state) < 0.2).astype(jnp.float32),
            "last",
            "share of episodes with the adversary within 0.2 of the goal at the end; 1 is best for "
            "the adversary",
        ),
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


def _draw(axes: Any, state: State, targets: Target | None, radius: float) -> None:
    """Agents as discs, the adversary red; landmarks, a ring around the goal; targets as lines."""
    count = state.p_pos.shape[0] - 2
    places, _, landmarks = (np.asarray(values) for values in particles.split(state, count))
    colours = ["tab:red", "tab:green", "tab:olive"][:count]
    drawing.frame(axes)
    drawing.landmarks(axes, landmarks)
    drawing.ring(axes, landmarks[int(state.goal)])
    labels = ("A", "0", "1")[:count]
    drawing.agents(axes, places, [radius] * count, colours=colours, labels=labels)
    if targets is not None:
        drawing.targets(axes, places, targets.point, colours=colours)
