"""Arrays from ``.npz`` files that may be anybody's: nothing is unpacked before it is known to fit.

numpy's own reader believes what a file says about itself: it reserves memory for any shape that is
claimed, takes the last of several members of one name, and raises whatever its parts raise.
"""

import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

MAX_BYTES = 4 * 2**30
"""Unpacked size above which a file is refused unread."""
MAX_RATIO, SMALL_BYTES = 500, 64 * 2**20
"""A file that unpacks to more than so many times its size is refused, unless that is small. What
is recorded from real tasks stays below 100; deflate reaches 1,032."""
MAX_FIRST_BYTES = 8 * 2**20
"""Of the member that describes the others; for plans of 512 agents it has 50,000."""
_END, _END_SIZE, _END_64 = b"PK\x05\x06", 22, b"PK\x06\x07"
_MAX_LISTING = 64 * 2**10
"""Bytes of a list of members; ours have less than 1,000."""


class Form(NamedTuple):
    """What a member says that it holds."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def num_bytes(self) -> int:
        """Of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read(
    path: Path,
    names: Sequence[str],
    accept: Callable[[Mapping[str, Form], bytes], None] | None,
    max_bytes: int = MAX_BYTES,
) -> dict[str, np.ndarray]:
    """The arrays of a file that holds exactly ``names``, each once; no objects, no records.

    Args:
      path: of the file.
      names: of the members, without ``.npy``; the first holds bytes, which describe the others.
      accept: (shapes and types of all, bytes of the first); raises ``ValueError`` if the file is
        not to be unpacked. None: no member describes the others, and all are unpacked.
      max_bytes: that it may unpack to.

    Raises:
      FileNotFoundError: no such file.
      ValueError: anything else, in one line that names the file and the member.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    if not path.is_file():  # a pipe would be waited on for ever
        raise ValueError(f"{path}: not a regular file")
    name = None
    try:
        with path.open("rb") as file:
            _require_short_listing(file)
            with zipfile.ZipFile(file) as archive:
                members = _members(archive, names, os.fstat(file.fileno()).st_size, max_bytes)
                forms: dict[str, Form] = {}
                for name in names:
                    with archive.open(members[name]) as member:
                        forms[name] = _form(member, members[name].file_size)
                if accept is not None:
                    name = names[0]
                    if forms[name].dtype != np.uint8 or forms[name].num_bytes > MAX_FIRST_BYTES:
                        raise ValueError(f"must be bytes, {MAX_FIRST_BYTES:,} at most")
                    first = _array(archive, members[name]).tobytes()
                    name = None
                    accept(forms, first)
                found = {}
                for name in names:
                    found[name] = _array(archive, members[name])
                return found
    # Whatever zipfile, zlib and numpy raise over damaged bytes, running out of memory included.
    except Exception as error:
        place = "" if name is None else f"{name}: "
        raise ValueError(f"{path}: {place}{_in_words(error)}") from None


def listed(path: Path) -> tuple[str, ...]:
    """Names of a file's members, without ``.npy``; nothing is unpacked.

    Raises:
      ValueError: not a regular file, or no archive of a few members.
    """
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file")
    try:
        with path.open("rb") as file:
            _require_short_listing(file)
            with zipfile.ZipFile(file) as archive:
                return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except Exception as error:
        raise ValueError(f"{path}: {_in_words(error)}") from None


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text[:300] if type(error) is ValueError and text else f"{kind} {text[:300]}".strip()


def _require_short_listing(file: BinaryIO) -> None:
    """Refuses a list of members that would take long to read; zipfile takes any."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - _END_SIZE - 2**16)
    file.seek(tail_start)
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_SIZE:
        raise ValueError("not a zip file")
    (listing,) = struct.unpack_from("<I", tail, end + 12)
    if listing > _MAX_LISTING or tail[max(0, end - 20) : end].startswith(_END_64):
        raise ValueError("its list of members is too long")
    file.seek(0)


def _members(
    archive: zipfile.ZipFile, names: Sequence[str], size: int, max_bytes: int
) -> dict[str, zipfile.ZipInfo]:
    listed = archive.infolist()
    found = sorted(member.filename for member in listed)
    wanted = sorted(f"{name}.npy" for name in names)
    if found != wanted:
        missing = sorted(set(wanted) - set(found))
        other = sorted(set(found) - set(wanted))
        doubled = sorted({name for name in found if found.count(name) > 1})
        parts = [("lacks", missing), ("has unknown", other), ("has twice", doubled)]
        said = [f"{word} {', '.join(map(ascii, which[:5]))}" for word, which in parts if which]
        raise ValueError(f"its members are wrong: {'; '.join(said)[:300]}")
    if any(member.flag_bits & 1 for member in listed):
        raise ValueError("a member is encrypted")
    unpacked = sum(member.file_size for member in listed)
    if unpacked > max_bytes:
        raise ValueError(f"unpacks to {unpacked:,} bytes, {max_bytes:,} are allowed")
    if unpacked > max(SMALL_BYTES, MAX_RATIO * size):
        raise ValueError(
            f"unpacks to {unpacked:,} bytes, more than {MAX_RATIO} times its size of {size:,}"
        )
    return {member.filename.removesuffix(".npy"): member for member in listed}


def _form(member: Any, size: int) -> Form:
    """What a ``.npy`` stream of ``size`` bytes begins with; stands behind it afterwards."""
    version = np.lib.format.read_magic(member)
    if version != (1, 0):
        raise ValueError(f"npy version {version[0]}.{version[1]}, this package reads 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"of {str(dtype)[:80]}, allow_pickle=False: numbers only")
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape} is negative")
    form, left = Form(shape, dtype, fortran), size - member.tell()
    if form.num_bytes != left:
        said = f"shape {shape} of {dtype} takes {form.num_bytes:,} bytes"
        raise ValueError(f"{said}, there are {left:,}")
    return form


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member, in the machine's byte order."""
    with archive.open(entry) as member:
        form = _form(member, entry.file_size)
        values = np.empty(math.prod(form.shape), form.dtype)
        view = values.view(np.uint8)
        place = 0
        while place < form.num_bytes:
            part = member.read(min(form.num_bytes - place, 2**20))
            if not part:
                raise ValueError("ends early")
            view[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
        if member.read(1):  # at the end of a member its check sum is compared
            raise ValueError("goes on beyond its array")
    values = values.reshape(form.shape, order="F" if form.fortran else "C")
    return np.ascontiguousarray(values, form.dtype.newbyteorder("="))
