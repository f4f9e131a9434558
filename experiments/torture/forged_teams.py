"""Files of a trained team, forged: a card that says something else, tensors that lie."""

import hashlib
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy

from experiments.torture import damage
from experiments.torture.forged_demonstrations import JUNK
from leed_jax import actors, specs, teams
from leed_jax.config import NetworkConfig, TrainConfig

Files = tuple[bytes, bytes]
"""Card and parameters."""
NETWORKS = (
    NetworkConfig(hidden_sizes=(3, 2)),
    NetworkConfig(kind="gru", hidden_sizes=(3,)),
    NetworkConfig(kind="cnn", hidden_sizes=(3,), channels=(2,)),
)
SEEDS = (4, 7)


def base(number: int) -> Files:
    """A small valid team; those with even numbers have a check sum."""
    network = NETWORKS[number % len(NETWORKS)]
    shape = (2, 1, 3) if network.kind == "cnn" else None
    spec = specs.Sizes(
        "toy/line",
        ("ann", "bob"),
        (6, 6) if shape else (6, 4),
        (3, 2),
        8,
        continuous=number == 3,
        observation_shape=shape,
    )
    draw = np.random.default_rng(number)
    wanted = actors.shapes(network, spec)
    params = {
        teams.ACTOR + name: draw.normal(size=(2, 2, *size)).astype(np.float32)
        for name, size in wanted.items()
    }
    params["critic/params/head/bias"] = np.zeros((2, 2, 1), np.float32)
    returns = {"agent_return": [1.0, 2.5], "team_return": 3.5, "success": {"reached": 0.5}}
    config = TrainConfig().replace(network=network)
    data = safetensors.numpy.save(params)
    card = {
        "format": "leed_jax.result",
        "version": teams.FORMAT_VERSION,
        "method": "ippo",
        "seeds": list(SEEDS),
        "history": [
            {"seed": seed, "updates": n, "env_steps": n, "seconds": 0.5 * n, **returns}
            for n in range(3)
            for seed in SEEDS
        ],
        "env_steps": 2,
        "train_seconds": 1.5,
        "compile_seconds": 2.0,
        "peak_memory_mb": 100.0,
        "config": json.loads(json.dumps(config, default=vars)),
        "spec": spec._asdict(),
        "diverged": {str(SEEDS[1]): 2},
    }
    if number % 2 == 0:
        card[teams.CHECK_SUM] = hashlib.sha256(data).hexdigest()
    return json.dumps(card).encode(), data


# ------------------------------------------------------------------------------------ cards


def _card(change: Callable[[dict[str, Any], random.Random], None]) -> Any:
    def forge(files: Files, draw: random.Random) -> Files:
        card = json.loads(files[0])
        change(card, draw)
        return json.dumps(card).encode(), files[1]

    return forge


def _place(card: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Some object of a card."""
    config = card["config"]
    places = [card, card, config, config["network"], config["expert"], card["spec"]]
    return draw.choice([*places, card["spec"], draw.choice(card["history"]), card["diverged"]])


def _another_value(card: dict[str, Any], draw: random.Random) -> None:
    place = _place(card, draw)
    place[draw.choice(list(place))] = draw.choice(JUNK)


def _left_out(card: dict[str, Any], draw: random.Random) -> None:
    place = _place(card, draw)
    place.pop(draw.choice(list(place)))


def _added(card: dict[str, Any], draw: random.Random) -> None:
    names = ["__class__", "_target_", "!!python/object", "eve", "\x1b[2J", "x" * 3000, "a\nb"]
    _place(card, draw)[draw.choice(names)] = draw.choice(JUNK)


def _another_size(card: dict[str, Any], draw: random.Random) -> None:
    """Networks and environments of other sizes, which the parameters contradict."""
    network, spec = card["config"]["network"], card["spec"]
    draw.choice(
        (
            lambda: network.update(hidden_sizes=[draw.choice((1, 4, 10**9, 10**30))]),
            lambda: network.update(kind=draw.choice(("mlp", "gru", "cnn"))),
            lambda: spec.update(observation_sizes=[draw.choice((1, 7, 2**30))] * 2),
            lambda: spec.update(action_sizes=[draw.choice((1, 4, 2**30))] * 2),
            lambda: spec.update(agents=["ann", "bob", "eve"]),
            lambda: spec.update(agents=[f"a{n}" for n in range(50_000)]),
            lambda: card.update(seeds=draw.choice(([4], [4, 7, 9], [7, 4], [4, 4], []))),
            lambda: card.update(history=card["history"][:-1]),
            lambda: network.update(common_trunk=True),
        )
    )()


def _said_twice(files: Files, draw: random.Random) -> Files:
    """A name of an object, with another value behind it."""
    text = files[0]
    name = draw.choice((b'"version": ', b'"seeds": ', b'"gamma": ', b'"agents": ', b'"updates": '))
    place = text.index(name)
    return text[:place] + name + json.dumps(draw.choice(JUNK)).encode() + b", " + text[
        place:
    ], files[1]


def _card_bomb(files: Files, draw: random.Random) -> Files:
    """Cards that take long to read, or much room."""
    data = draw.choice(
        (
            lambda: b"[" * draw.choice((5000, 10_000_000)),
            lambda: b'{"a":' * draw.choice((5000, 10_000_000)),
            lambda: b"[" + b"[]," * 10_000_000 + b"[]]",
            lambda: b"[" + b"1," * 10_000_000 + b"1]",
            lambda: b'{"format": ' + b"9" * draw.choice((5000, 5_000_000)) + b"}",
            lambda: b'{"format": "' + b"x" * draw.choice((5_000_000, 70_000_000)) + b'"}',
            lambda: files[0] + b" " * 70_000_000,
        )
    )()
    return data, files[1]


# ------------------------------------------------------------------------------- parameters


def _header(params: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", params[:8])
    return json.loads(params[8 : 8 + length]), params[8 + length :]


def _tensors(change: Callable[[dict[str, Any], random.Random], Any]) -> Any:
    """Another header in front of the same numbers, or other tensors; the check sum is left out."""

    def forge(files: Files, draw: random.Random) -> Files:
        card = json.loads(files[0])
        card.pop(teams.CHECK_SUM, None)
        header, body = _header(files[1])
        changed = change(header, draw)
        text = changed if isinstance(changed, bytes) else json.dumps(header).encode()
        length = draw.choice((0, 1, 2**40, 2**63, 2**64 - 1)) if changed == "length" else len(text)
        return json.dumps(card).encode(), struct.pack("<Q", length) + text + body

    return forge


def _names(header: dict[str, Any], draw: random.Random) -> None:
    name = draw.choice(list(header))
    strange = ("../../x", "/etc/passwd", "actor", "", "x" * 5000, "\x1b[2J", "actor/params/eve")
    value = header.pop(name)
    if draw.random() < 0.7:
        header[draw.choice(strange)] = value


def _dtypes(header: dict[str, Any], draw: random.Random) -> None:
    place = header[draw.choice(list(header))]
    place["dtype"] = draw.choice(("F64", "F16", "BF16", "I32", "U32", "BOOL", "F8_E4M3", "O", 7))


def _shapes(header: dict[str, Any], draw: random.Random) -> None:
    place = header[draw.choice(list(header))]
    shapes: tuple[Any, ...] = (
        *([], [2], [2, 2], [0], [-1], [2**62, 4], [10**30], ["2"], None, {}),
        place["shape"][::-1],
        [1, *place["shape"]],
        [*place["shape"], 1],
        [int(np.prod(place["shape"]))],
    )
    place["shape"] = draw.choice(shapes)


def _offsets(header: dict[str, Any], draw: random.Random) -> None:
    place = header[draw.choice(list(header))]
    begin, end = place["data_offsets"]
    offsets = ([0, end - begin], [begin, end + 4], [end, begin], [-4, 0], [2**63, 2**64], [begin])
    place["data_offsets"] = draw.choice(offsets)


def _texts(header: dict[str, Any], draw: random.Random) -> bytes:
    text = json.dumps(header).encode()
    first = next(iter(header))
    again = json.dumps({first: header[first]}).encode()
    return draw.choice(
        (
            lambda: b"",
            lambda: b"{",
            lambda: b"[1]",
            lambda: b"null",
            lambda: b"\xff\xfe",
            lambda: text[:-1],
            lambda: text[:-1] + b", " + again[1:],
            lambda: b"{" * 50_000,
            lambda: b'{"a":' * 200_000,
            lambda: text + b" " * draw.choice((8, 5_000_000)),
            lambda: json.dumps({f"t{n}": header[first] for n in range(5000)}).encode(),
            lambda: json.dumps({**header, "__metadata__": {"by": "eve"}}).encode(),
        )
    )()


def _not_finite(files: Files, draw: random.Random) -> Files:
    card = json.loads(files[0])
    card.pop(teams.CHECK_SUM, None)
    params = {name: value.copy() for name, value in safetensors.numpy.load(files[1]).items()}
    values = params[draw.choice(list(params))]
    values.flat[draw.randrange(values.size)] = draw.choice((np.nan, np.inf, -np.inf))
    return json.dumps(card).encode(), safetensors.numpy.save(params)


def _of_another(files: Files, draw: random.Random) -> Files:
    """The card of one team beside the parameters of another."""
    other = base(draw.randrange(6))
    return files[0], other[1]


def _bytes(change: Callable[[bytes, random.Random], bytes], which: int) -> Any:
    def forge(files: Files, draw: random.Random) -> Files:
        changed = list(files)
        changed[which] = change(files[which], draw)
        return changed[0], changed[1]

    return forge


def _in_another_form(files: Files, draw: random.Random) -> Files:
    """The same card with other spaces and another order."""
    card = json.loads(files[0])
    listed = list(card.items())
    draw.shuffle(listed)
    return json.dumps(dict(listed), indent=draw.choice((None, 1, 4))).encode(), files[1]


KINDS: dict[str, Callable[[Files, random.Random], Files]] = {
    "untouched": lambda files, draw: files,
    "same in another form": _in_another_form,
    **{
        f"{what}: {how}": _bytes(change, which)
        for which, what in enumerate(("card", "parameters"))
        for how, change in (
            ("truncated", damage.cut),
            ("bits flipped", damage.bits),
            ("spliced", damage.splice),
            ("something else", damage.other),
        )
    },
    "card: another value": _card(_another_value),
    "card: left out": _card(_left_out),
    "card: added": _card(_added),
    "card: another size": _card(_another_size),
    "card: said twice": _said_twice,
    "card: bomb": _card_bomb,
    "parameters: names": _tensors(_names),
    "parameters: dtype": _tensors(_dtypes),
    "parameters: shape": _tensors(_shapes),
    "parameters: offsets": _tensors(_offsets),
    "parameters: header": _tensors(_texts),
    "parameters: length of the header": _tensors(lambda header, draw: "length"),
    "parameters: NaN": _not_finite,
    "parameters: of another team": _of_another,
}
"""Each a function of both files and a generator of random numbers."""
VALID = ("untouched", "same in another form")
"""Kinds of which every input must load."""
