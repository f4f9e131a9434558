"""Specifications of environments from files, which may say anything. Needs no JAX."""

import math
from typing import Any, NamedTuple


class Sizes(NamedTuple):
    """The fields of `types.EnvSpec`, which cannot be imported without JAX."""

    name: str
    agents: tuple[str, ...]
    observation_sizes: tuple[int, ...]
    action_sizes: tuple[int, ...]
    horizon: int
    decision_share: float = 1.0
    continuous: bool = False
    observation_shape: tuple[int, ...] | None = None


def read(fields: Any) -> Sizes:
    """The fields of a specification that was written as JSON.

    Raises:
      ValueError: a field is missing, unknown, or cannot be meant; the message names it.
    """

    def counts(value: Any) -> bool:
        whole = isinstance(value, list) and len(value) > 0
        return whole and all(type(item) is int and 0 < item < 2**31 for item in value)

    if not isinstance(fields, dict):
        raise ValueError("spec must be a JSON object")
    found: dict[str, Any] = {**Sizes._field_defaults, **fields}
    agents, shape = found.get("agents"), found.get("observation_shape")
    share = found["decision_share"]
    if not isinstance(agents, list) or not all(isinstance(name, str) for name in agents):
        agents = []
    number = len(agents)
    sizes = {name: found.get(name) for name in ("observation_sizes", "action_sizes")}
    good = {
        "name": isinstance(found.get("name"), str),
        "agents": 0 < number == len(set(agents)),
        **{name: counts(value) and len(value or ()) == number for name, value in sizes.items()},
        "horizon": counts([found.get("horizon")]),
        "decision_share": type(share) in (int, float) and 0 < share <= 1,
        "continuous": isinstance(found["continuous"], bool),
        "observation_shape": shape is None or counts(shape),
        **{name: False for name in fields if name not in Sizes._fields},
    }
    wrong = [
        name if name in Sizes._fields else ascii(name[:40])
        for name, fine in good.items()
        if not fine
    ]
    if wrong:
        raise ValueError(f"spec.{', spec.'.join(map(str, wrong[:5]))} cannot be meant")
    lists = {name: tuple(found[name]) for name in ("agents", *sizes)}
    spec = Sizes(**{**found, **lists, "observation_shape": None if shape is None else tuple(shape)})
    width = max(spec.observation_sizes)
    if shape is not None and math.prod(shape) != width:
        raise ValueError(f"spec.observation_shape {shape} has not {width}")
    return spec
