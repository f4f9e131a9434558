"""What a model is told about bodies and their joints, and what it may tell them."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from leed_jax.instructions import Command, Number, Parameter, Vocabulary
from leed_jax.types import State

SWING, HOLD, RELAX = range(3)
STIFFNESS = Number("stiffness", 0.5, 10, 0.5, "effort per radian that a joint is off its angle")
DAMPING = Number("damping", 0, 1, 0.05, "effort against every rad/s of the joint's speed")
PERIOD = Number("period", 4, 200, 2, "of the swing, in steps")
PHASE = Number("phase", 0, 0.95, 0.05, "")


class Body(NamedTuple):
    """What the words say about a body, from brax/envs/<name>.py and its xml file."""

    joints: str
    """In the order of the actions."""
    reward: str
    end: str
    upright: str
    """What standing looks like."""


_FALL = "; the episode ends when it leaves this range, which counts as a fall"
BODIES = {
    "ant_4x2": Body(
        "hip_4 ankle_4 hip_1 ankle_1 hip_2 ankle_2 hip_3 ankle_3",
        "its speed forwards (along x) in m/s, plus 1, minus half the sum of all squared efforts",
        "The torso's height must be from 0.2 to 1 m" + _FALL,
        "A four-legged ant: leg 1 is in front on the left, 2 behind it, 4 in front on the right, 3 "
        "behind it. "
        "A step takes 0.05 s.",
    ),
    "halfcheetah_6x1": Body(
        "bthigh bshin bfoot fthigh fshin ffoot",
        "its speed forwards (along x) in m/s, minus 0.1 times the sum of all squared efforts",
        "It cannot fall for good: only the time limit ends an episode",
        "A two-legged cheetah in a vertical plane (b: the back leg, f: the front leg). A step "
        "takes 0.05 s.",
    ),
    "hopper_3x1": Body(
        "thigh leg foot",
        "its speed forwards (along x) in m/s, plus 1, minus 0.001 times the sum of all squared "
        "efforts",
        "The torso must be higher than 0.7 m and lean less than 0.2 radians" + _FALL,
        "A one-legged hopper in a vertical plane, torso on top. A step takes 0.008 s.",
    ),
    "humanoid_9|8": Body(
        "abdomen_y abdomen_z abdomen_x right_hip_x right_hip_z right_hip_y right_knee left_hip_x "
        "left_hip_z left_hip_y left_knee right_shoulder1 right_shoulder2 right_elbow "
        "left_shoulder1 left_shoulder2 left_elbow",
        "1.25 times its speed forwards (along x) in m/s, plus 5, minus 0.1 times the sum of all "
        "squared efforts",
        "The torso's height must be from 1 to 2 m" + _FALL,
        "A humanoid. Efforts beyond 0.4 count as 0.4. A step takes 0.015 s.",
    ),
    "walker2d_2x3": Body(
        "thigh leg foot thigh_left leg_left foot_left",
        "its speed forwards (along x) in m/s, plus 1, minus 0.001 times the sum of all squared "
        "efforts",
        "The torso's height must be from 0.8 to 2 m, and it must lean less than 1 radian" + _FALL,
        "A two-legged walker in a vertical plane. A step takes 0.008 s.",
    ),
}


class Joints(NamedTuple):
    """Which joints are whose; J is the most that an agent has."""

    names: tuple[tuple[str, ...], ...]
    q: Int[np.ndarray, "N J"]
    """Where angles are in the state; the padding repeats an agent's first joint."""
    qd: Int[np.ndarray, "N J"]
    limits: Float[np.ndarray, "N J 2"]
    """Degrees."""


def vocabulary(agents: tuple[str, ...], joints: Joints, max_steps: int) -> Vocabulary:
    """What an agent can be told; joint_0, joint_1, ... are those that the task lists for it."""
    most = joints.q.shape[1]
    low, high = float(joints.limits[..., 0].min()), float(joints.limits[..., 1].max())
    low, high = 5 * np.floor(low / 5), 5 * np.ceil(high / 5)
    angles: list[Parameter] = []
    swings: list[Parameter] = []
    for joint in range(most):
        angle = Number(f"angle_{joint}", low, high, 5, f"degrees, the angle of joint_{joint}")
        swing = Number(f"swing_{joint}", 0, 90, 5, f"degrees to either side of angle_{joint}")
        angles.append(angle)
        swings += [angle, swing]
        if most <= 3:
            meaning = f"of joint_{joint}, in periods: 0.25 is at its highest angle at the start"
            swings.append(PHASE._replace(name=f"phase_{joint}", meaning=meaning))
    if most > 3:
        swings.append(PHASE._replace(meaning="in periods, of all the agent's joints"))
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "Swing",
                "drive every joint along angle + swing * sin(2 pi (step / period + phase)), the "
                "step being that of the episode; never finished",
                (PERIOD, STIFFNESS, DAMPING, *swings),
            ),
            Command(
                "Hold",
                "drive every joint to its angle and hold it; never finished",
                (STIFFNESS, DAMPING, *angles),
            ),
            Command("Relax", "no effort; never finished"),
        ),
        conditions=(),
        horizon=max_steps,
    )


def task(body: Body, joints: Joints, agents: tuple[str, ...], max_steps: int) -> str:
    """Who has which joints, and what is rewarded."""
    mine = [
        f"- {agent}: "
        + ", ".join(
            f"joint_{index} is {joint} ({low:.0f} to {high:.0f} degrees)"
            for index, (joint, (low, high)) in enumerate(zip(names, limits, strict=False))
        )
        for agent, names, limits in zip(agents, joints.names, joints.limits, strict=True)
    ]
    owners = "\n".join(mine)
    return f"""\
{body.upright} Every agent moves some joints of the same body; together they shall run forwards as \
fast as they can. Joints and their limits:
{owners}
Parameters of joints that an agent does not have are without effect.

An episode has {max_steps} steps and starts near the body's rest position, with small random \
changes. {body.end}. The effort of a joint, from -1 to 1, is its motor's torque as a share of the \
largest; commands compute it as stiffness * (wanted angle - angle) - damping * speed, cut to \
[-1, 1].

Reward of every agent, per step: {body.reward}. The team's score is the sum over agents and steps.

What one agent observes: angles and speeds of its own joints and of some joints next to them, and \
some of the torso's height, orientation and speed. It does not observe the time."""


ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation, which holds no clock: the moment of \
a swing must show in its own joints or those next to them, so common periods and large, clear \
swings are learnt best.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def describe(state: State, joints: Joints, agents: tuple[str, ...]) -> str:
    """The body at rest."""
    angles = np.degrees(np.asarray(state.pipeline_state.q, float))[joints.q]
    lines = [
        f"{agent}: " + ", ".join(f"{joint} {round(angle) + 0} degrees" for joint, angle in pairs)
        for agent, pairs in zip(
            agents,
            (
                zip(names, row, strict=False)
                for names, row in zip(joints.names, angles, strict=True)
            ),
            strict=True,
        )
    ]
    height = float(state.pipeline_state.x.pos[0, 2])
    return "\n".join([f"height of the torso: {height:.2f} m", *lines])


def feedback(
    states: State, targets: Any, joints: Joints, agents: tuple[str, ...], max_steps: int
) -> dict[str, str]:
    """Averages over episodes, per agent."""
    places = np.asarray(states.pipeline_state.x.pos)[:, :, 0, 0]
    steps = np.asarray(states.info["steps"])[:, -1]
    fallen = (steps < max_steps - 1).mean()  # the last state is from before the last step
    angles = np.degrees(np.asarray(states.pipeline_state.q))[:, :, joints.q]
    off = np.abs(np.degrees(np.asarray(targets.angle)) - angles)
    said = {}
    for n, agent in enumerate(agents):
        kept = [
            f"{joint} from {low:.0f} to {high:.0f} degrees, off by {error:.0f} on average"
            for joint, low, high, error in zip(
                joints.names[n],
                angles[:, :, n].min((0, 1)),
                angles[:, :, n].max((0, 1)),
                off[:, :, n].mean((0, 1)),
                strict=False,
            )
        ]
        said[agent] = (
            f"the body came {(places[:, -1] - places[:, 0]).mean():.2f} m forwards and ended early "
            f"in {fallen:.0%} of the episodes, after {steps.mean() + 1:.0f} steps on average; "
            + "; ".join(kept)
        )
    return said
