"""Answers of models, mutated: as trees, as JSON texts, as characters."""

import copy
import json
import random
from typing import Any

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


MUTATIONS = {
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
