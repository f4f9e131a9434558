"""``switch_riddle/prisoners``: who knows that everyone was in the room? (JaxMARL)."""

from leed_jax.scenarios import Scenario
from leed_jax.scenarios.switch_riddle import controls, drawing, game, words

NAMES = ("switch_riddle/prisoners",)


def make(name: str, *, num_agents: int = 3) -> Scenario:
    """The scenario for a number of prisoners.

    Raises:
      ValueError: fewer than three, JaxMARL's minimum.
    """
    if num_agents < 3:
        raise ValueError(f"{name}: num_agents must be at least 3, got {num_agents}")
    env = game.array_env(name, num_agents)
    vocabulary = words.vocabulary(env.spec.agents)
    return Scenario(
        name=name,
        options={"num_agents": num_agents},
        env=env,
        vocabulary=vocabulary,
        task=words.task(num_agents),
        describe=words.describe,
        controls=controls.controls(vocabulary.commands[0].parameters),
        advice=words.ADVICE,
        feedback=lambda states, targets: words.feedback(states, targets, env.spec.agents),
        draw=drawing.draw,
    )
