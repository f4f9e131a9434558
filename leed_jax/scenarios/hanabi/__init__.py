"""``hanabi/full``: two to five players with all 50 cards (JaxMARL); plans are lists of rules."""

from leed_jax.scenarios import Scenario
from leed_jax.scenarios.hanabi import drawing, reports, rules, table, words

NAMES = ("hanabi/full",)


def make(name: str, *, num_agents: int = 2) -> Scenario:
    """The scenario for a number of players.

    Raises:
      ValueError: fewer than two players, or more than five.
    """
    if not 2 <= num_agents <= 5:
        raise ValueError(f"{name}: num_agents must be from 2 to 5, got {num_agents}")
    env = table.array_env(name, num_agents)
    agents = env.spec.agents
    vocabulary = words.vocabulary(agents)
    return Scenario(
        name=name,
        options={"num_agents": num_agents},
        env=env,
        vocabulary=vocabulary,
        task=words.task(num_agents),
        describe=words.describe,
        controls=rules.controls(vocabulary.commands),
        advice=words.advice(num_agents),
        feedback=lambda states, targets: reports.feedback(states, targets, agents),
        draw=drawing.draw,
    )
