"""Parameters and sentences that several particle worlds share, and what they mean in numbers."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.instructions import Choice, Number
from leed_jax.scenarios import rounded
from leed_jax.scenarios.mpe import _particles as particles
from leed_jax.types import AnyArray

ARRIVED = 0.1
"""An instruction is finished within this distance of its target."""

TIME = f"""\
Time: an episode has {particles.HORIZON} steps of 0.1 s. An agent that can move pushes left, \
right, down, up or not at all in each step. It gains 0.5 units/s by a push and loses a quarter of \
its speed per step, so it travels at most 2 units/s (0.2 units a step) and drifts 0.4 s of its \
speed after the last push."""

LOWEST, RESOLUTION = -1.5, 0.05
POINT = (
    Number("x", LOWEST, 1.5, RESOLUTION, "to the right"),
    Number("y", LOWEST, 1.5, RESOLUTION, "up"),
)
"""Parameters of a command that sends to a point."""


def point(arguments: Int[Array, "N 2"]) -> Float[Array, "N 2"]:
    """The points behind codes of `POINT`."""
    return LOWEST + RESOLUTION * arguments.astype(jnp.float32)


def in_force(
    op: Int[Array, "N"],
    ways: Mapping[int, tuple[Float[Array, "N 2"], Int[Array, "N"]]],
    places: Float[Array, "N 2"],
) -> tuple[Float[Array, "N 2"], Int[Array, "N"]]:
    """Where each agent's command sends it: a point, and the landmark there or -1.

    Args:
      op: commands in force.
      ways: by command, where it would send every agent.
      places: of the agents, who stay there under any other command.
    """
    spot, landmark = places, jnp.full(op.shape, -1)
    for command, (there, index) in ways.items():
        spot = jnp.where((op == command)[:, None], there, spot)
        landmark = jnp.where(op == command, index, landmark)
    return spot, landmark


# ------------------------------------------------------------- languages, for three landmarks

LANDMARKS = ("landmark_0", "landmark_1", "landmark_2")
COLOURS = ("red", "green", "blue")
MOST_LISTED = 4
"""A prompt says "word_0" to "word_9" where there are more words than this."""


def language(verb: str, meaning: str, words: int) -> tuple[Choice, ...]:
    """A word for each of `LANDMARKS`, as parameters ``<verb>_landmark_0`` and so on."""
    options = tuple(f"word_{index}" for index in range(words))
    shown = f'one of "{options[0]}" to "{options[-1]}"' if words > MOST_LISTED else None
    return tuple(
        Choice(f"{verb}_{landmark}", options, meaning.format(landmark), shown)
        for landmark in LANDMARKS
    )


def understood(
    heard: Float[Array, "N C"], words: Int[Array, "N 3"]
) -> tuple[Int[Array, "N"], Bool[Array, "N"]]:
    """The landmark that each agent takes the word it heard for, and whether there is one.

    Args:
      heard: one-hot, or zeros before anything was said.
      words: of each agent, the word for every landmark; of equal ones the first counts.
    """
    means = (words == heard.argmax(-1)[:, None]) & (heard.sum(-1) > 0)[:, None]
    return means.argmax(-1), means.any(-1)


PLACES = (*LANDMARKS, "nearest", "middle")
NEAREST, MIDDLE = 3, 4
TARGET = Choice(
    "target",
    PLACES,
    "a landmark by its number; nearest: the one nearest to the agent now; middle: the point "
    "halfway between all landmarks",
)

OTHERWISE = ("stay", "nearest", "middle")
UNKNOWN = Choice(
    "otherwise",
    OTHERWISE,
    "what to do in steps in which no word with a meaning was heard, as in the first one: stay "
    "where it is, or drive to the nearest landmark or to the point halfway between all landmarks",
)


def destination(
    code: Int[Array, "N"], places: Float[Array, "N 2"], landmarks: Float[Array, "M 2"]
) -> tuple[Float[Array, "N 2"], Int[Array, "N"]]:
    """Where codes of `PLACES` lead, and the landmark there or -1."""
    nearest = jnp.linalg.norm(places[:, None] - landmarks, axis=-1).argmin(-1)
    landmark = jnp.where(code == NEAREST, nearest, jnp.where(code == MIDDLE, -1, code))
    spot = jnp.where((code == MIDDLE)[:, None], landmarks.mean(0), landmarks[landmark])
    return spot, landmark


def follow(
    heard: Float[Array, "N C"],
    words: Int[Array, "N 3"],
    otherwise: Int[Array, "N"],
    places: Float[Array, "N 2"],
    landmarks: Float[Array, "M 2"],
) -> tuple[Float[Array, "N 2"], Int[Array, "N"]]:
    """Where the words that were heard lead, or codes of `OTHERWISE`; and the landmark or -1."""
    meant, known = understood(heard, words)
    code = jnp.where(known, meant, jnp.where(otherwise == 1, NEAREST, MIDDLE))
    spot, landmark = destination(code, places, landmarks)
    stays = ~known & (otherwise == 0)
    return jnp.where(stays[:, None], places, spot), jnp.where(stays, -1, landmark)


# ----------------------------------------------------------------------------------- in words


def places(names: tuple[str, ...], positions: Any) -> list[str]:
    """A line for everything that has a place."""
    numbers = np.reshape(rounded(np.asarray(positions)), (-1, 2))
    return [f"{name}: x {x:+.2f}, y {y:+.2f}" for name, (x, y) in zip(names, numbers, strict=True)]


def spoken(goals: Int[AnyArray, "K S"], words: Int[AnyArray, "K S"], options: int) -> str:
    """What was said for every goal, and how often, for feedback."""
    goals, words = np.asarray(goals), np.asarray(words)
    lines = []
    for goal, landmark in enumerate(LANDMARKS):
        mine = words[goals == goal]
        if mine.size:
            share = np.bincount(mine, minlength=options) / mine.size
            said = ", ".join(f"word_{w} {share[w]:.0%}" for w in share.nonzero()[0])
            lines.append(f"{said} where it was {landmark}")
    return "said " + "; ".join(lines)
