"""Plans drawn at random from a vocabulary: what instructions are worth is seen beside them."""

import numpy as np

from leed_jax.instructions import AgentPlan, Choice, Instruction, Parameter, Plan, Vocabulary


def random_plan(vocabulary: Vocabulary, seed: int) -> Plan:
    """A valid plan: for every agent 1 to L instructions, each uniform over what may be said.

    The number of instructions is uniform, as are commands and their parameters. Where a vocabulary
    is timed, half of the instructions have ``max_steps``, half ``until`` (where there are
    conditions), and half of the agents repeat their list.

    Args:
      vocabulary: of the scenario.
      seed: of the draw.
    """
    draw = np.random.default_rng(seed)

    def agent() -> AgentPlan:
        count = int(draw.integers(1, vocabulary.max_instructions + 1))
        repeat = bool(vocabulary.timed and draw.integers(2))
        return AgentPlan(tuple(_instruction(vocabulary, draw) for _ in range(count)), repeat)

    return {name: agent() for name in vocabulary.agents}


def corrupted(plan: Plan, vocabulary: Vocabulary, share: float, seed: int) -> Plan:
    """``plan`` with every instruction replaced by a random one with probability ``share``.

    Lists keep their lengths, and a replacement is as in `random_plan`; it may happen to be what it
    replaces.

    Args:
      plan: of the whole team.
      vocabulary: of the scenario.
      share: in [0, 1].
      seed: of the draw.

    Raises:
      ValueError: the share is out of range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share of corrupted instructions must be in [0, 1], got {share}")
    draw = np.random.default_rng(seed)

    def instruction(original: Instruction) -> Instruction:
        return _instruction(vocabulary, draw) if draw.random() < share else original

    return {
        name: AgentPlan(tuple(map(instruction, agent.instructions)), agent.repeat)
        for name, agent in plan.items()
    }


def _instruction(vocabulary: Vocabulary, draw: np.random.Generator) -> Instruction:
    """Uniform over what may be said."""
    command = vocabulary.commands[int(draw.integers(len(vocabulary.commands)))]
    until = limit = None
    if vocabulary.timed and draw.integers(2):
        limit = int(draw.integers(1, vocabulary.horizon + 1))
    if vocabulary.timed and vocabulary.conditions and draw.integers(2):
        until = vocabulary.conditions[int(draw.integers(len(vocabulary.conditions)))].name
    arguments = {parameter.name: _value(parameter, draw) for parameter in command.parameters}
    return Instruction(command.name, arguments, until, limit)


def _value(parameter: Parameter, draw: np.random.Generator) -> str | float:
    if isinstance(parameter, Choice):
        return parameter.options[int(draw.integers(len(parameter.options)))]
    steps = parameter.encode(parameter.high)
    number = min(round(parameter.decode(int(draw.integers(steps + 1))), 9), parameter.high)
    return int(number) if parameter.whole else number
