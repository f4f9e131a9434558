"""Files of demonstrations, damaged or forged: none may be loaded that plain loops find invalid."""

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.torture import archive_parts, damage, forged_demonstrations
from experiments.torture.check_demonstrations import invalid
from leed_jax import demonstrations
from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.types import EnvSpec

BOMB_BYTES = 1_200_000_000
"""What the largest bombs unpack to, unless told otherwise."""
MARKS = (b"PK", b"\x93NUMPY")
"""Of the headers of zip and npy."""
_BYTES: dict[str, Any] = {
    "untouched": lambda data, draw: data,
    "truncated": damage.cut,
    "bits flipped": damage.bits,
    "bits of headers": lambda data, draw: damage.header_bits(data, draw, MARKS),
    "spliced": damage.splice,
    "something else": damage.other,
}
KINDS = (*_BYTES, *forged_demonstrations.KINDS)
VALID = ("untouched", "same in another form", "compression")
"""Kinds of which every input must load."""


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


class Cases:
    """See `fuzz.Cases`; the input is the content of a file."""

    def __init__(self, seed: int, bomb_bytes: int = BOMB_BYTES) -> None:
        """Makes the whole files that are damaged.

        Args:
          seed: of all draws.
          bomb_bytes: what the largest bombs unpack to.
        """
        self.seed = seed
        self._folder = tempfile.TemporaryDirectory(prefix="leed-fuzz-")
        self.folder = Path(self._folder.name)
        self.hazards = forged_demonstrations.Hazards(self.folder / "exploded", bomb_bytes)
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
            forge = forged_demonstrations.KINDS[kind]
            content = forge(archive_parts.members(data), draw, self.hazards)
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
