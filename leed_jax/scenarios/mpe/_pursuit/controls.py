"""Instructions for predators as pushes: where every command sends its agent, and how it drives."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.instructions import Choice, Number, Vocabulary
from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.mpe._particles import PUSHES, TIME_STEP, steer
from leed_jax.scenarios.mpe._pursuit.field import (
    ARENA,
    OBSTACLE_RADIUS,
    PREDATOR_PUSH,
    PREDATOR_RADIUS,
    PREDATOR_SPEED,
    Field,
    distances,
    touching,
)
from leed_jax.scenarios.mpe._pursuit.words import (
    BLOCK,
    CHASE,
    ENCIRCLE,
    IN_PLACE,
    MOVE_TO_POINT,
    NEAR,
    SYMBOLS,
)
from leed_jax.types import State

CORNER_PLACES = ARENA * jnp.array([[-1, 1], [1, 1], [-1, -1], [1, -1]], jnp.float32)
"""In the order of `words.CORNERS`."""
EDGE = 0.7
GRID = jnp.linspace(-1.0, 1.0, 5)
ANY_PUSH = jnp.stack(jnp.meshgrid(GRID, GRID), -1).reshape(-1, 2)
"""Pushes that a predator with continuous actions chooses from; the first components vary first."""


class Target(NamedTuple):
    """Where a predator is sent, and what it is to mind on its way."""

    point: Float[Array, "N 2"]
    prey: Int[Array, "N"]
    """Which prey it is sent after, -1 for none."""
    team_distance: Float[Array, "N"]
    clearance: Float[Array, "N"]
    """From the centres of obstacles; 0 ignores them."""
    say: Int[Array, "N"]
    """Number of a symbol."""


def make(
    field: Field,
    vocabulary: Vocabulary,
    more_conditions: tuple[Callable[[State, Target], Bool[Array, "N"]], ...] = (),
    *,
    continuous: bool = False,
    speaks: bool = False,
) -> Controls:
    """Controls of the commands in `words.vocabulary`.

    Args:
      field: who is on it.
      vocabulary: theirs, where arguments are found by name.
      more_conditions: after those of every pursuit game.
      continuous: actions are vectors [5] in [-1, 1], of (none, left, right, down, up).
      speaks: the first agent's action is its push, plus 5 times what it says.
    """

    def drive(target: Target, state: State, agent: Int[Array, ""]) -> Any:
        pushes = ANY_PUSH if continuous else PUSHES
        index = steer(
            target.point,
            target.team_distance,
            field.part(state.p_pos, "predators"),
            field.part(state.p_vel, "predators"),
            agent,
            push=PREDATOR_PUSH,
            max_speed=jnp.array(PREDATOR_SPEED),
            pushes=pushes,
            obstacles=field.part(state.p_pos, "obstacles"),
            clearance=target.clearance,
        )
        if continuous:
            x, y = pushes[index]
            return jnp.stack([jnp.zeros(()), -x, x, -y, y])
        spoken = jnp.where(agent == 0, target.say * PUSHES.shape[0], 0) if speaks else 0
        return index + spoken

    def chase(target: Target, state: State, agent: Int[Array, ""]) -> Any:
        caught = touching(field, state)[agent, target.prey]
        return drive(target, state, agent), caught

    def go(target: Target, state: State, agent: Int[Array, ""]) -> Any:
        place = field.part(state.p_pos, "predators")[agent]
        there = jnp.linalg.norm(place - target.point) < IN_PLACE
        return drive(target, state, agent), there

    def hold(target: Target, state: State, agent: Int[Array, ""]) -> Any:
        return drive(target, state, agent), jnp.array(False)

    return Controls(
        init=lambda state: jnp.full(field.num_predators, -1),
        resolve=lambda state, program, claims: resolve(field, vocabulary, state, program, claims),
        controllers=(chase, go, go, go, hold),
        conditions=(*conditions(field), *more_conditions),
    )


def resolve(
    field: Field, vocabulary: Vocabulary, state: State, program: Program, claims: Int[Array, "N"]
) -> tuple[Target, Int[Array, "N"]]:
    """Where every predator is sent; preys that are shared out are claimed at the start, and kept.

    Args:
      field: who is on it.
      vocabulary: where the arguments are found by name.
      state: the game's.
      program: instructions in force.
      claims: the prey shared out to each agent, -1 for none.
    """
    given = arguments(vocabulary, program)
    op = program.op
    places = field.part(state.p_pos, "predators")
    prey, motion = field.part(state.p_pos, "prey"), field.part(state.p_vel, "prey")
    after = (op == CHASE) | (op == ENCIRCLE) | (op == BLOCK)

    which = given.get("prey", jnp.zeros_like(op))
    away = distances(field, state)
    shared = after & (which == field.num_prey + 1)
    claims = jnp.where(program.started | ~shared, -1, claims)
    claims = share_out(away, claims, shared & (claims < 0))
    nearest = away.argmin(-1)
    said = state.c[0]
    announced = jnp.where(
        (said.sum() > 0) & (said.argmax() < field.num_prey), said.argmax(), nearest
    )
    chosen = jnp.where(which < field.num_prey, which, nearest)
    chosen = jnp.where(which == field.num_prey + 2, announced, chosen)
    chosen = jnp.where(shared, claims, chosen)

    place, velocity = prey[chosen], motion[chosen]
    lead = TIME_STEP * given["lead"]
    place = place + lead[:, None] * velocity
    offsets = [jnp.zeros(op.shape), _bearing(velocity), _bearing(-prey[chosen])]
    angle = jnp.deg2rad(given["angle"]) + jnp.select(
        [given["measured_from"] == index for index in range(3)], offsets, 0.0
    )
    side = given["distance"][:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
    ends = given["share"][:, None] * (_blocked(field, state, given["place"], place) - place)
    point = jnp.select(
        [(op == kind)[:, None] for kind in (CHASE, ENCIRCLE, BLOCK, MOVE_TO_POINT)],
        [place, place + side, place + ends, jnp.stack([given["x"], given["y"]], -1)],
        places,
    )
    gap = given["obstacle_gap"]
    hunted = jnp.where(after, chosen, -1)
    say = given.get("say", jnp.zeros_like(op))
    number = jnp.where(after & (chosen < len(SYMBOLS)), chosen, len(SYMBOLS) - 1)
    return Target(
        point=point,
        prey=hunted,
        team_distance=given["team_distance"],
        clearance=jnp.where(gap > 0, gap + OBSTACLE_RADIUS + PREDATOR_RADIUS, 0.0),
        say=jnp.where(say == len(SYMBOLS), number, say),
    ), claims


def arguments(vocabulary: Vocabulary, program: Program) -> dict[str, Any]:
    """By parameter's name: a `Choice`'s code or a `Number`'s value per agent; 0 where absent."""
    found: dict[str, Any] = {}
    known: dict[str, Choice | Number] = {
        parameter.name: parameter
        for command in vocabulary.commands
        for parameter in command.parameters
    }
    for name, parameter in known.items():
        lists = [[p.name for p in command.parameters] for command in vocabulary.commands]
        columns = jnp.array([names.index(name) if name in names else -1 for names in lists])
        column = columns[program.op]
        code = jnp.take_along_axis(program.arguments, jnp.maximum(column, 0)[:, None], 1)[:, 0]
        if isinstance(parameter, Number):
            value = parameter.low + parameter.resolution * code.astype(jnp.float32)
            found[name] = jnp.where(column >= 0, value, 0.0)
        else:
            found[name] = jnp.where(column >= 0, code, 0)
    return found


def share_out(
    away: Float[Array, "N M"], claims: Int[Array, "N"], wanting: Bool[Array, "N"]
) -> Int[Array, "N"]:
    """``claims`` with a prey for every wanting agent: closest pair first, equally many to each."""
    num_agents, num_prey = away.shape
    most = -(-num_agents // num_prey)

    def assign(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        claims, wanting = carry
        full = (claims[:, None] == jnp.arange(num_prey)).sum(0) >= most
        price = away + jnp.where(full, 1e3, 0.0) + jnp.where(wanting, 0.0, jnp.inf)[:, None]
        agent, prey = jnp.divmod(price.argmin(), num_prey)
        claims = claims.at[agent].set(jnp.where(wanting.any(), prey, claims[agent]))
        return claims, wanting.at[agent].set(False)

    return jax.lax.fori_loop(0, num_agents, assign, (claims, wanting))[0]


def conditions(field: Field) -> tuple[Callable[[State, Target], Bool[Array, "N"]], ...]:
    """In the order of `words.conditions`."""

    def everyone(held: Bool[Array, ""]) -> Bool[Array, "N"]:
        return jnp.broadcast_to(held, (field.num_predators,))

    def own_prey(state: State, target: Target) -> Int[Array, "N"]:
        return jnp.where(target.prey >= 0, target.prey, distances(field, state).argmin(-1))

    def prey_near(state: State, target: Target) -> Bool[Array, "N"]:
        away = distances(field, state)
        return away[jnp.arange(field.num_predators), own_prey(state, target)] < NEAR

    def prey_at_edge(state: State, target: Target) -> Bool[Array, "N"]:
        place = field.part(state.p_pos, "prey")[own_prey(state, target)]
        return (jnp.abs(place) > EDGE).any(-1)

    def everyone_in_place(state: State, target: Target) -> Bool[Array, "N"]:
        away = jnp.linalg.norm(field.part(state.p_pos, "predators") - target.point, axis=-1)
        return everyone((away < IN_PLACE).all())

    def any_catch(state: State, target: Target) -> Bool[Array, "N"]:
        return everyone(touching(field, state).any())

    return any_catch, prey_near, prey_at_edge, everyone_in_place


def _bearing(vectors: Float[Array, "N 2"]) -> Float[Array, "N"]:
    """Angle from the x axis, radians; 0 for a vector of length 0."""
    return jnp.arctan2(vectors[:, 1], vectors[:, 0])


def _blocked(
    field: Field, state: State, code: Int[Array, "N"], prey: Float[Array, "N 2"]
) -> Float[Array, "N 2"]:
    """The places behind codes of `words.block_places`."""
    still = state.p_pos[field.num_predators + field.num_prey :]
    fixed = jnp.concatenate([CORNER_PLACES, jnp.zeros((1, 2)), still])
    corner = jnp.linalg.norm(prey[:, None] - CORNER_PLACES, axis=-1).argmin(-1)
    named = fixed[jnp.minimum(code, fixed.shape[0] - 1)]
    return jnp.where((code == fixed.shape[0])[:, None], CORNER_PLACES[corner], named)
