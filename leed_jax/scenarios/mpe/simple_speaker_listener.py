"""``mpe/simple_speaker_listener``: one knows where to go, the other one can (JaxMARL)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Choice, Command, Condition, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _words as words
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_speaker_listener",)

SAY_GOAL, SAY, FOLLOW_WORD, MOVE_TO, MOVE_TO_POINT, HOLD = range(6)
SPEAKER, LISTENER = range(2)
NUM_WORDS = 3
RADIUS = 0.075


class Target(NamedTuple):
    """What an agent says, and where it is sent."""

    word: Int[Array, "N"]
    """-1 for the listener, who cannot speak."""
    point: Float[Array, "N 2"]
    """Its own place for the speaker, who cannot move."""
    landmark: Int[Array, "N"]
    """Index of the landmark, -1 where the target is none."""


def make(name: str) -> Scenario:
    """The scenario; it has no options: always one speaker, one listener and three landmarks."""
    game = jaxmarl.load("MPE_simple_speaker_listener_v4")
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
            controllers=(_act, _act, _act, _act_there, _act_there, _act),
            conditions=(_word_heard,),
        ),
        advice=_ADVICE,
        feedback=_feedback,
        draw=_draw,
    )


# ------------------------------------------------------------------------------- in words


def vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    """What an agent can be told."""
    say = words.language("say", "what the speaker says where the goal is {}", NUM_WORDS)
    hear = words.language("hear", "the word that the listener takes for {}", NUM_WORDS)
    spoken = Choice("word", say[0].options, "the word, whatever the goal is")
    return Vocabulary(
        agents=agents,
        commands=(
            Command("SayGoal", "for the speaker: say the goal's word; never finished", say),
            Command("Say", "for the speaker: say one and the same word; never finished", (spoken,)),
            Command(
                "FollowWord",
                "for the listener: in every step drive to the landmark that the word heard in "
                "that step stands for, brake over it and stay there; a word given to several "
                "landmarks stands for the first of them; never finished",
                (*hear, words.UNKNOWN),
            ),
            Command(
                "MoveTo",
                "for the listener: drive to a place, brake over it and stay there; finished once "
                "over it",
                (words.TARGET,),
            ),
            Command(
                "MoveToPoint",
                "for the listener: drive to a point, brake and stay there; finished once there",
                words.POINT,
            ),
            Command("Hold", "for the listener: brake and stay; never finished"),
        ),
        conditions=(Condition("word_heard", "the listener hears a word in this step"),),
        horizon=particles.HORIZON,
        max_instructions=8,
    )


_TASK = f"""\
speaker_0, listener_0 and three landmarks lie on a plane; every episode draws their places anew, \
uniformly from x and y in [-1, 1], and one of the landmarks as the goal, each equally likely. The \
listener shall get to the goal as early as possible and stay there. It does not know which \
landmark is the goal; the speaker does, but cannot move. The landmarks, always in the order \
landmark_0 (red), landmark_1 (green), landmark_2 (blue), stay where they are, and so does the goal.

{words.TIME} Nothing collides.

Speaking: the speaker says one of three words, word_0, word_1 or word_2, in every step; it is \
never silent. The listener hears a word in the step after it was said, so in the first step it \
hears nothing. Words have no meaning of their own: what they stand for is what your plan makes \
them stand for, to the speaker and to the listener.

Reward, per step: minus the square of the distance from the listener to the goal, for both \
agents. The team's score of an episode is the sum over both agents and all steps, so it is \
negative; 0 would be perfect.

What the agents observe: the speaker only which landmark is the goal; it knows no places. The \
listener its own velocity, where every landmark is relative to itself, and the word that it hears.

The speaker can be told to speak only and the listener to move only. Told to move, the speaker \
says word_0; told to speak, the listener brakes and stays."""


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. If the demonstrations vary in a way \
that this observation does not explain, little is learnt: neither agent can know the time. Among \
the plans in which each agent's action follows from what it observes now, choose the one with the \
highest team score.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def _describe(state: State) -> str:
    lines = words.places(("speaker_0", "listener_0", *words.LANDMARKS), state.p_pos)
    return "\n".join([*lines, f"goal: landmark_{int(state.goal)} (only speaker_0 knows)"])


def _feedback(states: State, targets: Target) -> dict[str, str]:
    """Averages over episodes, per agent."""
    goal, places = np.asarray(states.goal), np.asarray(states.p_pos)
    listener, landmarks = places[:, :, LISTENER], places[:, :, 2:]
    away = np.linalg.norm(landmarks - listener[:, :, None], axis=-1)
    over = away[:, -1] < words.ARRIVED
    at_goal = np.take_along_axis(away, goal[..., None], -1)[..., 0]
    there = at_goal < words.ARRIVED
    first = np.where(there.any(1), there.argmax(1), there.shape[1]).mean()
    wrong = (over & (np.arange(3) != goal[:, -1:])).any(-1).mean()
    sent = (np.asarray(targets.landmark)[:, -1, LISTENER] == goal[:, -1]).mean()
    return {
        "speaker_0": words.spoken(goal, np.asarray(targets.word)[:, :, SPEAKER], NUM_WORDS),
        "listener_0": (
            f"at the end over the goal in {there[:, -1].mean():.0%} of the episodes and over a "
            f"wrong landmark in {wrong:.0%}, sent to the goal in {sent:.0%}; first over the goal "
            f"after {first:.1f} steps; {at_goal[:, -1].mean():.2f} from it at the end"
        ),
    }


# ----------------------------------------------------------------------------- in numbers


def _from_goal(state: State) -> Float[Array, ""]:
    return jnp.linalg.norm(state.p_pos[LISTENER] - state.p_pos[2 + state.goal])


_MEASURES = (
    Measure(
        "goal_reached",
        lambda state: (_from_goal(state) < words.ARRIVED).astype(jnp.float32),
        "last",
        f"share of episodes with the listener within {words.ARRIVED} of the goal at the end; "
        "1 is best",
    ),
    Measure(
        "goal_distance",
        _from_goal,
        "mean",
        "distance from the listener to the goal, mean over the episode; 0 is best",
    ),
)


def resolve(state: State, program: Program, memory: Any) -> tuple[Target, Any]:
    """What is said, and where the listener is sent, both from the present state alone."""
    places, _, landmarks = particles.split(state, 2)
    first, arguments = program.arguments[:, 0], program.arguments
    said = jnp.select(
        [program.op == SAY_GOAL, program.op == SAY], [arguments[:, state.goal], first], 0
    )
    speaks = jnp.arange(2) == SPEAKER

    heard = jnp.broadcast_to(state.c[SPEAKER], state.c.shape)
    followed = words.follow(heard, arguments[:, :3], arguments[:, 3], places, landmarks)
    sent = words.destination(first, places, landmarks)
    to_point = (words.point(arguments[:, :2]), jnp.full(2, -1))
    ways = {FOLLOW_WORD: followed, MOVE_TO: sent, MOVE_TO_POINT: to_point}
    spot, landmark = words.in_force(program.op, ways, places)
    spot = jnp.where(speaks[:, None], places, spot)
    return Target(jnp.where(speaks, said, -1), spot, jnp.where(speaks, -1, landmark)), memory


def _act(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The speaker's word, the listener's push; never finished."""
    places, velocities, _ = particles.split(state, 2)
    push = particles.steer(target.point, jnp.float32(0), places, velocities, agent)
    return jnp.where(agent == SPEAKER, target.word, push), jnp.array(False)


def _act_there(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_act`; finished over the target."""
    action, _ = _act(target, state, agent)
    there = jnp.linalg.norm(state.p_pos[agent] - target.point) < words.ARRIVED
    return action, there & (agent == LISTENER)


def _word_heard(state: State, target: Target) -> Bool[Array, "N"]:
    return jnp.broadcast_to(state.c[SPEAKER].sum() > 0, (2,))


def _draw(axes: Any, state: State, targets: Target | None) -> None:
    """The listener's disc, the speaker with its word, coloured landmarks, a ring for the goal."""
    places, _, landmarks = (np.asarray(values) for values in particles.split(state, 2))
    colours = ["0.5", *drawing.colours(1)]
    drawing.frame(axes)
    drawing.landmarks(axes, landmarks, colours=words.COLOURS)
    drawing.ring(axes, landmarks[int(state.goal)])
    drawing.agents(axes, places, [RADIUS] * 2, colours=colours, labels=("S", "L"))
    if targets is not None:
        drawing.targets(axes, places, targets.point, colours=colours)
        drawing.says(axes, places[SPEAKER], f"word_{int(targets.word[SPEAKER])}")
