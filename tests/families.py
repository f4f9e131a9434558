"""Which scenarios stand for their families in the default run of the tests; the others are slow."""

import importlib.util

REPRESENTATIVES = {
    "coin_game/3x3",
    "hanabi/full",
    "jaxnav/grid_rand_poly",
    "mabrax/hopper_3x1",
    "mpe/simple",
    "mpe/simple_spread",
    "mpe/simple_tag",
    "overcooked_v2/cramped_room",
    "road/braess",
    "smax/3m",
    "storm/storm_2p",
    "switch_riddle/prisoners",
}
"""One or more of every family."""

SMALLER = {"road/luxembourg_main": {"num_agents": 8}, "road/luxembourg_full": {"num_agents": 8}}
"""Options of scenarios that take long to set up as they come."""

NETWORKS = {"smax": "gru", "overcooked_v2": "cnn"}
"""Kinds of networks that families are trained with; the others with an mlp."""


def family(name: str) -> str:
    """What stands in front of the task."""
    return name.partition("/")[0]


def by_default(name: str) -> bool:
    """Whether a scenario is tested in the default run."""
    return name in REPRESENTATIVES


def missing(name: str) -> str | None:
    """Why a scenario cannot be made here, if it cannot."""
    if family(name) == "mabrax" and importlib.util.find_spec("brax") is None:
        return "brax is not installed"
    return None
