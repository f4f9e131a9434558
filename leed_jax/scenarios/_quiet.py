"""JaxMARL environments that warn whenever they are traced."""

import warnings
from typing import Any

from leed_jax.types import State


class Quiet:
    """A JaxMARL environment whose ``reset`` and ``step_env`` keep warnings of its code to itself.

    They say nothing to users: deprecated names inside brax, and jaxnav's integers written into an
    array of booleans (jaxnav_env.py:441).
    """

    def __init__(self, game: Any) -> None:
        self._game = game

    def __getattr__(self, name: str) -> Any:
        return getattr(self._game, name)

    def reset(self, key: Any) -> Any:
        """The environment's own."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._game.reset(key)

    def step_env(self, key: Any, state: State, actions: Any) -> Any:
        """The environment's own."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._game.step_env(key, state, actions)
