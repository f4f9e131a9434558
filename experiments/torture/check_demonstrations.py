"""Whether a file of demonstrations is valid, found with numpy's own reader and plain loops."""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from experiments.torture.forged_demonstrations import ARRAYS, NAMES
from leed_jax import demonstrations
from leed_jax.types import EnvSpec


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
