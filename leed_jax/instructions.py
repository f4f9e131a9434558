"""Commands, instructions and plans: what a model may say, checked, and as integers.

A scenario publishes a `Vocabulary`. From it follow the JSON schema that is sent to the model, the
check of what comes back, and the encoding that the executor runs. An answer is data: it is parsed
as JSON, checked, and never evaluated.

The paper's structured texts ``[Command, Parameter, AgentID]`` (LEED, arXiv 2509.14680) become one
JSON object per instruction, under the agent's name as key, so that no agent can be forgotten or
instructed twice.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
from jaxtyping import Bool, Int

from leed_jax.types import AnyArray

MAX_ANSWER_CHARACTERS = 200_000
"""Longer answers are refused unread."""
MAX_REPORTED_ERRORS = 12
"""A rejection names this many faults at most, so that feedback stays short."""
ANY_EPISODE = "any_episode"
"""Name of the only plan of a relational plan set."""

OP, FIRST_ARGUMENT = 0, 1


class Choice(NamedTuple):
    """A parameter with named values."""

    name: str
    options: tuple[str, ...]
    meaning: str


class Number(NamedTuple):
    """A numeric parameter in [low, high], stored in whole multiples of ``resolution``."""

    name: str
    low: float
    high: float
    resolution: float
    meaning: str

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


class InvalidAnswerError(ValueError):
    """An answer that is no valid plan set; the message is fit to be sent back to its author."""


def _strict(name: str, **fields: Any) -> type[pydantic.BaseModel]:
    config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)
    return pydantic.create_model(name, __config__=config, **fields)


def _parameter_type(parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return (Literal[parameter.options], ...)
    limits = pydantic.Field(ge=parameter.low, le=parameter.high, allow_inf_nan=False)
    return (float, limits)


@functools.cache
def _answer_model(vocabulary: Vocabulary, plan_names: tuple[str, ...]) -> type[pydantic.BaseModel]:
    """The pydantic model of a whole answer: the one source of schema and check."""
    limit = pydantic.Field(default=None, ge=1, le=vocabulary.horizon)
    ends: dict[str, Any] = {"max_steps": (int | None, limit)}
    if vocabulary.conditions:
        condition: Any = Literal[tuple(condition.name for condition in vocabulary.conditions)]
        ends["until"] = (condition | None, None)
    commands = [
        _strict(
            command.name,
            command=(Literal[command.name], ...),
            **{parameter.name: _parameter_type(parameter) for parameter in command.parameters},
            **ends,
        )
        for command in vocabulary.commands
    ]
    instruction = functools.reduce(lambda union, model: union | model, commands[1:], commands[0])
    if len(commands) > 1:
        instruction = Annotated[instruction, pydantic.Field(discriminator="command")]
    length = pydantic.Field(min_length=1, max_length=vocabulary.max_instructions)
    agent = _strict("AgentPlan", instructions=(list[instruction], length), repeat=(bool, False))
    plan = _strict("Plan", **{name: (agent, ...) for name in vocabulary.agents})
    plans = _strict("Plans", **{name: (plan, ...) for name in plan_names})
    comment = pydantic.Field(default="", max_length=4000)
    return _strict("Answer", comment=(str, comment), plans=(plans, ...))


def json_schema(vocabulary: Vocabulary, plan_names: Sequence[str]) -> dict[str, Any]:
    """JSON schema of an answer, in the subset that providers accept for strict output.

    Every property is required (optional ones may be null), alternatives are ``anyOf``, and there
    are no defaults: what OpenAI's strict mode and llama.cpp's grammars have in common. The answer
    is checked again on our side, where optional fields may be left out.
    """

    def clean(node: Any) -> Any:
        if isinstance(node, list):
            return [clean(item) for item in node]
        if not isinstance(node, dict):
            return node
        renamed = {"anyOf" if key == "oneOf" else key: value for key, value in node.items()}
        kept = {
            # Under these two the keys are names of parameters and models, not words of JSON schema.
            key: {name: clean(item) for name, item in value.items()}
            if key in ("properties", "$defs")
            else clean(value)
            for key, value in renamed.items()
            if key not in ("default", "discriminator", "title")
        }
        if kept.get("type") == "object":
            kept["required"] = list(kept["properties"])
        return kept

    return clean(_answer_model(vocabulary, tuple(plan_names)).model_json_schema())


def parse(
    text: str, vocabulary: Vocabulary, plan_names: Sequence[str] = (ANY_EPISODE,)
) -> dict[str, Plan]:
    """The plans in a model's answer, by name.

    Args:
      text: the answer, untrusted: one JSON object and nothing around it.
      vocabulary: what may be said.
      plan_names: names that ``plans`` must hold, each exactly once.

    Raises:
      InvalidAnswerError: says what is wrong where (plan, agent, position of the instruction,
        field) and what was allowed, for at most `MAX_REPORTED_ERRORS` faults.
    """
    if len(text) > MAX_ANSWER_CHARACTERS:
        raise InvalidAnswerError(
            f"The answer has {len(text):,} characters; {MAX_ANSWER_CHARACTERS:,} are allowed."
        )
    stripped = text.strip()
    if not stripped:
        raise InvalidAnswerError("The answer is empty; a JSON object was expected.")
    if not stripped.startswith("{"):
        what = "a code fence" if stripped.startswith("```") else "text"
        raise InvalidAnswerError(
            f"The answer starts with {what} ({_quote(stripped[:40])}); it must be one JSON object, "
            "from { to }, with nothing before or after it."
        )
    try:
        answer = _answer_model(vocabulary, tuple(plan_names)).model_validate_json(stripped)
    except pydantic.ValidationError as error:
        raise InvalidAnswerError(_explain(error, vocabulary, plan_names)) from None
    return from_mapping(answer.model_dump()["plans"])


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
                repeat=agent_plan["repeat"],
            )
            for agent, agent_plan in plan.items()
        }
        for name, plan in plans.items()
    }


def to_mapping(plan: Plan) -> dict[str, Any]:
    """The JSON form of a plan, as an answer holds it; absent ends are left out."""
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
            "repeat": agent_plan.repeat,
        }
        for agent, agent_plan in plan.items()
    }


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _explain(
    error: pydantic.ValidationError, vocabulary: Vocabulary, plan_names: Sequence[str]
) -> str:
    """The faults in words: where, what was found, what was allowed."""
    faults = error.errors(include_url=False)
    lines = []
    for fault in faults[:MAX_REPORTED_ERRORS]:
        path = list(fault["loc"])
        # With a single command there is no union, and pydantic leaves its tag out of the path.
        if path[3:4] == ["instructions"] and len(path) > 5 and len(vocabulary.commands) == 1:
            path.insert(5, vocabulary.commands[0].name)
        allowed = ", ".join(_names_allowed(path, vocabulary, plan_names))
        lines.append(f"- {_place(path)}: {_fault(fault, allowed)}")
    if len(faults) > MAX_REPORTED_ERRORS:
        lines.append(f"- and {len(faults) - MAX_REPORTED_ERRORS} more")
    return "The answer is not valid:\n" + "\n".join(lines)


def _place(path: Sequence[int | str]) -> str:
    # Names come from the answer: an unknown one may be of any length.
    names = [str(name) if len(str(name)) <= 80 else str(name)[:77] + "..." for name in path]
    if len(names) < 2 or names[0] != "plans":
        return ".".join(names) or "the answer"
    parts = [f"plan {names[1]!r}", *names[2:3]]
    rest = names[3:]
    if rest[:1] == ["instructions"] and len(rest) > 1:
        parts.append(f"instruction {int(rest[1]) + 1}")
        parts += [f"command {name}" for name in rest[2:3]]
        rest = rest[3:]
    parts += [f"field {name}" for name in rest]
    return ", ".join(parts)


def _names_allowed(
    path: Sequence[int | str], vocabulary: Vocabulary, plan_names: Sequence[str]
) -> Sequence[str]:
    """What the last name of ``path`` could have been."""
    by_depth = (("comment", "plans"), plan_names, vocabulary.agents, ("instructions", "repeat"))
    if len(path) <= len(by_depth):
        return by_depth[max(len(path), 1) - 1]
    if len(path) == 5:
        return [command.name for command in vocabulary.commands]
    ends = ("until", "max_steps") if vocabulary.conditions else ("max_steps",)
    for command in vocabulary.commands:
        if command.name in path[5:6]:
            return ("command", *(parameter.name for parameter in command.parameters), *ends)
    return ()


def _fault(fault: Any, allowed: str) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is not a known name here; allowed: {allowed}"
    if kind == "union_tag_invalid":
        return f"unknown command {_quote(context['tag'])}; allowed: {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"has no 'command'; allowed: {allowed}"
    if kind == "json_invalid":
        return f"is not JSON: {context['error']}"
    return f"{fault['msg']} (got {_quote(fault['input'])})"


def encode(plans: Sequence[Plan], vocabulary: Vocabulary) -> EncodedPlans:
    """Plans as integers, columns ``[op, arguments..., until, max_steps, repeat]``.

    ``op`` is the command's index, a `Choice` its option's index, a `Number` its multiple of the
    resolution, ``until`` the condition's index plus one (0: none), ``max_steps`` 0 for no limit.

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
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return list(allowed).index(value)


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
        arguments[parameter.name] = (
            parameter.options[code]
            if known
            else min(round(parameter.decode(code), 9), parameter.high)
        )
    until, limit = int(row[-3]), int(row[-2])
    return Instruction(
        command=command.name,
        arguments=arguments,
        until=vocabulary.conditions[until - 1].name if until else None,
        max_steps=limit or None,
    )
