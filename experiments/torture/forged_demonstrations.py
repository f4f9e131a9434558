"""Members of a file of demonstrations, forged: most of them must be refused."""

import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.torture import damage
from experiments.torture.archive_parts import (
    array,
    check_sum,
    claimed,
    doubled,
    many,
    npy,
    packed,
    with_raw,
    zeros,
)
from leed_jax.demonstrations import DemonstrationArrays

ARRAYS = DemonstrationArrays._fields
NAMES = ("header", *ARRAYS)
JUNK: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        3,
        2.5,
        1e308,
        10**30,
        10**400,
        "",
        "ann",
        "../x",
        [],
        [0],
        [[]],
        {},
        {"a": 1},
    ),
    *(float("nan"), float("inf"), "\x1b[2J", "a\nb", ["ann", "ann"], [1, 2, 3], "x" * 10_000),
)


class Hazards(NamedTuple):
    """What forged files are to do harm with."""

    exploded: Path
    """Is there if anybody unpickled an object."""
    bomb_bytes: int
    """What the largest bombs unpack to."""


class Explosive:
    """Leaves a file behind if anybody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        """What a pickle would carry out."""
        return Path.touch, (self.trace,)


def _with(change: Callable[[np.ndarray, random.Random], Any]) -> Any:
    """A file with one array changed."""

    def forge(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
        del hazards
        name = draw.choice(ARRAYS) + ".npy"
        changed = change(array(members[name]), draw)
        members[name] = changed if isinstance(changed, bytes) else npy(changed)
        return packed(list(members.items()))

    return forge


def _shape(values: np.ndarray, draw: random.Random) -> Any:
    return draw.choice(
        (
            lambda: values[..., None],
            lambda: values[:-1],
            lambda: values[:, :0],
            lambda: values.reshape(-1),
            lambda: np.concatenate([values, values], -1),
            lambda: values.ravel()[0],
            lambda: np.swapaxes(values, 0, 1),
        )
    )()


def _dtype(values: np.ndarray, draw: random.Random) -> Any:
    kinds = ("float64", "int8", "uint32", "bool", "complex64", "S8", "U4", "datetime64[s]", "V3")
    with np.errstate(all="ignore"):
        return values.astype(draw.choice([k for k in kinds if k[0] != "V"] + [values.dtype.str]))


def _values(values: np.ndarray, draw: random.Random) -> Any:
    found = values.copy()
    place = tuple(draw.randrange(length) for length in found.shape)
    if found.dtype.kind == "f":
        found[place] = draw.choice((np.nan, np.inf, -np.inf))
    elif found.dtype.kind == "i":
        found[place] = draw.choice((-1, 4, 2**31 - 1, -(2**31)))
    else:
        return np.zeros_like(found)  # nothing is valid, or nothing is legal
    return found


def _claims(values: np.ndarray, draw: random.Random) -> Any:
    """A header that promises something else than what follows."""
    shape = draw.choice(
        (
            "(10**12,)",
            "(1000000000000,)",
            "(-1,)",
            "(2, -3)",
            "(99999999999999999999,)",
            "()",
            "(1.5,)",
            "[3]",
        )
    )
    descr = draw.choice(
        ("'<f4'", "'|O'", "[('a', '<f4')]", "'<f4junk'", "__import__('os')", "'|V0'", "9")
    )
    text = draw.choice(
        (
            f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}",
            f"{{'descr': {descr}, 'fortran_order': False, 'shape': (3,)}}",
            "{'descr': " + "(" * 3000 + ")" * 3000 + "}",
            "__import__('os').system('touch owned')",
            "{'descr': '<f4', 'fortran_order': 'maybe', 'shape': (3,)}",
            "{" * 50,
            "",
            "\\" * 9,
            "{'descr': '<f4'",
        )
    )
    return claimed(
        text, values.tobytes(), draw.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
    )


def _objects(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    name = draw.choice(NAMES) + ".npy"
    bomb = np.array([Explosive(hazards.exploded)], object)
    members[name] = draw.choice(
        (npy(bomb, allow_pickle=True), pickle.dumps(Explosive(hazards.exploded)))
    )
    return packed(list(members.items()))


def _names(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """Members that are missing, unknown, doubled or called like a path."""
    del hazards
    listed = list(members.items())
    name, content = draw.choice(listed)
    paths = (
        "../../x.npy",
        "/tmp/x.npy",
        "a\\..\\x.npy",
        f"./{name}",
        f"a/{name}",
        "x" * 5000,
        "\x1b.npy",
        "",
    )
    strange = draw.choice(paths)
    change = draw.randrange(4)
    if change == 0:
        listed.remove((name, content))
    elif change == 1:
        listed.append((strange, content))
    elif change == 2:
        listed = [(strange if known == name else known, data) for known, data in listed]
    else:
        return doubled(listed, name)
    return packed(listed)


def _header(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """A header whose JSON says something else, or is none."""
    del hazards
    header = json.loads(array(members["header.npy"]).tobytes())
    where = draw.choice([header, header, header["spec"], header["spec"], header["measures"]])
    change = draw.randrange(4)
    if change == 0:
        where[draw.choice(list(where))] = draw.choice(JUNK)
    elif change == 1:
        where.pop(draw.choice(list(where)))
    elif change == 2:
        where[draw.choice(["eve", "\x1b[2J", "x" * 3000, "a\nb"])] = draw.choice(JUNK)
    text = json.dumps(header).encode()
    if change == 3:
        text = draw.choice(
            (
                b"",
                b"{",
                b"[1]",
                b"null",
                b"\xff\xfe",
                b"[" * 200_000,
                b'{"a":' * 50_000,
                text[:-9],
                text * 2,
            )
        )
    members["header.npy"] = npy(np.frombuffer(text, np.uint8))
    return packed(list(members.items()))


def _method(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """Stored otherwise: valid, if this Python can read it."""
    del hazards
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    return packed(list(members.items()), method)


def _flags(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """Encrypted, or by a method that nobody knows, says the directory."""
    del hazards
    data = bytearray(packed(list(members.items())))
    for place in damage.places(bytes(data), b"PK\x01\x02"):
        offset, value = draw.choice(((8, 1), (10, 99), (10, 1), (8, 0x20)))
        data[place + offset] = value
    return bytes(data)


def _lies(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """Sizes in the directory that are not those of the members."""
    del hazards
    data = bytearray(packed(list(members.items())))
    for place in damage.places(bytes(data), b"PK\x01\x02"):
        if draw.random() < 0.5:
            size = draw.choice((0, 1, 100, 2**31, 2**32 - 2))
            struct.pack_into("<I", data, place + draw.choice((20, 24)), size)
    return bytes(data)


def _bomb(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """An observation of zeros that unpacks to up to a thousand times its size."""
    size = hazards.bomb_bytes // draw.choice((24, 12, 4, 1))
    shape = draw.choice((f"({size // 4},)", f"(3, 5, 2, {size // 120})", "(3, 5, 2, 3)"))
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117)
    front = claimed(text)
    name = draw.choice(("observation.npy", "header.npy", "zzz.npy"))
    body = zeros(size, draw.choice((1, 9)))
    # Stored blocks in front of the deflated zeros make one stream of both.
    raw = b"\x00" + struct.pack("<HH", len(front), len(front) ^ 0xFFFF) + front + body
    known = [(key, content) for key, content in members.items() if key != name]
    return with_raw(known, name, raw, len(front) + size, check_sum(front, size))


def _fitting_bomb(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """Zeros that unpack to a thousand times their size, and a header that says just that."""
    del draw
    width = hazards.bomb_bytes // (3 * 5 * 2 * 4)
    header = json.loads(array(members["header.npy"]).tobytes())
    header["spec"]["observation_sizes"] = [width, width]
    members["header.npy"] = npy(np.frombuffer(json.dumps(header).encode(), np.uint8))
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5, 2, {width})}}".ljust(117)
    front, size = claimed(text), width * 120
    raw = b"\x00" + struct.pack("<HH", len(front), len(front) ^ 0xFFFF) + front
    known = [(key, content) for key, content in members.items() if key != "observation.npy"]
    raw += zeros(size, 9)
    return with_raw(known, "observation.npy", raw, len(front) + size, check_sum(front, size))


def _crowd(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """More members than anybody wants to list."""
    del members, hazards
    return many(draw.choice((1000, 70_000)))


def _same(members: dict[str, bytes], draw: random.Random, hazards: Hazards) -> bytes:
    """The same arrays in another order, in another byte order or by columns: all valid."""
    del hazards
    changed = {}
    for name, content in members.items():
        values = array(content)
        if name != "header.npy" and draw.random() < 0.5:
            values = np.asfortranarray(values)
        if name != "header.npy" and draw.random() < 0.5:
            values = values.astype(values.dtype.newbyteorder(">"))
        changed[name] = npy(values)
    listed = list(changed.items())
    draw.shuffle(listed)
    return packed(listed)


KINDS: dict[str, Any] = {
    "shape": _with(_shape),
    "dtype": _with(_dtype),
    "NaN and range": _with(_values),
    "npy header": _with(_claims),
    "objects, pickles": _objects,
    "names of members": _names,
    "JSON header": _header,
    "compression": _method,
    "flags": _flags,
    "sizes that lie": _lies,
    "zip bomb": _bomb,
    "zip bomb that fits": _fitting_bomb,
    "many members": _crowd,
    "same in another form": _same,
}
"""(members, draws, hazards) -> bytes of a file."""
