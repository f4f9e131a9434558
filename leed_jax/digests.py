"""SHA-256 of arrays, to tell whether two are the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def sha256(arrays: Mapping[str, Any], said: str = "") -> str:
    """Of names, shapes, types and contents of arrays, and of a text.

    Args:
      arrays: by name; their order does not matter.
      said: the text.
    """
    total = hashlib.sha256(said.encode())
    for name in sorted(arrays):
        leaf = np.asarray(arrays[name])
        total.update(f"\n{name} {leaf.dtype} {leaf.shape}\n".encode())
        total.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return total.hexdigest()
