"""``mpe/simple_tag``: predators hunt a faster prey among obstacles (JaxMARL)."""

from leed_jax.environments import jaxmarl
from leed_jax.scenarios import Scenario
from leed_jax.scenarios.mpe._particles import HORIZON
from leed_jax.scenarios.mpe._pursuit import controls, report, words
from leed_jax.scenarios.mpe._pursuit import prey as prey_rules
from leed_jax.scenarios.mpe._pursuit.field import Field, Hunted, measures

NAMES = ("mpe/simple_tag",)
PREY = ("flee", "random")


def make(
    name: str,
    *,
    prey: str = "flee",
    num_adversaries: int = 3,
    num_good_agents: int = 1,
    num_obs: int = 2,
) -> Scenario:
    """The scenario; the predators are its agents, the prey keeps to a rule.

    Args:
      name: of `NAMES`.
      prey: "flee", away from the predators by the rule in `prey_rules.flee`, or "random", any push.
      num_adversaries: predators.
      num_good_agents: prey.
      num_obs: obstacles.

    Raises:
      ValueError: no such rule, no predator, no prey, or less than no obstacles.
    """
    if prey not in PREY:
        raise ValueError(f"{name}: prey must be one of {', '.join(PREY)}, got {prey!r}")
    counts = {"num_adversaries": num_adversaries, "num_good_agents": num_good_agents}
    for option, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: {option} must be at least 1, got {count}")
    if num_obs < 0:
        raise ValueError(f"{name}: num_obs must be at least 0, got {num_obs}")
    counts["num_obs"] = num_obs
    field = Field(num_adversaries, num_good_agents, num_obs)
    game = jaxmarl.load("MPE_simple_tag_v3", **counts)
    rule = prey_rules.RULES[prey]
    hunted = Hunted(game, field, lambda key, state: rule(field, key, state))
    env = jaxmarl.as_array_env(hunted, name=name, horizon=HORIZON, measures=measures(field))
    agents = env.spec.agents
    vocabulary = words.vocabulary(agents, field, words.conditions(field))
    return Scenario(
        name=name,
        options={"prey": prey, **counts},
        env=env,
        vocabulary=vocabulary,
        task=_task(field, prey),
        describe=lambda state: report.describe(field, agents, state),
        controls=controls.make(field, vocabulary),
        advice=words.ADVICE,
        feedback=lambda states, targets: report.feedback(field, agents, states, targets),
        draw=lambda axes, state, targets: report.draw(field, axes, state, targets),
    )


def _task(field: Field, prey: str) -> str:
    every = field.num_predators
    which = "the prey" if field.num_prey == 1 else "the last prey"
    return f"""\
{every} predators (your agents) hunt {field.num_prey} prey among {field.num_obstacles} obstacles \
on a plane. They shall touch the prey as often as possible.

{words.motion(field)} A predator pushes left, right, down, up or not at all in each step.

{words.prey_speed()} {prey_rules.WORDS[prey]}

Reward: after each step, every predator gets 10 for every pair of a predator and a prey that \
touch, whoever they are. The team's score of an episode is the sum over predators and steps, so a \
touch counts {10 * every} per step; 0 is a failure.

What one predator observes: its own velocity and position; where every obstacle, every other \
predator and every prey is relative to itself, always in the same order; the velocity of {which}. \
It observes neither the velocities of the other predators nor their intentions."""
