"""Archives of arrays (``.npz``) put together by hand, so that they can lie."""

import functools
import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np


def members(data: bytes) -> dict[str, bytes]:
    """Names and bytes of an archive's members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def packed(listed: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        for name, content in listed:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def npy(values: Any, **options: Any) -> bytes:
    """A member of this array."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(values), **options)
    return out.getvalue()


def array(content: bytes) -> np.ndarray:
    """The array of a member."""
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def claimed(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """A member with this text for a header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + body


def doubled(listed: list[tuple[str, bytes]], name: str) -> bytes:
    """The same name twice; zipfile warns about it, so a stand-in of equal length is renamed."""
    stand_in = "~" * len(name)
    data = packed([*listed, (stand_in, dict(listed)[name])])
    return data.replace(stand_in.encode(), name.encode())


@functools.cache
def zeros(size: int, level: int) -> bytes:
    """``size`` zeros, deflated: to a 230th at level 1, to a 1000th at level 9."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    block = bytes(2**20)
    parts = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, packer.compress(bytes(size % len(block))), packer.flush()])


@functools.cache
def check_sum(front: bytes, size: int) -> int:
    """CRC-32 of ``front`` and ``size`` zeros."""
    found, block = zlib.crc32(front), bytes(2**20)
    for _ in range(size // len(block)):
        found = zlib.crc32(block, found)
    return zlib.crc32(bytes(size % len(block)), found)


def with_raw(listed: list[tuple[str, bytes]], name: str, raw: bytes, size: int, crc: int) -> bytes:
    """An archive with one more member, of deflated bytes as they are."""
    out = io.BytesIO(packed(listed))
    with zipfile.ZipFile(out, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.compress_type, entry.file_size, entry.compress_size = 8, size, len(raw)
        entry.CRC = crc
        entry.header_offset = archive.start_dir
        assert archive.fp is not None
        archive.fp.seek(archive.start_dir)
        archive.fp.write(entry.FileHeader(zip64=False))
        archive.fp.write(raw)
        archive.start_dir = archive.fp.tell()
        archive.filelist.append(entry)
        archive.NameToInfo[name] = entry
        archive._didModify = True  # pyright: ignore[reportAttributeAccessIssue]
    return out.getvalue()


@functools.cache
def many(count: int) -> bytes:
    """An archive of so many empty members."""
    return packed([(f"{number}.npy", b"") for number in range(count)])
