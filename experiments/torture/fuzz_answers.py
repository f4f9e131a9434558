"""Answers of models, mutated: none may be taken that a check written without pydantic refuses."""

import copy
import functools
import json
import random
from typing import Any

from leed_jax import answers, instructions, scenarios
from leed_jax.generation import clients, transcripts
from leed_jax.generation.clients import Answer
from leed_jax.instructions import ANY_EPISODE, Choice, Command, Condition, Number, Vocabulary
from leed_jax.random_plans import random_plan

TOY = Vocabulary(
    agents=("ann", "bob"),
    commands=(
        Command("GoTo", "go there", (Number("place", 0, 9, 1, "where"),)),
        Command("Keep", "keep away", (Number("metres", 0.0, 0.6, 0.05, "how far"),)),
        Command("Do", "do this", (Choice("what", ("left", "right"), "what"),)),
    ),
    conditions=(Condition("met", "both are there"), Condition("late", "it is late")),
    horizon=8,
    max_instructions=3,
)
RECORDED = ("mpe/simple_spread", "smax/3m", "overcooked_v2/cramped_room", "road/ow")
"""Scenarios whose recorded answers are mutated too."""
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 0.5, 1.0, 1e308, -1e308, 10**30, 10**400, "", "ann", "NaN"),
    *(
        [],
        {},
        [[]],
        [None],
        {"command": "GoTo"},
        {"instructions": []},
        "\u202egnirts",
        "\U0001f600",
    ),
    *(
        "__import__('os').system('touch owned')",
        "{{7*7}}",
        "$(touch owned)",
        "'; DROP TABLE plans;--",
    ),
    *("\x00", "a\nb", "\x1b[31m", "x" * 5000, "../../etc/passwd", "constructor", "__proto__"),
)
TOKENS = ("NaN", "Infinity", "-Infinity", "1e400", "-0", "01", "0x10", "1_000", "+1", "undefined")
AROUND = (
    ("```json\n", "\n```"),
    ("Sure! ", ""),
    ("", " That is all."),
    ("\ufeff", ""),
    ("[", "]"),
    ("/* plan */ ", ""),
    ("", "{}"),
    (" \n\t", "\u00a0"),
    ("\x00", ""),
)


class _Twice(dict):
    """An object that is written with a name that it holds already."""


def _written(value: Any, draw: random.Random) -> str:
    """JSON of a tree in which objects may hold names twice and numbers may be raw tokens."""
    if isinstance(value, dict):
        pairs = [f"{json.dumps(k)}: {_written(v, draw)}" for k, v in value.items()]
        if isinstance(value, _Twice) and pairs:
            again = draw.choice(list(value))
            pairs.append(f"{json.dumps(again)}: {_written(value[again], draw)}")
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(item, draw) for item in value) + "]"
    return (
        value.text
        if isinstance(value, _Raw)
        else json.dumps(value, ensure_ascii=draw.random() < 0.5)
    )


class _Raw:
    def __init__(self, text: str) -> None:
        self.text = text


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything in a tree."""
    found: list[tuple[Any, Any]] = []
    items = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in items:
        found.append((tree, key))
        found += _places(value)
    return found


class Cases:
    """See `fuzz.Cases`."""

    def __init__(self, seed: int, recorded: tuple[str, ...] = RECORDED) -> None:
        self.seed = seed
        self.bases: list[tuple[Vocabulary, tuple[str, ...], str]] = []
        for number in range(20):
            plan = instructions.to_mapping(random_plan(TOY, number))
            text = json.dumps({"comment": "", "plans": {ANY_EPISODE: plan}})
            self.bases.append((TOY, (ANY_EPISODE,), text))
        for name in recorded:
            scenario = scenarios.make(name)
            wanted = transcripts.specification(scenario, "relational", "learnable")
            for item in transcripts.recorded(wanted):
                for kept in item.rounds:
                    self.bases.append((scenario.vocabulary, (ANY_EPISODE,), kept.answer))

    def close(self) -> None:
        """Nothing is left behind."""

    def make(self, number: int) -> tuple[str, Any]:
        """A kind of mutation, and (vocabulary, names of plans, text)."""
        draw = random.Random(f"{self.seed}/{number}")
        vocabulary, names, text = draw.choice(self.bases)
        kind = draw.choice(list(_MUTATIONS))
        return kind, (vocabulary, names, _MUTATIONS[kind](text, draw))

    def accepts(self, content: Any) -> tuple[bool, str]:
        """As a generation does: clean, parse, and encode what was accepted."""
        vocabulary, names, text = content
        try:
            usable = clients.require_usable(Answer(text, "fuzz", "stop"))
            plans = answers.parse(usable, vocabulary, names)
        except (answers.InvalidAnswerError, clients.UnusableAnswerError) as error:
            return False, str(error)
        encoded = instructions.encode([plans[name] for name in names], vocabulary)
        instructions.decode(encoded, vocabulary)
        return True, ""

    def faults(self, kind: str, content: Any, accepted: bool, message: str) -> list[str]:
        """Where the decision is not that of `valid`, and messages that are no good."""
        vocabulary, names, text = content
        good = valid(clients.clean(text), vocabulary, names)
        found = []
        if accepted != good:
            found.append(
                f"{'accepted' if accepted else 'refused'}, but is {'' if good else 'in'}valid"
            )
        if not accepted and (not message or len(message) > 6000):
            found.append(f"a message of {len(message)} characters")
        if any(not (line.isprintable()) for line in message.splitlines()):
            found.append("a message that moves the cursor")
        return found


# ------------------------------------------------------------------------------- mutations


def _tree(change: Any) -> Any:
    def mutate(text: str, draw: random.Random) -> str:
        tree = json.loads(text)
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            places = _places(tree)
            if places:
                change(*draw.choice(places), draw)
        return _written(tree, draw)

    return mutate


def _swap(container: Any, key: Any, draw: random.Random) -> None:
    container[key] = copy.deepcopy(draw.choice(JUNK))


def _token(container: Any, key: Any, draw: random.Random) -> None:
    container[key] = _Raw(draw.choice(TOKENS))


def _drop(container: Any, key: Any, draw: random.Random) -> None:
    del container[key]


def _rename(container: Any, key: Any, draw: random.Random) -> None:
    if isinstance(container, dict):
        name = draw.choice(
            ["eve", "agent_99", "Explode", "repeat", "k" * 500, "a\nb", "", "\u200b"]
        )
        container[name] = container.pop(key)


def _grow(container: Any, key: Any, draw: random.Random) -> None:
    if isinstance(container, dict):
        container[draw.choice(["eve", "max_steps", "until", "\x1b[2J", "x"])] = copy.deepcopy(
            draw.choice(JUNK)
        )
    elif len(container) < 100:
        container *= draw.choice((2, 20))


def _deep(container: Any, key: Any, draw: random.Random) -> None:
    depth = draw.choice((3, 50, 300))
    container[key] = _Raw("[" * depth + "1" + "]" * depth)


def _twice(text: str, draw: random.Random) -> str:
    def mark(value: Any) -> Any:
        if isinstance(value, list):
            return [mark(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = _Twice if draw.random() < 0.2 else dict
        return kind({key: mark(item) for key, item in value.items()})

    return _written(mark(json.loads(text)), draw)


def _cut(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text))]


def _characters(text: str, draw: random.Random) -> str:
    found = list(text)
    for _ in range(draw.choice((1, 1, 3, 30))):
        place = draw.randrange(len(found))
        found[place] = draw.choice(
            ["", '"', "\\", "{", "}", ",", "\ud800", "\u2028", "\x00", "9", found[0]]
        )
    return "".join(found)


def _around(text: str, draw: random.Random) -> str:
    before, behind = draw.choice(AROUND)
    return before + text + behind


def _huge(text: str, draw: random.Random) -> str:
    size = draw.choice((199_000, 250_000, 1_000_000, 10_000_000))
    return draw.choice(
        (
            lambda: text.replace('"comment": "', '"comment": "' + "x" * size, 1),
            lambda: text + " " * size,
            lambda: '{"plans": ' + "[" * size,
            lambda: '{"a":' * min(size, 30_000),
            lambda: '{"comment": ' + "9" * size + "}",
            lambda: '{"' + "k" * size + '": 1}',
            lambda: "{" + ",".join(f'"{n}": {n}' for n in range(size // 20)) + "}",
        )
    )()


_MUTATIONS = {
    "untouched": lambda text, draw: text,
    "another value": _tree(_swap),
    "number that is none": _tree(_token),
    "left out": _tree(_drop),
    "renamed": _tree(_rename),
    "added": _tree(_grow),
    "nested": _tree(_deep),
    "said twice": _twice,
    "cut off": _cut,
    "characters": _characters,
    "around it": _around,
    "huge": _huge,
}


# ----------------------------------------------------------------------- independent check


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
