"""Commands, instructions and plans: what a model may say, and the same as integers.

A scenario publishes a `Vocabulary`. From it follow the JSON schema that is sent to the model and
the check of what comes back (`answers`), and the encoding that the executor runs.

The paper's structured texts ``[Command, Parameter, AgentID]`` (LEED, arXiv 2509.14680) become one
JSON object per instruction, under the agent's name as key, so that no agent can be forgotten or
instructed twice.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from leed_jax.types import AnyArray

ANY_EPISODE = "any_episode"
"""Name of the only plan of a relational plan set."""

OP, FIRST_ARGUMENT = 0, 1

MAX_LISTED = 16
"""A message lists what was allowed up to this many values; of more it shows the first few."""
SHOWN_OF_MANY = 8
"""Values that a message shows where there are too many to list."""


class Choice(NamedTuple):
    """A parameter with named values."""

    name: str
    options: tuple[str, ...]
    meaning: str
    shown: str | None = None
    """Says in the prompt which values there are, where listing them all would take too long."""


class Number(NamedTuple):
    """A numeric parameter in [low, high], stored in whole multiples of ``resolution``."""

    name: str
    low: float
    high: float
    resolution: float
    meaning: str

    @property
    def whole(self) -> bool:
        """Whether all its values are whole numbers."""
        return float(self.low).is_integer() and float(self.resolution).is_integer()

    def encode(self, value: float) -> int:
        """Steps of ``resolution`` above ``low``."""
        return round((value - self.low) / self.resolution)

    def decode(self, code: Any) -> Any:
        """The value of a code, or of an array of codes."""
        return self.low + code * self.resolution


Parameter = Choice | Number


class Command(NamedTuple):
    """Something an agent can be told to do."""

    name: str
    meaning: str
    parameters: tuple[Parameter, ...] = ()


class Condition(NamedTuple):
    """An event that ends an instruction."""

    name: str
    meaning: str


class Vocabulary(NamedTuple):
    """All that a plan for a scenario may contain."""

    agents: tuple[str, ...]
    commands: tuple[Command, ...]
    conditions: tuple[Condition, ...]
    horizon: int
    """Upper bound of ``max_steps``."""
    max_instructions: int = 16
    """L, per agent."""
    timed: bool = True
    """Instructions may have ``until`` and ``max_steps``, and agents ``repeat``; if not, neither
    prompt nor answers hold them, and every end of an instruction is its command's own."""

    @property
    def num_arguments(self) -> int:
        """Most parameters of any command."""
        return max(len(command.parameters) for command in self.commands)

    @property
    def row_size(self) -> int:
        """F: ``[op, arguments..., until, max_steps, repeat]``."""
        return 1 + self.num_arguments + 3


@dataclass(frozen=True)
class Instruction:
    """One command with its arguments, and what ends it."""

    command: str
    arguments: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    until: str | None = None
    """Name of a condition; without one the command's own notion of being finished."""
    max_steps: int | None = None
    """The instruction ends after this many steps whatever happened."""


@dataclass(frozen=True)
class AgentPlan:
    """Instructions of one agent, in order; the last one stays in force unless they repeat."""

    instructions: tuple[Instruction, ...]
    repeat: bool = False


Plan = Mapping[str, AgentPlan]
"""A plan for every agent, by the agent's name."""


class EncodedPlans(NamedTuple):
    """Plans as padded integers."""

    rows: Int[AnyArray, "P N L F"]
    valid: Bool[AnyArray, "P N L"]


def from_mapping(plans: Mapping[str, Any]) -> dict[str, Plan]:
    """Plans from the JSON form of a checked answer, see `to_mapping`."""
    ends = ("command", "until", "max_steps")
    return {
        name: {
            agent: AgentPlan(
                instructions=tuple(
                    Instruction(
                        command=item["command"],
                        arguments={key: item[key] for key in item if key not in ends},
                        until=item.get("until"),
                        max_steps=item.get("max_steps"),
                    )
                    for item in agent_plan["instructions"]
                ),
                repeat=agent_plan.get("repeat", False),
            )
            for agent, agent_plan in plan.items()
        }
        for name, plan in plans.items()
    }


def to_mapping(plan: Plan, *, timed: bool = True) -> dict[str, Any]:
    """The JSON form of a plan, as an answer holds it; absent ends are left out.

    Args:
      plan: an `AgentPlan` per agent.
      timed: `Vocabulary.timed`; without it there is no ``repeat``.
    """
    return {
        agent: {
            "instructions": [
                {
                    "command": item.command,
                    **item.arguments,
                    **({} if item.until is None else {"until": item.until}),
                    **({} if item.max_steps is None else {"max_steps": item.max_steps}),
                }
                for item in agent_plan.instructions
            ],
            **({"repeat": agent_plan.repeat} if timed else {}),
        }
        for agent, agent_plan in plan.items()
    }


def encode(plans: Sequence[Plan], vocabulary: Vocabulary) -> EncodedPlans:
    """Plans as integers, columns ``[op, arguments..., until, max_steps, repeat]``.

    ``op`` is the command's index, a `Choice` its option's index, a `Number` its multiple of the
    resolution, ``until`` the condition's index plus one (0: none), ``max_steps`` 0 for no limit.
    The last three are 0 throughout for a vocabulary that is not timed.

    Raises:
      ValueError: names plan, agent and position of what the vocabulary does not hold.
    """
    shape = (len(plans), len(vocabulary.agents), vocabulary.max_instructions)
    rows = np.zeros((*shape, vocabulary.row_size), np.int32)
    valid = np.zeros(shape, bool)
    for p, plan in enumerate(plans):
        unknown = set(plan) ^ set(vocabulary.agents)
        if unknown:
            raise ValueError(f"plan {p}: agents must be {vocabulary.agents}, differs in {unknown}")
        for n, agent in enumerate(vocabulary.agents):
            instructions = plan[agent].instructions
            if plan[agent].repeat and not vocabulary.timed:
                raise ValueError(f"plan {p}, {agent}: this vocabulary has no repeat")
            if not 1 <= len(instructions) <= vocabulary.max_instructions:
                raise ValueError(
                    f"plan {p}, {agent}: 1 to {vocabulary.max_instructions} instructions are "
                    f"allowed, got {len(instructions)}"
                )
            for i, instruction in enumerate(instructions):
                try:
                    row = _encode_row(instruction, vocabulary)
                except (KeyError, ValueError) as error:
                    place = f"plan {p}, {agent}, instruction {i + 1}"
                    raise ValueError(f"{place}: {error}") from None
                rows[p, n, i] = [*row, int(plan[agent].repeat)]
                valid[p, n, i] = True
    return EncodedPlans(rows, valid)


def _encode_row(instruction: Instruction, vocabulary: Vocabulary) -> list[int]:
    names = [command.name for command in vocabulary.commands]
    op = _index(instruction.command, names, "command")
    command = vocabulary.commands[op]
    expected = {parameter.name for parameter in command.parameters}
    if set(instruction.arguments) != expected:
        raise ValueError(
            f"{command.name} takes {sorted(expected)}, got {sorted(instruction.arguments)}"
        )
    codes = [_encode_argument(p, instruction.arguments[p.name]) for p in command.parameters]
    codes += [0] * (vocabulary.num_arguments - len(codes))
    ends = (instruction.until, instruction.max_steps)
    if not vocabulary.timed and ends != (None, None):
        raise ValueError("this vocabulary has neither until nor max_steps")
    until = 0
    if instruction.until is not None:
        until = 1 + _index(instruction.until, [c.name for c in vocabulary.conditions], "until")
    limit = instruction.max_steps or 0
    if not 0 <= limit <= vocabulary.horizon or instruction.max_steps == 0:
        raise ValueError(f"max_steps must be in 1..{vocabulary.horizon}, got {limit}")
    return [op, *codes, until, limit]


def _encode_argument(parameter: Parameter, value: str | float) -> int:
    if isinstance(parameter, Choice):
        return _index(str(value), parameter.options, parameter.name)
    if not parameter.low <= float(value) <= parameter.high:
        raise ValueError(
            f"{parameter.name} must be in [{parameter.low}, {parameter.high}], got {value}"
        )
    return parameter.encode(float(value))


def _index(value: str, allowed: Sequence[str], name: str) -> int:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {listed(allowed)}; got {value!r}")
    return list(allowed).index(value)


def listed(values: Sequence[str]) -> str:
    """``values`` with commas between them; of very many only the first, and how many more."""
    if len(values) <= MAX_LISTED:
        return ", ".join(values)
    return f"{', '.join(values[:SHOWN_OF_MANY])} and {len(values) - SHOWN_OF_MANY} more"


def decode(encoded: EncodedPlans, vocabulary: Vocabulary) -> list[Plan]:
    """The plans behind their integers; numbers come back rounded to their resolution."""
    return [
        {
            agent: AgentPlan(
                tuple(
                    _decode_row(row, vocabulary)
                    for row, valid in zip(rows[n], used[n], strict=True)
                    if valid
                ),
                repeat=bool(rows[n, 0, -1]),
            )
            for n, agent in enumerate(vocabulary.agents)
        }
        for rows, used in zip(encoded.rows, encoded.valid, strict=True)
    ]


def _decode_row(row: np.ndarray, vocabulary: Vocabulary) -> Instruction:
    command = vocabulary.commands[int(row[OP])]
    arguments = {}
    for index, parameter in enumerate(command.parameters):
        code = int(row[FIRST_ARGUMENT + index])
        known = isinstance(parameter, Choice)
        # 0 + 12 * 0.05 is more than 0.6: without rounding, what was decoded would not encode.
        if known:
            arguments[parameter.name] = parameter.options[code]
            continue
        number = min(round(parameter.decode(code), 9), parameter.high)
        arguments[parameter.name] = int(number) if parameter.whole else number
    until, limit = int(row[-3]), int(row[-2])
    return Instruction(
        command=command.name,
        arguments=arguments,
        until=vocabulary.conditions[until - 1].name if until else None,
        max_steps=limit or None,
    )
