"""Files of demonstrations, damaged or forged: none may be loaded that plain loops find invalid."""

import functools
import io
import json
import pickle
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from leed_jax import demonstrations
from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.types import EnvSpec

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
BOMB_BYTES = 1_200_000_000
"""What the largest bombs unpack to, unless told otherwise."""


def base(seed: int, continuous: bool) -> Demonstrations:
    """Small valid demonstrations."""
    draw = np.random.default_rng(seed)
    k, s, n, a = 3, 5, 2, 4
    spec = EnvSpec("toy/line", ("ann", "bob"), (3, 2), (a, a), s, continuous=continuous)
    action: Any = draw.integers(0, a, (k, s, n)).astype(np.int32)
    if continuous:
        action = draw.uniform(-1, 1, (k, s, n, a)).astype(np.float32)
    arrays = DemonstrationArrays(
        observation=draw.normal(size=(k, s, n, 3)).astype(np.float32),
        action=action,
        action_mask=np.ones((k, s, n, a), bool),
        reward=draw.normal(size=(k, s, n)).astype(np.float32),
        valid=np.ones((k, s, n), bool),
        returns=draw.normal(size=(k, n)).astype(np.float32),
    )
    return Demonstrations(arrays, spec, {"covered": 0.5}, {"model": "someone", "plans": {}})


class Explosive:
    """Leaves a file behind if anybody unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        """What a pickle would carry out."""
        return Path.touch, (self.trace,)


class Cases:
    """See `fuzz.Cases`; the input is the content of a file."""

    def __init__(self, seed: int, bomb_bytes: int = BOMB_BYTES) -> None:
        """Makes the whole files that are damaged.

        Args:
          seed: of all draws.
          bomb_bytes: what the largest bombs unpack to.
        """
        self.seed, self.bomb_bytes = seed, bomb_bytes
        self._folder = tempfile.TemporaryDirectory(prefix="leed-fuzz-")
        self.folder = Path(self._folder.name)
        self.exploded = self.folder / "exploded"
        self.bases = []
        for number in range(4):
            base(number, number % 2 == 1).save(self.folder / "base.npz")
            self.bases.append((self.folder / "base.npz").read_bytes())
        (self.folder / "base.npz").unlink()

    def close(self) -> None:
        """Removes the folder for files."""
        self._folder.cleanup()

    def make(self, number: int) -> tuple[str, Any]:
        """A kind of damage, and the bytes of a file."""
        draw = random.Random(f"{self.seed}/{number}")
        data = draw.choice(self.bases)
        kind = draw.choice(KINDS)
        if kind in _BYTES:
            content = _BYTES[kind](data, draw)
        else:
            content = _MEMBERS[kind](_members(data), draw, self)
        return kind, content

    def accepts(self, content: bytes) -> tuple[bool, str]:
        """Whether it loads."""
        path = self.folder / "fuzzed.npz"
        path.write_bytes(content)
        try:
            demonstrations.load(path)
        except ValueError as error:
            return False, str(error)
        return True, ""

    def faults(self, kind: str, content: bytes, accepted: bool, message: str) -> list[str]:
        """Accepted without being valid, or the other way; files beside it; long messages."""
        found = []
        if accepted:
            found += [f"accepted, but {fault}" for fault in invalid(content)]
        elif kind in VALID:
            found.append(f"refused, but is valid: {message[:300]}")
        if not accepted and not (message and message.isprintable() and len(message) < 1000):
            found.append(f"a message that is no short line: {message[:300]!r}")
        beside = {path.name for path in self.folder.rglob("*")} - {"fuzzed.npz"}
        if beside:
            found.append(f"files that were not there before: {sorted(beside)}")
        return found


# ----------------------------------------------------------------------------- damaged bytes


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _bits(data: bytes, draw: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 4, 40))):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def _directory_bits(data: bytes, draw: random.Random) -> bytes:
    """Flips in the headers of zip and npy, where the bytes mean something."""
    found = bytearray(data)
    marks = [place for mark in (b"PK", b"\x93NUMPY") for place in _all(data, mark)]
    for _ in range(draw.choice((1, 2, 5))):
        place = min(draw.choice(marks) + draw.randrange(60), len(found) - 1)
        found[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, found[place] ^ 1))
    return bytes(found)


def _all(data: bytes, mark: bytes) -> list[int]:
    places, place = [], data.find(mark)
    while place >= 0:
        places.append(place)
        place = data.find(mark, place + 1)
    return places


def _splice(data: bytes, draw: random.Random) -> bytes:
    first, second = sorted((draw.randrange(len(data)), draw.randrange(len(data))))
    return draw.choice(
        (
            data[:first] + data[second:],
            data[:second] + data[first:],
            data[:first] + draw.randbytes(second - first) + data[second:],
            data[:first] + bytes(second - first) + data[second:],
            data + draw.randbytes(50),
            data + data,
        )
    )


def _other(data: bytes, draw: random.Random) -> bytes:
    return draw.choice(
        (
            b"",
            b"PK\x05\x06" + bytes(18),
            draw.randbytes(5000),
            b"\x93NUMPY\x01\x00",
            b"\x80\x04K.",
            data[:4],
        )
    )


# --------------------------------------------------------------------------- forged members


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def _packed(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def _npy(values: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(values), **options)
    return out.getvalue()


def _array(content: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _claimed(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + body


def _with(change: Callable[[np.ndarray, random.Random], Any]) -> Any:
    """A file with one array changed."""

    def forge(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
        del cases
        name = draw.choice(ARRAYS) + ".npy"
        changed = change(_array(members[name]), draw)
        members[name] = changed if isinstance(changed, bytes) else _npy(changed)
        return _packed(list(members.items()))

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
    return _claimed(
        text, values.tobytes(), draw.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x09\x00"))
    )


def _objects(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    name = draw.choice(NAMES) + ".npy"
    bomb = np.array([Explosive(cases.exploded)], object)
    members[name] = draw.choice(
        (_npy(bomb, allow_pickle=True), pickle.dumps(Explosive(cases.exploded)))
    )
    return _packed(list(members.items()))


def _names(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """Members that are missing, unknown, doubled or called like a path."""
    del cases
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
        return _doubled(listed, name)
    return _packed(listed)


def _doubled(listed: list[tuple[str, bytes]], name: str) -> bytes:
    """The same name twice; zipfile warns about it, so a stand-in of equal length is renamed."""
    stand_in = "~" * len(name)
    data = _packed([*listed, (stand_in, dict(listed)[name])])
    return data.replace(stand_in.encode(), name.encode())


def _header(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """A header whose JSON says something else, or is none."""
    del cases
    header = json.loads(_array(members["header.npy"]).tobytes())
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
    members["header.npy"] = _npy(np.frombuffer(text, np.uint8))
    return _packed(list(members.items()))


def _method(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """Stored otherwise: valid, if this Python can read it."""
    del cases
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    return _packed(list(members.items()), method)


def _flags(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """Encrypted, or by a method that nobody knows, says the directory."""
    del cases
    data = bytearray(_packed(list(members.items())))
    for place in _all(bytes(data), b"PK\x01\x02"):
        offset, value = draw.choice(((8, 1), (10, 99), (10, 1), (8, 0x20)))
        data[place + offset] = value
    return bytes(data)


def _lies(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """Sizes in the directory that are not those of the members."""
    del cases
    data = bytearray(_packed(list(members.items())))
    for place in _all(bytes(data), b"PK\x01\x02"):
        if draw.random() < 0.5:
            size = draw.choice((0, 1, 100, 2**31, 2**32 - 2))
            struct.pack_into("<I", data, place + draw.choice((20, 24)), size)
    return bytes(data)


@functools.cache
def _zeros(size: int, level: int) -> bytes:
    """``size`` zeros, deflated: to a 230th at level 1, to a 1000th at level 9."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    block = bytes(2**20)
    parts = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.compress(bytes(size % len(block))), packer.flush()])


@functools.cache
def _check_sum(front: bytes, size: int) -> int:
    """CRC-32 of ``front`` and ``size`` zeros."""
    found, block = zlib.crc32(front), bytes(2**20)
    for _ in range(size // len(block)):
        found = zlib.crc32(block, found)
    return zlib.crc32(bytes(size % len(block)), found)


def _bomb(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """An observation of zeros that unpacks to up to a thousand times its size."""
    size = cases.bomb_bytes // draw.choice((24, 12, 4, 1))
    shape = draw.choice((f"({size // 4},)", f"(3, 5, 2, {size // 120})", "(3, 5, 2, 3)"))
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117)
    front = _claimed(text)
    name = draw.choice(("observation.npy", "header.npy", "zzz.npy"))
    body = _zeros(size, draw.choice((1, 9)))
    # Stored blocks in front of the deflated zeros make one stream of both.
    packed = b"\x00" + struct.pack("<HH", len(front), len(front) ^ 0xFFFF) + front + body
    known = [(key, content) for key, content in members.items() if key != name]
    return _with_raw(known, name, packed, len(front) + size, _check_sum(front, size))


def _fitting_bomb(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """Zeros that unpack to a thousand times their size, and a header that says just that."""
    del draw
    width = cases.bomb_bytes // (3 * 5 * 2 * 4)
    header = json.loads(_array(members["header.npy"]).tobytes())
    header["spec"]["observation_sizes"] = [width, width]
    members["header.npy"] = _npy(np.frombuffer(json.dumps(header).encode(), np.uint8))
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5, 2, {width})}}".ljust(117)
    front, size = _claimed(text), width * 120
    packed = b"\x00" + struct.pack("<HH", len(front), len(front) ^ 0xFFFF) + front
    known = [(key, content) for key, content in members.items() if key != "observation.npy"]
    packed += _zeros(size, 9)
    return _with_raw(known, "observation.npy", packed, len(front) + size, _check_sum(front, size))


def _with_raw(
    listed: list[tuple[str, bytes]], name: str, packed: bytes, size: int, check_sum: int
) -> bytes:
    """An archive with one more member, of deflated bytes as they are."""
    out = io.BytesIO(_packed(listed))
    with zipfile.ZipFile(out, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.compress_type, entry.file_size, entry.compress_size = 8, size, len(packed)
        entry.CRC = check_sum
        entry.header_offset = archive.start_dir
        assert archive.fp is not None
        archive.fp.seek(archive.start_dir)
        archive.fp.write(entry.FileHeader(zip64=False))
        archive.fp.write(packed)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(entry)
        archive.NameToInfo[name] = entry
        archive._didModify = True  # pyright: ignore[reportAttributeAccessIssue]
    return out.getvalue()


@functools.cache
def _many(count: int) -> bytes:
    return _packed([(f"{number}.npy", b"") for number in range(count)])


def _crowd(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """More members than anybody wants to list."""
    del members, cases
    return _many(draw.choice((1000, 70_000)))


def _same(members: dict[str, bytes], draw: random.Random, cases: Cases) -> bytes:
    """The same arrays in another order, in another byte order or by columns: all valid."""
    del cases
    changed = {}
    for name, content in members.items():
        values = _array(content)
        if name != "header.npy" and draw.random() < 0.5:
            values = np.asfortranarray(values)
        if name != "header.npy" and draw.random() < 0.5:
            values = values.astype(values.dtype.newbyteorder(">"))
        changed[name] = _npy(values)
    listed = list(changed.items())
    draw.shuffle(listed)
    return _packed(listed)


_BYTES: dict[str, Any] = {
    "untouched": lambda data, draw: data,
    "truncated": _cut,
    "bits flipped": _bits,
    "bits of headers": _directory_bits,
    "spliced": _splice,
    "something else": _other,
}
_MEMBERS: dict[str, Any] = {
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
KINDS = (*_BYTES, *_MEMBERS)
VALID = ("untouched", "same in another form", "compression")
"""Kinds of which every input must load."""


# ------------------------------------------------------------------------ independent check


def invalid(content: bytes) -> list[str]:
    """Why a file is not valid, found with numpy's reader and plain loops; empty if it is."""
    try:
        return _found(content)
    except Exception as error:
        return [f"cannot be read: {type(error).__name__}: {str(error)[:200]}"]


def _found(content: bytes) -> list[str]:
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        listed = archive.namelist()
        if sorted(listed) != sorted(f"{name}.npy" for name in NAMES):
            return [f"its members are {listed}"]
        if archive.testzip() is not None:
            return ["a check sum is wrong"]
    with np.load(io.BytesIO(content), allow_pickle=False) as members:
        header = json.loads(members["header"].tobytes())
        arrays = {name: members[name] for name in ARRAYS}
    spec = header["spec"]
    agents, continuous = spec["agents"], spec.get("continuous", False)
    if header["format"] != "leed_jax.demonstrations" or header["version"] != 1:
        found.append("its format is another")
    if not all(isinstance(name, str) for name in agents) or len(set(agents)) != len(agents):
        found.append("its agents are no names")
    for name in ("observation_sizes", "action_sizes"):
        if len(spec[name]) != len(agents) or not all(type(size) is int for size in spec[name]):
            found.append(f"{name} is not one whole number per agent")
    if set(spec) - {field for field in EnvSpec._fields}:
        found.append("its specification has unknown fields")
    n, d, a = len(agents), max(spec["observation_sizes"]), max(spec["action_sizes"])
    k, s = arrays["valid"].shape[:2]
    shapes = {
        "observation": (k, s, n, d),
        "action": (k, s, n, a) if continuous else (k, s, n),
        "action_mask": (k, s, n, a),
        "reward": (k, s, n),
        "valid": (k, s, n),
        "returns": (k, n),
    }
    kinds = {"action_mask": "b", "valid": "b", "action": "f" if continuous else "i"}
    for name, values in arrays.items():
        if values.shape != shapes[name] or values.dtype.kind != kinds.get(name, "f"):
            found.append(f"{name} is {values.shape} {values.dtype}")
        if values.dtype.kind == "f":
            numbers = [float(value) for value in values.ravel()]
            if any(number != number or abs(number) > 3.5e38 for number in numbers):
                found.append(f"{name} is not finite")
    if found:
        return found
    rows = [index for index in np.ndindex(k, s, n) if arrays["valid"][index]]
    if not rows:
        found.append("no row is valid")
    if not continuous:
        for index in np.ndindex(k, s, n):
            action = int(arrays["action"][index])
            if not 0 <= action < a:
                found.append(f"action {action} at {index}")
            elif arrays["valid"][index] and not arrays["action_mask"][index][action]:
                found.append(f"forbidden action at {index}")
    if found:
        return found
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.npz")
        path.write_bytes(content)
        loaded = demonstrations.load(path)
    for name, values in arrays.items():
        if not np.array_equal(np.asarray(getattr(loaded.arrays, name)), values):
            found.append(f"{name} was loaded as something else")
    return found
