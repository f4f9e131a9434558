"""Bytes of a file, damaged without regard to what they mean."""

import random


def cut(data: bytes, draw: random.Random) -> bytes:
    """The first bytes alone."""
    return data[: draw.randrange(len(data))]


def bits(data: bytes, draw: random.Random) -> bytes:
    """Flips anywhere."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 4, 40))):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def header_bits(data: bytes, draw: random.Random, marks: tuple[bytes, ...]) -> bytes:
    """Flips within 60 bytes behind the ``marks``, where bytes mean something."""
    found = bytearray(data)
    starts = [place for mark in marks for place in places(data, mark)]
    for _ in range(draw.choice((1, 2, 5))):
        place = min(draw.choice(starts) + draw.randrange(60), len(found) - 1)
        found[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, found[place] ^ 1))
    return bytes(found)


def places(data: bytes, mark: bytes) -> list[int]:
    """Where ``mark`` is."""
    found, place = [], data.find(mark)
    while place >= 0:
        found.append(place)
        place = data.find(mark, place + 1)
    return found


def splice(data: bytes, draw: random.Random) -> bytes:
    """Something left out, repeated, overwritten or added."""
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


def other(data: bytes, draw: random.Random) -> bytes:
    """Something else."""
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
