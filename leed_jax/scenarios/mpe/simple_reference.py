"""``mpe/simple_reference``: each of two knows where the other one is to go (JaxMARL)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Command, Condition, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _words as words
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_reference",)

FOLLOW_WORD, MOVE_TO, MOVE_TO_POINT, HOLD = range(4)
NUM_WORDS = 10
NUM_PUSHES = len(particles.PUSHES)
"""An action is a push plus this many times a word (simple_reference.py, _decode_discrete_action)"""
RADIUS = 0.15


class Target(NamedTuple):
    """What an agent says, and where it is sent."""

    word: Int[Array, "N"]
    point: Float[Array, "N 2"]
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def make(name: str) -> Scenario:
    """The scenario; it has no options: always two agents and three landmarks."""
    game = jaxmarl.load("MPE_simple_reference_v3")
    env = jaxmarl.as_array_env(game, name=name, horizon=particles.HORIZON, measures=_MEASURES)
    return Scenario(
        name=name,
        options={},
        env=env,
        vocabulary=vocabulary(env.spec.agents),
        task=_TASK,
        describe=_describe,
        controls=Controls(
            init=lambda state: (),
            resolve=resolve,
            controllers=(_act, _act_there, _act_there, _act),
            conditions=(_word_heard,),
        ),
        advice=_ADVICE,
        feedback=_feedback,
        draw=_draw,
    )


# ------------------------------------------------------------------------------- in words


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """What an agent can be told."""
    say = words.language("say", "what it says where the other agent's goal is {}", NUM_WORDS)
    hear = words.language("hear", "the word that it takes for {}", NUM_WORDS)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "FollowWord",
                "in every step drive to the landmark that the word heard in that step stands for, "
                "brake over it and stay there; a word given to several landmarks stands for the "
                "first of them; never finished",
                (*say, *hear, words.UNKNOWN),
            ),
            Command(
                "MoveTo",
                "drive to a place, brake over it and stay there; finished once over it",
                (*say, words.TARGET),
            ),
            Command(
                "MoveToPoint",
                "drive to a point, brake and stay there; finished once there",
                (*say, *words.POINT),
            ),
            Command("Hold", "brake and stay; never finished", say),
        ),
        conditions=(Condition("word_heard", "the agent hears a word in this step"),),
        horizon=particles.HORIZON,
        max_instructions=8,
    )


_TASK = f"""\
agent_0, agent_1 and three landmarks lie on a plane; every episode draws their places anew, \
uniformly from x and y in [-1, 1], and for each agent one of the landmarks as its goal, all \
equally likely, so both may have the same. Each agent shall get to its own goal as early as \
possible and stay there. No agent knows its own goal; each knows the goal of the other one. The \
landmarks, always in the order landmark_0 (red), landmark_1 (green), landmark_2 (blue), stay where \
they are, and so do the goals.

{words.TIME} Nothing collides.

Speaking: in every step each agent moves and says one of ten words, word_0 to word_9, both at \
once; none is ever silent. An agent hears the other one's word in the step after it was said, so \
in the first step it hears nothing. Words have no meaning of their own: what they stand for is \
what your plan makes them stand for, to who speaks and to who listens. The two agents need not \
use the same words.

Reward, per agent and step: minus half the other agent's distance from the other agent's goal, \
minus a quarter of the sum of both agents' distances from their own goals. The team's score of an \
episode is the sum over both agents and all steps, which is minus the sum of both distances over \
all steps; 0 would be perfect.

What an agent observes: its own velocity, where every landmark is relative to itself, which \
landmark is the other agent's goal, and the word that it hears. It does not observe where the \
other agent is."""


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. If the demonstrations vary in a way \
that this observation does not explain, little is learnt: no agent can know the time. Among the \
plans in which each agent's action follows from what it observes now, choose the one with the \
highest team score.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def _describe(state: State) -> str:
    lines = words.places(("agent_0", "agent_1", *words.LANDMARKS), state.p_pos)
    goals = [
        f"goal of agent_{i}: landmark_{int(state.goal[i])} (only agent_{1 - i} knows)"
        for i in range(2)
    ]
    return "\n".join([*lines, *goals])


def _feedback(states: State, targets: Target) -> dict[str, str]:
    """Averages over episodes, per agent."""
    goals, places = np.asarray(states.goal), np.asarray(states.p_pos)
    told = {}
    for n in range(2):
        landmarks, goal = places[:, :, 2:], goals[:, :, n]
        away = np.linalg.norm(landmarks - places[:, :, n, None], axis=-1)
        at_goal = np.take_along_axis(away, goal[..., None], -1)[..., 0]
        there = at_goal < words.ARRIVED
        first = np.where(there.any(1), there.argmax(1), there.shape[1]).mean()
        sent = (np.asarray(targets.landmark)[:, -1, n] == goal[:, -1]).mean()
        said = words.spoken(goals[:, :, 1 - n], np.asarray(targets.word)[:, :, n], NUM_WORDS)
        told[f"agent_{n}"] = (
            f"at the end over its goal in {there[:, -1].mean():.0%} of the episodes, sent there in "
            f"{sent:.0%}; first over it after {first:.1f} steps; {at_goal[:, -1].mean():.2f} from "
            f"it at the end; about the other agent's goal it {said}"
        )
    return told


# ----------------------------------------------------------------------------- in numbers


def _from_goals(state: State) -> Float[Array, "2"]:
    return jnp.linalg.norm(state.p_pos[:2] - state.p_pos[2 + state.goal], axis=-1)


_MEASURES = (
    Measure(
        "goals_reached",
        lambda state: (_from_goals(state) < words.ARRIVED).astype(jnp.float32).mean(),
        "last",
        f"share of agents within {words.ARRIVED} of their goals at the end; 1 is best",
    ),
    Measure(
        "goal_distance",
        lambda state: _from_goals(state).mean(),
        "mean",
        "distance from an agent to its goal, mean over the episode; 0 is best",
    ),
)


def resolve(state: State, program: Program, memory: Any) -> tuple[Target, Any]:
    """What every agent says, and where it is sent, both from the present state alone."""
    places, _, landmarks = particles.split(state, 2)
    arguments = program.arguments
    word = jnp.take_along_axis(arguments[:, :3], state.goal[::-1, None], axis=1)[:, 0]
    rest = arguments[:, 3:]

    followed = words.follow(state.c[::-1], rest[:, :3], rest[:, 3], places, landmarks)
    sent = words.destination(rest[:, 0], places, landmarks)
    to_point = (words.point(rest[:, :2]), jnp.full(2, -1))
    ways = {FOLLOW_WORD: followed, MOVE_TO: sent, MOVE_TO_POINT: to_point}
    spot, landmark = words.in_force(program.op, ways, places)
    return Target(word, spot, landmark), memory


def _act(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """A push and a word; never finished."""
    places, velocities, _ = particles.split(state, 2)
    push = particles.steer(target.point, jnp.float32(0), places, velocities, agent)
    return push + NUM_PUSHES * target.word, jnp.array(False)


def _act_there(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_act`; finished over the target."""
    action, _ = _act(target, state, agent)
    return action, jnp.linalg.norm(state.p_pos[agent] - target.point) < words.ARRIVED


def _word_heard(state: State, target: Target) -> Bool[Array, "N"]:
    return state.c[::-1].sum(-1) > 0


def _draw(axes: Any, state: State, targets: Target | None) -> None:
    """Agents with their words, coloured landmarks, a ring in an agent's colour for its goal."""
    places, _, landmarks = (np.asarray(values) for values in particles.split(state, 2))
    colours = ["purple", "darkorange"]
    drawing.frame(axes)
    drawing.landmarks(axes, landmarks, colours=words.COLOURS)
    for n in range(2):
        goal = landmarks[int(state.goal[n])]
        drawing.ring(axes, goal, radius=0.13 + 0.05 * n, colour=colours[n])
    drawing.agents(axes, places, [RADIUS] * 2, colours=colours)
    if targets is not None:
        drawing.targets(axes, places, targets.point, colours=colours)
        for place, word in zip(places, np.asarray(targets.word), strict=True):
            drawing.says(axes, place, f"word_{word}")
