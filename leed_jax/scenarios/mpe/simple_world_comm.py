"""``mpe/simple_world_comm``: a leader that speaks and three more hunt two prey (JaxMARL)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Condition
from leed_jax.scenarios import Scenario
from leed_jax.scenarios.mpe._particles import HORIZON
from leed_jax.scenarios.mpe._pursuit import controls, report, words
from leed_jax.scenarios.mpe._pursuit import prey as prey_rules
from leed_jax.scenarios.mpe._pursuit.controls import Target
from leed_jax.scenarios.mpe._pursuit.field import FOREST_RADIUS, Field, Hunted, distances, measures
from leed_jax.types import State

NAMES = ("mpe/simple_world_comm",)
PREY = ("forage", "flee", "random")
FIELD = Field(4, 2, 1, num_food=2, num_forests=2, prey_radius=0.045)


def make(name: str, *, prey: str = "forage") -> Scenario:
    """The scenario with discrete actions; the predators are its agents, the prey keep to a rule.

    Args:
      name: of `NAMES`.
      prey: a rule of `prey_rules`: "forage" goes for food and flees when a predator comes near,
        "flee" flees all the time, "random" takes any push.

    Raises:
      ValueError: no such rule.
    """
    if prey not in PREY:
        raise ValueError(f"{name}: prey must be one of {', '.join(PREY)}, got {prey!r}")
    game = jaxmarl.load("MPE_simple_world_comm_v3", action_type="Discrete")
    rule = prey_rules.RULES[prey]
    hunted = Hunted(game, FIELD, lambda key, state: rule(FIELD, key, state))
    env = jaxmarl.as_array_env(hunted, name=name, horizon=HORIZON, measures=measures(FIELD))
    agents = env.spec.agents
    hiding = Condition("prey_in_forest", "its prey (or the nearest one) is in a forest")
    conditions = (*words.conditions(FIELD), hiding)
    vocabulary = words.vocabulary(agents, FIELD, conditions, speaks=True)
    return Scenario(
        name=name,
        options={"prey": prey},
        env=env,
        vocabulary=vocabulary,
        task=_task(prey),
        describe=lambda state: report.describe(FIELD, agents, state),
        controls=controls.make(FIELD, vocabulary, (_prey_in_forest,), speaks=True),
        advice=words.ADVICE,
        feedback=lambda states, targets: report.feedback(FIELD, agents, states, targets),
        draw=lambda axes, state, targets: report.draw(FIELD, axes, state, targets),
    )


def _prey_in_forest(state: State, target: Target) -> Bool[Array, "N"]:
    forests = FIELD.part(state.p_pos, "forests")
    apart = jnp.linalg.norm(FIELD.part(state.p_pos, "prey")[:, None] - forests, axis=-1)
    hidden = (apart < FOREST_RADIUS + FIELD.prey_radius).any(-1)
    nearest = distances(FIELD, state).argmin(-1)
    return hidden[jnp.where(target.prey >= 0, target.prey, nearest)]


def _task(prey: str) -> str:
    every = FIELD.num_predators
    return f"""\
{every} predators (your agents: leadadversary_0, the leader, and adversary_0 to 2) hunt 2 prey on \
a plane with 1 obstacle, 2 pieces of food and 2 forests. They shall touch the prey as often as \
possible.

{words.motion(FIELD)} A predator pushes left, right, down, up or not at all in each step. Food is \
a dot that is never used up. Forests are discs of radius {FOREST_RADIUS} that anybody can enter; \
who is in one is seen only by those in the same one, and does not see out; the leader sees \
everybody.

{words.prey_speed()} {prey_rules.WORDS[prey]}

Reward: after each step, every predator gets 5 for every pair of a predator and a prey that touch, \
whoever they are, minus 0.1 times its own distance to the prey nearest to it. The team's score of \
an episode is the sum over predators and steps, so a touch counts {5 * every} per step.

What one predator observes: its own velocity and position; where the obstacle, the food, the \
forests, the other predators and the prey are relative to itself, always in the same order; the \
velocities of the prey; for each forest, whether it is in it itself; and what the leader said in \
the step before, a symbol from 0 to 3. Places and velocities of those that it does not see read 0. \
It observes neither the velocities of the other predators nor their intentions. The program that \
carries out your instructions sees everything."""
