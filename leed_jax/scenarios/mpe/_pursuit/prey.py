"""Rules that move the prey: each is a function of the state, and says in words what it does."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from leed_jax.scenarios.mpe._particles import KEPT_VELOCITY, PUSHES, TIME_STEP, steer
from leed_jax.scenarios.mpe._pursuit.field import (
    ARENA,
    OBSTACLE_RADIUS,
    PREY_PUSH,
    PREY_SPEED,
    Field,
)
from leed_jax.types import State

Rule = Callable[[Field, Key[Array, ""], State], Int[Array, "M"]]
"""(field, key, state) -> one of five pushes for every prey."""

FORESIGHT = 5  # steps; of 4 to 7, that with which chasing straight caught least
OUTSIDE, IN_THE_WAY = 4.0, 2.0  # prices of a unit outside the arena, and of one into an obstacle
BODY = OBSTACLE_RADIUS + 0.05
ALARM = 0.5
"""A foraging prey flees from predators nearer than this, units."""


def flee(field: Field, key: Key[Array, ""], state: State) -> Int[Array, "M"]:
    """Away from the nearest predator, inside the arena, around obstacles; see `WORDS`."""
    del key
    predators = field.part(state.p_pos, "predators")
    ahead = predators + FORESIGHT * TIME_STEP * field.part(state.p_vel, "predators")
    obstacles = field.part(state.p_pos, "obstacles")

    def one(place: Float[Array, "2"], velocity: Float[Array, "2"]) -> Int[Array, ""]:
        there = _pushed_on(place, velocity)
        nearest = jnp.linalg.norm(there[:, None] - ahead, axis=-1).min(-1)
        outside = jnp.maximum(jnp.abs(there) - ARENA, 0.0).sum(-1)
        apart = jnp.linalg.norm(there[:, None] - obstacles, axis=-1)
        inside = jnp.maximum(BODY - apart, 0.0).sum(-1)
        return (nearest - OUTSIDE * outside - IN_THE_WAY * inside).argmax()

    return jax.vmap(one)(field.part(state.p_pos, "prey"), field.part(state.p_vel, "prey"))


def forage(field: Field, key: Key[Array, ""], state: State) -> Int[Array, "M"]:
    """As `flee` while a predator is nearer than `ALARM`, else to the nearest food."""
    food = field.part(state.p_pos, "food")
    places = field.part(state.p_pos, "prey")
    velocities = field.part(state.p_vel, "prey")
    apart = jnp.linalg.norm(places[:, None] - field.part(state.p_pos, "predators"), axis=-1)

    def one(prey: Int[Array, ""]) -> Int[Array, ""]:
        nearest = food[jnp.linalg.norm(food - places[prey], axis=-1).argmin()]
        return steer(
            nearest,
            jnp.zeros(()),
            places,
            velocities,
            prey,
            push=PREY_PUSH,
            max_speed=jnp.array(PREY_SPEED),
            obstacles=field.part(state.p_pos, "obstacles"),
            clearance=BODY,
        )

    fed = jax.vmap(one)(jnp.arange(field.num_prey))
    return jnp.where(apart.min(-1) < ALARM, flee(field, key, state), fed)


def at_random(field: Field, key: Key[Array, ""], state: State) -> Int[Array, "M"]:
    """Any of the five pushes in every step."""
    del state
    return jax.random.randint(key, (field.num_prey,), 0, PUSHES.shape[0])


RULES: Mapping[str, Rule] = {"flee": flee, "forage": forage, "random": at_random}

_FLEEING = f"""\
for each of the five pushes it works out where it would be in {FORESIGHT * TIME_STEP:g} s if it \
went on pushing that way, and where the predators would be if they kept their present velocities, \
and takes the push that leaves it farthest from the nearest predator; {OUTSIDE:g} times the \
distance by which it would be outside the square |x|, |y| <= {ARENA} and {IN_THE_WAY:g} times the \
depth by which it would be nearer than {BODY:g} to the centre of an obstacle are subtracted. It \
looks at that one moment only, not at the way there, and does not expect predators to turn"""

WORDS: Mapping[str, str] = {
    "flee": f"A program moves the prey. In every step, {_FLEEING}.",
    "forage": (
        f"A program moves the prey, and it sees everything. While no predator is nearer than "
        f"{ALARM}, a prey goes to the nearest food and stops over it. Else, in every step, "
        f"{_FLEEING}."
    ),
    "random": "A program moves the prey: in every step one of the five pushes at random.",
}
"""What a rule does, for the model."""


def _pushed_on(place: Float[Array, "2"], velocity: Float[Array, "2"]) -> Float[Array, "5 2"]:
    """Where a prey is after `FORESIGHT` steps, for every push that it keeps to."""

    def step(now: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        there, speed = now
        there = there + TIME_STEP * speed
        speed = KEPT_VELOCITY * speed + PREY_PUSH * PUSHES
        amount = jnp.maximum(jnp.linalg.norm(speed, axis=-1, keepdims=True), 1e-6)
        return (there, speed * jnp.minimum(1.0, PREY_SPEED / amount)), None

    start = jnp.broadcast_to(place, PUSHES.shape), jnp.broadcast_to(velocity, PUSHES.shape)
    return jax.lax.scan(step, start, length=FORESIGHT)[0][0]
