"""Which scenarios stand for their families in the default run of the tests; the others are slow."""

import importlib.util

from leed_jax import scenarios

REPRESENTATIVES = {
    "coin_game",
    "hanabi",
    "jaxnav",
    "mabrax/hopper_3x1",
    "mpe/simple",
    "mpe/simple_spread",
    "mpe/simple_tag",
    "overcooked_v2/cramped_room",
    "road/braess",
    "smax/3m",
    "storm/storm_2p",
    "switch_riddle",
}
"""One or two of every family: a name, or the family of which the first name stands for all."""

NETWORKS = {"smax": "gru", "overcooked_v2": "cnn"}
"""Kinds of networks that families are trained with; the others with an mlp."""


def family(name: str) -> str:
    """What stands in front of the task."""
    return name.partition("/")[0]


def by_default(name: str) -> bool:
    """Whether a scenario is tested in the default run."""
    first = next(other for other in scenarios.names() if family(other) == family(name))
    return name in REPRESENTATIVES or (family(name) in REPRESENTATIVES and name == first)


def missing(name: str) -> str | None:
    """Why a scenario cannot be made here, if it cannot."""
    if family(name) == "mabrax" and importlib.util.find_spec("brax") is None:
        return "brax is not installed"
    return None
