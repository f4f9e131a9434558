"""``mpe/simple_adversary`` and ``mpe/simple_push``: who finds the others' goal (JaxMARL).

In both there are two landmarks, one of them the goal. The good agents know which, the adversary
does not, and has to tell it from what the good agents do.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import Judgement, Scenario
from leed_jax.scenarios.mpe import _contest_controls as controls
from leed_jax.scenarios.mpe import _drawing as drawing
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.scenarios.mpe import _sentences as sentences
from leed_jax.scenarios.mpe import _words as words
from leed_jax.scenarios.mpe._contest_controls import ADVERSARY, CLOSE, TARGETS, Target
from leed_jax.types import Measure, State

NAMES = ("mpe/simple_adversary", "mpe/simple_push")

RADII = {"mpe/simple_adversary": 0.15, "mpe/simple_push": 0.05}


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
        controls=controls.controls(count),
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
