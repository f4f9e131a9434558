"""Plans written by hand in Python, checked as a model's answer is, and plans drawn at random."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from leed_jax import answers, instructions, random_plans
from leed_jax.instructions import AgentPlan, Instruction, Plan, Vocabulary
from leed_jax.scenarios import Scenario

_ENDS = ("until", "max_steps")


def plan(
    scenario: Scenario,
    told: Mapping[str, Any] | Sequence[Any],
    *,
    repeat: bool | Collection[str] = False,
) -> Plan:
    """A plan from short forms of instructions.

        leed.plan(scenario, {
            "agent_0": [("MoveTo", "landmark_0", 0.3, {"max_steps": 10}), "Hold"],
            "agent_1": [("MoveTo", {"target": "landmark_1", "keep_distance": 0.3})],
        })

    An instruction is a tuple of its command and the values of its parameters, in the vocabulary's
    order; a mapping at its end holds parameters by name, and ``until`` and ``max_steps``. A command
    alone may stand without the tuple. `Instruction`s, and mappings as in a model's answer, will do
    too.

    Args:
      scenario: with the vocabulary.
      told: a list of instructions, or an `AgentPlan`, for every agent; or one list for all.
      repeat: whose lists start over at their ends: all, none, or these agents'.

    Raises:
      InvalidAnswerError: a ``ValueError``, the same as for a model's answer: it names agent,
        position and field of every fault, and what was allowed.
      ValueError: something that cannot be read as an instruction; the message names the place.
    """
    vocabulary = scenario.vocabulary
    if not isinstance(told, Mapping):
        told = dict.fromkeys(vocabulary.agents, told)
    again = set(told) if repeat is True else set(repeat or ())
    if again - set(told):
        raise ValueError(f"repeat: agents are {list(told)}, got {sorted(again)}")
    written = {}
    for agent, given in told.items():
        if isinstance(given, AgentPlan):
            lists, repeats = list(given.instructions), given.repeat or agent in again
        elif isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError(f"{agent}: must be a list of instructions, got {given!r}")
        else:
            lists, repeats = list(given), agent in again
        items = [
            _item(f"{agent}, instruction {i + 1}", each, vocabulary) for i, each in enumerate(lists)
        ]
        written[agent] = {"instructions": items, **({"repeat": True} if repeats else {})}
    text = json.dumps({"plans": {instructions.ANY_EPISODE: written}}, default=_plain)
    return answers.parse(text, vocabulary)[instructions.ANY_EPISODE]


def random_plan(scenario: Scenario, seed: int = 0) -> Plan:
    """A valid plan drawn at random: see `leed_jax.random_plans.random_plan`.

    Args:
      scenario: with the vocabulary.
      seed: of the draw.
    """
    return random_plans.random_plan(scenario.vocabulary, seed)


def _item(place: str, given: Any, vocabulary: Vocabulary) -> dict[str, Any]:
    """An instruction in its JSON form, unchecked but for what JSON could not say."""
    if isinstance(given, Instruction):
        ends = {name: getattr(given, name) for name in _ENDS}
        ends = {name: value for name, value in ends.items() if value is not None}
        return {"command": given.command, **given.arguments, **ends}
    if isinstance(given, Mapping):
        return dict(given)
    parts = (given,) if isinstance(given, str) else given
    if not isinstance(parts, tuple) or not parts or not isinstance(parts[0], str):
        raise ValueError(
            f"{place}: must be a command's name, or a tuple that begins with it, got {given!r}"
        )
    name, *values = parts
    named = dict(values.pop()) if values and isinstance(values[-1], Mapping) else {}
    parameters = {
        command.name: [parameter.name for parameter in command.parameters]
        for command in vocabulary.commands
    }.get(name)
    if parameters is None:  # the check says what there is
        return {"command": name, **named}
    if len(values) > len(parameters):
        takes = ", ".join(parameters) or "no values"
        raise ValueError(f"{place}: {name} takes {takes}; got {values!r}")
    twice = sorted(set(parameters[: len(values)]) & set(named))
    if twice:
        raise ValueError(f"{place}: {name} is given {', '.join(twice)} twice")
    return {"command": name, **dict(zip(parameters, values, strict=False)), **named}


def _plain(value: Any) -> Any:
    """Numbers of numpy and JAX as Python's."""
    if hasattr(value, "dtype") and np.ndim(value) == 0:
        return np.asarray(value).item()
    raise ValueError(f"{value!r} is neither a text nor a number")
