"""The field of a pursuit game: who is on it, how fast and how large, and what is measured."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.types import AnyArray, Measure, State

# Of simple_tag, simple_world_comm and simple_facmac alike (jaxmarl/environments/mpe): gain of
# velocity by a push (0.1 s times acceleration) and highest speed, units/s; radii, units.
PREDATOR_PUSH, PREDATOR_SPEED, PREDATOR_RADIUS = 0.3, 1.0, 0.075
PREY_PUSH, PREY_SPEED = 0.4, 1.3
OBSTACLE_RADIUS, FOOD_RADIUS, FOREST_RADIUS = 0.2, 0.03, 0.3
ARENA = 0.9
"""Half the side of the square that the prey does not want to leave, units."""


class Field(NamedTuple):
    """How many there are of everything, in the order of the state's arrays."""

    num_predators: int
    num_prey: int
    num_obstacles: int
    num_food: int = 0
    num_forests: int = 0
    prey_radius: float = 0.05
    """Units."""

    @property
    def touch(self) -> float:
        """A predator touches a prey when their centres are nearer, units."""
        return PREDATOR_RADIUS + self.prey_radius

    def part(self, values: Float[AnyArray, "*b X 2"], what: str) -> Any:
        """The rows of one kind, from ``p_pos`` or ``p_vel`` of a state or of many.

        Args:
          values: the state's array.
          what: "predators", "prey", "obstacles", "food" or "forests".
        """
        kinds = ("predators", "prey", "obstacles", "food", "forests")
        first = sum(self[: kinds.index(what)])
        return values[..., first : first + self[kinds.index(what)], :]


class Hunted:
    """A JaxMARL pursuit game whose only agents are the predators; a rule moves the prey.

    As a ``MultiAgentEnv`` as far as `environments.jaxmarl.as_array_env` looks into it.
    """

    def __init__(
        self, game: Any, field: Field, prey: Callable[[Key[Array, ""], State], Any]
    ) -> None:
        """``prey``: (key, state) -> an action for every prey, [M ...]."""
        self.agents = list(game.agents[: field.num_predators])
        self.action_space, self.reset = game.action_space, game.reset
        self._game, self._prey = game, prey
        self._hunted = game.agents[field.num_predators :]

    def step_env(self, key: Any, state: State, actions: dict[str, Any]) -> Any:
        """JaxMARL's own, with the predators' actions only."""
        key, prey_key = jax.random.split(key)
        chosen = self._prey(prey_key, state)
        others = {agent: chosen[index] for index, agent in enumerate(self._hunted)}
        return self._game.step_env(key, state, {**actions, **others})


def distances(field: Field, state: State) -> Float[Array, "N M"]:
    """From every predator to every prey, centre to centre, units."""
    predators = field.part(state.p_pos, "predators")
    return jnp.linalg.norm(predators[:, None] - field.part(state.p_pos, "prey"), axis=-1)


def touching(field: Field, state: State) -> Bool[Array, "N M"]:
    """Which predator touches which prey."""
    return distances(field, state) < field.touch


def measures(field: Field) -> tuple[Measure, ...]:
    """Catches, and how near the predators come."""

    def caught(state: State) -> Int[Array, ""]:
        return touching(field, state).sum()

    return (
        Measure(
            "catches",
            lambda state: caught(state).astype(jnp.float32),
            "sum",
            "predators touching a prey, summed over the steps of an episode; more is better",
        ),
        Measure(
            "steps_with_catch",
            lambda state: (caught(state) > 0).astype(jnp.float32),
            "sum",
            "steps of an episode in which any predator touches a prey; more is better",
        ),
        Measure(
            "prey_distance",
            lambda state: distances(field, state).min(0).mean(),
            "mean",
            "distance from a prey to the predator nearest to it, mean over the episode; "
            "less is better",
        ),
    )
