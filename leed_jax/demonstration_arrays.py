"""The arrays of demonstrations, and what has to hold of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from leed_jax.types import AnyArray, EnvSpec

_LARGEST = float(np.finfo(np.float32).max)


class DemonstrationArrays(NamedTuple):
    """K episodes padded to S steps, as arrays of the host or of a device."""

    observation: Float[AnyArray, "K S N D"]
    action: Int[AnyArray, "K S N"] | Float[AnyArray, "K S N A"]
    """Actions that were executed."""
    action_mask: Bool[AnyArray, "K S N A"]
    reward: Float[AnyArray, "K S N"]
    """Each agent's own."""
    valid: Bool[AnyArray, "K S N"]
    """Rows to learn from: inside the episode, the agent's decision, and the plan's own action."""
    returns: Float[AnyArray, "K N"]
    """Undiscounted, each agent's own; the team sum is the sum over N."""


def check_forms(forms: Mapping[str, Any], spec: EnvSpec) -> None:
    """Raises ``ValueError`` naming the array that has another shape or another kind of numbers.

    Args:
      forms: by name: arrays, or what is said of them before they are read; with shape and dtype.
      spec: the environment's.
    """
    letters = "KSNA" if spec.continuous else "KSN"
    shape = forms["action"].shape
    if len(shape) != len(letters):
        raise ValueError(f"action must be [{', '.join(letters)}], got shape {shape}")
    k, s, *_ = shape
    sizes = {"K": k, "S": s, "N": spec.num_agents}
    sizes |= {"D": spec.observation_size, "A": spec.num_actions}
    wanted = {
        "observation": ("KSND", "f"),
        "action": (letters, "f" if spec.continuous else "i"),
        "action_mask": ("KSNA", "b"),
        "reward": ("KSN", "f"),
        "valid": ("KSN", "b"),
        "returns": ("KN", "f"),
    }
    for name, (letters, kind) in wanted.items():
        values = forms[name]
        shape = tuple(sizes[letter] for letter in letters)
        if values.shape != shape or values.dtype.kind != kind:
            raise ValueError(
                f"{name} must be [{', '.join(letters)}] = {list(shape)} of kind {kind!r}, got "
                f"{list(values.shape)} {values.dtype}"
            )


def check(arrays: DemonstrationArrays, spec: EnvSpec) -> None:
    """Raises ``ValueError`` naming the array that no environment like this can have given."""
    found = {name: np.asarray(values) for name, values in arrays._asdict().items()}
    check_forms(found, spec)
    for name, values in found.items():
        if values.dtype.kind == "f" and not (np.abs(values) <= _LARGEST).all():
            raise ValueError(f"{name} holds NaN or infinite numbers (in 32 bits)")
    valid, action = np.asarray(arrays.valid), np.asarray(arrays.action)
    if not valid.any():
        raise ValueError("valid marks no row: there is nothing to learn from")
    if spec.continuous:
        return
    if action.min() < 0 or action.max() >= spec.num_actions:
        raise ValueError(f"action must be in 0..{spec.num_actions - 1}")
    legal = np.take_along_axis(np.asarray(arrays.action_mask), action[..., None], -1)[..., 0]
    if not legal[valid].all():
        raise ValueError("action holds actions that action_mask forbids, in valid rows")
