"""Whether an answer is valid, by the rules as written down, without pydantic."""

import functools
import json
from typing import Any

from leed_jax.instructions import Choice, Command, Number, Vocabulary


class _Invalid(Exception):
    pass


def valid(text: str, vocabulary: Vocabulary, names: tuple[str, ...]) -> bool:
    """Whether ``text`` is a valid answer, by the rules as written down, without pydantic."""
    if len(text) > 200_000:
        return False
    text = text.strip()
    try:
        answer = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        _need(
            isinstance(answer, dict) and set(answer) <= {"comment", "plans"} and "plans" in answer
        )
        comment = answer.get("comment", "")
        _need(isinstance(comment, str) and len(comment) <= 4000 and not _surrogates(comment))
        _object(answer["plans"], names)
        for plan in answer["plans"].values():
            _object(plan, vocabulary.agents)
            for agent in plan.values():
                _agent(agent, vocabulary)
    except (ValueError, RecursionError, _Invalid):
        return False
    return True


def _need(good: bool) -> None:
    if not good:
        raise _Invalid


def _refuse(token: str) -> None:
    raise _Invalid


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _need(len({name for name, _ in pairs}) == len(pairs))
    return dict(pairs)


def _surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _object(value: Any, names: Any) -> None:
    _need(isinstance(value, dict) and set(value) == set(names))


def _agent(agent: Any, vocabulary: Vocabulary) -> None:
    known = {"instructions", "repeat"} if vocabulary.timed else {"instructions"}
    _need(isinstance(agent, dict) and "instructions" in agent and set(agent) <= known)
    _need(isinstance(agent.get("repeat", False), bool))
    rows = agent["instructions"]
    _need(isinstance(rows, list) and 1 <= len(rows) <= vocabulary.max_instructions)
    for row in rows:
        _need(isinstance(row, dict) and isinstance(row.get("command"), str))
        command = _commands(vocabulary).get(row["command"])
        _need(command is not None)
        assert command is not None
        parameters = {parameter.name: parameter for parameter in command.parameters}
        _need(set(parameters) <= set(row))
        for name, value in row.items():
            if name in parameters:
                _argument(value, parameters[name])
            elif name != "command":
                _end(name, value, vocabulary)


@functools.cache
def _commands(vocabulary: Vocabulary) -> dict[str, Command]:
    return {command.name: command for command in vocabulary.commands}


def _argument(value: Any, parameter: Choice | Number) -> None:
    if isinstance(parameter, Choice):
        return _need(isinstance(value, str) and value in parameter.options)
    kinds = (int,) if parameter.whole else (int, float)
    _need(type(value) in kinds and parameter.low <= value <= parameter.high)


def _end(name: str, value: Any, vocabulary: Vocabulary) -> None:
    _need(vocabulary.timed and name in ("until", "max_steps"))
    if value is None:
        return _need(name == "max_steps" or bool(vocabulary.conditions))
    if name == "max_steps":
        return _need(type(value) is int and 1 <= value <= vocabulary.horizon)
    _need(isinstance(value, str) and value in {c.name for c in vocabulary.conditions})
