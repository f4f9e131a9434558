"""Demonstrations that no model instructed: from arrays, from policies, to and from Minari."""

from leed_jax.interchange.arrays import demonstrations_from_arrays
from leed_jax.interchange.minari import load_minari, save_minari
from leed_jax.interchange.reading import read_demonstrations
from leed_jax.interchange.recording import demonstrations_from_policy

__all__ = [
    "demonstrations_from_arrays",
    "demonstrations_from_policy",
    "load_minari",
    "read_demonstrations",
    "save_minari",
]
