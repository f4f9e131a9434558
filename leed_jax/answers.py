"""A model's answer, untrusted: the JSON schema it is asked to keep to, and the check that it did.

An answer is data: it is parsed as JSON, checked, and never evaluated. One pydantic model serves the
schema and the check.
"""

import functools
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic

from leed_jax import instructions
from leed_jax.instructions import ANY_EPISODE, Choice, Parameter, Plan, Vocabulary

MAX_ANSWER_CHARACTERS = 200_000
"""Longer answers are refused unread."""
MAX_REPORTED_ERRORS = 12
"""A rejection names this many faults at most, so that feedback stays short."""


class InvalidAnswerError(ValueError):
    """An answer that is no valid plan set; the message is fit to be sent back to its author."""


def _strict(name: str, **fields: Any) -> type[pydantic.BaseModel]:
    config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)
    return pydantic.create_model(name, __config__=config, **fields)


def _parameter_type(parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return (Literal[parameter.options], ...)
    limits = pydantic.Field(ge=parameter.low, le=parameter.high, allow_inf_nan=False)
    return (int if parameter.whole else float, limits)


@functools.cache
def _answer_model(vocabulary: Vocabulary, plan_names: tuple[str, ...]) -> type[pydantic.BaseModel]:
    """The pydantic model of a whole answer: the one source of schema and check."""
    ends: dict[str, Any] = {}
    if vocabulary.timed:
        limit = pydantic.Field(default=None, ge=1, le=vocabulary.horizon)
        ends["max_steps"] = (int | None, limit)
    if vocabulary.timed and vocabulary.conditions:
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
    again: dict[str, Any] = {"repeat": (bool, False)} if vocabulary.timed else {}
    agent = _strict("AgentPlan", instructions=(list[instruction], length), **again)
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
    _require_once(stripped)
    return instructions.from_mapping(answer.model_dump()["plans"])


def _require_once(text: str) -> None:
    """Refuses a name that an object holds twice: which of the two was meant nobody knows.

    JSON leaves it open, and pydantic takes the last one.
    """

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InvalidAnswerError(
                    f"The answer is not valid:\n- {_quote(name)} is there twice in one object"
                )
            found[name] = value
        return found

    json.loads(text, object_pairs_hook=check)


def _quote(value: Any) -> str:
    if isinstance(value, str):
        value = value[:100]  # what is cut anyway need not be quoted first
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _bare(name: Any) -> str:
    """A name from an answer, without quotes unless it could be taken for something else."""
    text = str(name)
    if not text.isprintable():
        return _quote(text)
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
        if fault["type"] == "literal_error":
            allowed = _values_allowed(path, vocabulary)
        else:
            allowed = _names_allowed(path, vocabulary, plan_names)
        lines.append(f"- {_place(path)}: {_fault(fault, allowed)}")
    if len(faults) > MAX_REPORTED_ERRORS:
        lines.append(f"- and {len(faults) - MAX_REPORTED_ERRORS} more")
    return "The answer is not valid:\n" + "\n".join(lines)


def _place(path: Sequence[int | str]) -> str:
    # Names come from the answer: an unknown one may be of any length.
    names = [_bare(name) for name in path]
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
    of_agent = ("instructions", "repeat") if vocabulary.timed else ("instructions",)
    by_depth = (("comment", "plans"), plan_names, vocabulary.agents, of_agent)
    if len(path) <= len(by_depth):
        return by_depth[max(len(path), 1) - 1]
    if len(path) == 5:
        return [command.name for command in vocabulary.commands]
    ends: tuple[str, ...] = ()
    if vocabulary.timed:
        ends = ("until", "max_steps") if vocabulary.conditions else ("max_steps",)
    for command in vocabulary.commands:
        if command.name in path[5:6]:
            return ("command", *(parameter.name for parameter in command.parameters), *ends)
    return ()


def _values_allowed(path: Sequence[int | str], vocabulary: Vocabulary) -> Sequence[str]:
    """The values of the field that ``path`` ends at, if it is one with named values."""
    if path[-1:] == ["until"]:
        return [condition.name for condition in vocabulary.conditions]
    for command in vocabulary.commands:
        for parameter in command.parameters:
            if path[5:] == [command.name, parameter.name] and isinstance(parameter, Choice):
                return parameter.options
    return ()


def _fault(fault: Any, names: Sequence[str]) -> str:
    """A fault in words; ``names`` are those that were allowed in its place."""
    kind, context = fault["type"], fault.get("ctx", {})
    allowed = instructions.listed(names)
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is not a known name here; allowed: {allowed}"
    if kind == "union_tag_invalid":
        tags = instructions.listed([repr(name) for name in names])
        return f"unknown command {_quote(context['tag'])}; allowed: {tags}"
    if kind == "union_tag_not_found":
        return f"has no 'command'; allowed: {allowed}"
    if kind == "json_invalid":
        return f"is not JSON: {context['error']}"
    if kind == "literal_error" and len(names) > instructions.MAX_LISTED:
        # pydantic's own message names every value.
        return f"must be one of {allowed} (got {_quote(fault['input'])})"
    return f"{fault['msg']} (got {_quote(fault['input'])})"
