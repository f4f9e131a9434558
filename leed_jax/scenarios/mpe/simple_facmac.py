"""``mpe/simple_facmac*``: predators with continuous actions hunt prey that JaxMARL moves."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Condition
from leed_jax.scenarios import Scenario
from leed_jax.scenarios.mpe._particles import HORIZON
from leed_jax.scenarios.mpe._pursuit import controls, report, words
from leed_jax.scenarios.mpe._pursuit.field import Field, Hunted, measures
from leed_jax.types import State

SIZES = {
    "mpe/simple_facmac": Field(3, 1, 2),
    "mpe/simple_facmac_3a": Field(3, 1, 2),
    "mpe/simple_facmac_6a": Field(6, 2, 4),
    "mpe/simple_facmac_9a": Field(9, 3, 6),
}
NAMES = tuple(SIZES)
VIEW = 1.5
"""Units; see `sees_others`."""
PREY_DRIFT = {1: 0.1, 2: 0.2, 3: 0.25}
"""Mean speed of a prey by their number, units/s, measured while predators stand still."""


def make(name: str) -> Scenario:
    """The scenario; the predators are its agents, the environment moves the prey."""
    field = SIZES[name]
    game = jaxmarl.load(name.replace("mpe/", "MPE_") + "_v1")
    # step_env wants actions of the prey, too, and puts its own in their place.
    hunted = Hunted(game, field, lambda key, state: jnp.zeros((field.num_prey, 5)))
    env = jaxmarl.as_array_env(hunted, name=name, horizon=HORIZON, measures=measures(field))
    agents = env.spec.agents
    sight = Condition("sees_others", "the agent observes the others, see above")
    vocabulary = words.vocabulary(agents, field, (*words.conditions(field), sight))
    return Scenario(
        name=name,
        options={},
        env=env,
        vocabulary=vocabulary,
        task=_task(field),
        describe=lambda state: report.describe(field, agents, state),
        controls=controls.make(
            field,
            vocabulary,
            (lambda state, target: sees_others(field, state),),
            continuous=True,
        ),
        advice=words.ADVICE,
        feedback=lambda states, targets: report.feedback(field, agents, states, targets),
        draw=lambda axes, state, targets: report.draw(field, axes, state, targets),
    )


def sees_others(field: Field, state: State) -> Bool[Array, "N"]:
    """Whose observation holds the others.

    JaxMARL compares the view radius with the root of the sum of all squared distances, so an agent
    sees all of them or none (jaxmarl/environments/mpe/simple_facmac.py, ``get_obs``).
    """
    everyone = state.p_pos[: field.num_predators + field.num_prey]
    hunters = field.part(state.p_pos, "predators")
    return ((hunters[:, None] - everyone) ** 2).sum((-1, -2)) <= VIEW**2


def _task(field: Field) -> str:
    every = field.num_predators
    others = every + field.num_prey - 1
    which = "the prey" if field.num_prey == 1 else f"prey_{field.num_prey - 1}"
    return f"""\
{every} predators (your agents) hunt {field.num_prey} prey among {field.num_obstacles} obstacles \
on a plane. They shall touch the prey as often as possible.

{words.motion(field)} In each step a predator pushes left or right and, at the same time, up or \
down, each as strongly as it likes up to the full push.

The environment moves the prey by a rule of its own that has little to do with fleeing: a prey \
drifts at about {PREY_DRIFT[field.num_prey]:g} units/s, at most 0.4, unless it is pushed, and \
changes its course. The difficulty is to stay in touch with what one pushes away, and not to be \
in the way of the others.

Reward: after each step, every predator gets 10 for every pair of a predator and a prey that \
touch, whoever they are. The team's score of an episode is the sum over predators and steps, so a \
touch counts {10 * every} per step; 0 is a failure.

What one predator observes: its own velocity and position; where every obstacle, every other \
predator and every prey is relative to itself, always in the same order; the velocity of {which}. \
But it sees the {others} others only while the root of the sum of their squared distances is at \
most {VIEW}, all of them or none (zeros), and the same holds for the obstacles: it sees the others \
only where most of them are close. It observes neither the velocities of the other predators nor \
their intentions. The program that carries out your instructions sees everything."""
