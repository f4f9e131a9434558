"""``mabrax/*``: the joints of a walking body, divided among agents (JaxMARL, needs brax).

JaxMARL calls these environments deprecated, as brax is. The commands are simple gaits without
balance: a cheetah runs by them, an ant hardly moves, and the others are not kept upright.
"""

import importlib.util
import warnings
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.scenarios import Controls, Program, Scenario
from leed_jax.scenarios._quiet import Quiet
from leed_jax.scenarios.mabrax import words
from leed_jax.scenarios.mabrax.words import (
    BODIES,
    DAMPING,
    PERIOD,
    PHASE,
    RELAX,
    STIFFNESS,
    SWING,
    Body,
    Joints,
)
from leed_jax.types import Measure, State

INSTALL = "pip install brax 'mujoco<3.4' 'mujoco-mjx<3.4'"

NAMES = tuple(f"mabrax/{name}" for name in BODIES)


class Target(NamedTuple):
    """Angles in radians that joints are driven to, and how hard."""

    angle: Float[Array, "N J"]
    stiffness: Float[Array, "N"]
    damping: Float[Array, "N"]


def make(name: str, *, max_steps: int = 1000) -> Scenario:
    """The scenario with brax's ``positional`` physics, JaxMARL's default.

    Args:
      name: one of `NAMES`.
      max_steps: time limit.

    Raises:
      ImportError: brax is not installed.
      ValueError: ``max_steps`` is not positive.
    """
    if max_steps < 1:
        raise ValueError(f"{name}: max_steps must be at least 1, got {max_steps}")
    if importlib.util.find_spec("brax") is None:
        raise ImportError(f"{name} needs brax, which is not installed: {INSTALL}")
    task = name.partition("/")[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # brax and JaxMARL say on import that it is deprecated
        try:
            # Reset by the trainer: brax's own reset would hide the last observation.
            game = jaxmarl.load(task, episode_length=max_steps, auto_reset=False)
        except ImportError as error:
            raise ImportError(f"{name}: brax cannot be imported; try {INSTALL}") from error
    env = jaxmarl.as_array_env(
        Quiet(game), name=name, horizon=max_steps, terminated=_fell, measures=MEASURES
    )
    body, joints = BODIES[task], _joints(game, BODIES[task])
    return Scenario(
        name=name,
        options={"max_steps": max_steps},
        env=env,
        vocabulary=words.vocabulary(env.spec.agents, joints, max_steps),
        task=words.task(body, joints, env.spec.agents, max_steps),
        describe=lambda state: words.describe(state, joints, env.spec.agents),
        controls=Controls(
            init=lambda state: (),
            resolve=lambda state, program, memory: (_resolve(state, program, joints), memory),
            controllers=(lambda target, state, agent: _drive(target, state, agent, joints),) * 3,
        ),
        advice=words.ADVICE,
        feedback=lambda states, targets: words.feedback(
            states, targets, joints, env.spec.agents, max_steps
        ),
        draw=lambda axes, state, targets: _draw(
            axes, state, targets, game.sys.link_parents, joints
        ),
    )


def _joints(game: Any, body: Body) -> Joints:
    mine = [np.asarray(game.agent_action_mapping[agent]) for agent in game.agents]
    most = max(len(row) for row in mine)
    padded = np.stack([np.append(row, np.repeat(row[:1], most - len(row))) for row in mine])
    actuator = game.sys.actuator
    qd = np.asarray(actuator.qd_id)[padded]
    limits = np.degrees(np.stack([np.asarray(limit) for limit in game.sys.dof.limit], -1))[qd]
    names = tuple(tuple(body.joints.split()[joint] for joint in row) for row in mine)
    return Joints(names, np.asarray(actuator.q_id)[padded], qd, limits.astype(np.float32))


def _fell(state: State) -> Bool[Array, ""]:
    return jnp.logical_and(state.done > 0, state.info["truncation"] == 0)


MEASURES = (
    Measure(
        "distance",
        lambda state: state.pipeline_state.x.pos[0, 0],
        "last",
        "metres forwards at the end of the episode; more is better",
    ),
    Measure(
        "fallen",
        lambda state: _fell(state).astype(jnp.float32),
        "last",
        "share of episodes that ended by a fall; 0 is best",
    ),
)


def _resolve(state: State, program: Program, joints: Joints) -> Target:
    """Wanted angles of all joints."""
    codes = program.arguments.astype(jnp.float32)
    most = joints.q.shape[1]
    low = 5 * np.floor(float(joints.limits[..., 0].min()) / 5)
    span = 3 if most <= 3 else 2
    first = 3 + span * np.arange(most)
    period = PERIOD.decode(codes[:, :1])
    phase = codes[:, first + 2] if most <= 3 else codes[:, [3 + span * most]]
    turn = state.info["steps"] / period + PHASE.decode(phase)
    middle, swing = low + 5.0 * codes[:, first], 5.0 * codes[:, first + 1]
    swinging = middle + swing * jnp.sin(2 * jnp.pi * turn)
    held = low + 5.0 * codes[:, 2 + np.arange(most)]
    angles = jnp.where((program.op == SWING)[:, None], swinging, held)
    hard = jnp.where(program.op == SWING, codes[:, 1], codes[:, 0])
    damped = jnp.where(program.op == SWING, codes[:, 2], codes[:, 1])
    tense = program.op != RELAX
    return Target(
        jnp.deg2rad(angles),
        jnp.where(tense, STIFFNESS.decode(hard), 0.0),
        jnp.where(tense, DAMPING.decode(damped), 0.0),
    )


def _drive(target: Target, state: State, agent: Int[Array, ""], joints: Joints) -> tuple[Any, Any]:
    """Efforts of the agent's joints; never finished."""
    angle = state.pipeline_state.q[jnp.asarray(joints.q)[agent]]
    speed = state.pipeline_state.qd[jnp.asarray(joints.qd)[agent]]
    effort = target.stiffness * (target.angle - angle) - target.damping * speed
    return jnp.clip(effort, -1.0, 1.0), jnp.array(False)


def _draw(axes: Any, state: State, targets: Target | None, parents: Any, joints: Joints) -> None:
    """The body from its side, moving to the right; above it every joint's angle off its target."""
    places = np.asarray(state.pipeline_state.x.pos)
    middle = places[0, 0]
    axes.set(xlim=(middle - 1.5, middle + 1.5), ylim=(-0.2, 2.8), aspect="equal", yticks=[])
    axes.axhline(0.0, color="0.5", linewidth=1)
    for link, parent in enumerate(parents):
        x, _, z = np.stack([places[link], places[max(int(parent), 0)]], 1)
        axes.plot(x, z, color="0.25", linewidth=3, marker="o", markersize=5, zorder=2)
    if targets is None:
        return
    angles = np.asarray(state.pipeline_state.q)[joints.q]
    off = np.asarray(targets.angle) - angles
    for n, names in enumerate(joints.names):
        for index, joint in enumerate(names):
            x = middle - 1.4 + 2.8 * (n + (index + 0.5) / len(names)) / len(joints.names)
            axes.plot([x, x], [2.2, 2.2 + 0.4 * np.clip(off[n, index], -1, 1)], f"C{n}", lw=4)
            axes.annotate(joint, (x, 2.65), fontsize=4, rotation=90, ha="center", color=f"C{n}")
    axes.axhline(2.2, color="0.7", linewidth=0.5)
