"""What turns the coin game's words into moves: which cell is meant, and the way there."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from leed_jax.scenarios import Controls, Program
from leed_jax.scenarios.coin_game.game import MOVES, SIZE, STAY, split, steps_between
from leed_jax.types import State

COLLECT, HOLD = range(2)
OWN, OTHER, NEAREST = range(3)


class Target(NamedTuple):
    """Where an agent is sent."""

    cell: Int[Array, "N 2"]
    """Row and column; its own cell where it is to stay."""
    shunned: Bool[Array, "N 2"]
    """Whether it must not step on its own coin, on the other's coin."""


def resolve(state: State, program: Program, memory: Any) -> tuple[Target, Any]:
    """Where every agent is sent; coins are followed when they move."""
    places, own, other = split(state)
    first, second = program.arguments[:, 0], program.arguments[:, 1]
    nearer = steps_between(places, other) < steps_between(places, own)
    to_other = (first == OTHER) | ((first == NEAREST) & nearer)
    apart = (own != other).any(-1)
    around = (second == 2) | ((second == 1) & apart)
    collecting = (program.op == COLLECT)[:, None]
    cell = jnp.where(collecting, jnp.where(to_other[:, None], other, own), places)
    second_coin = jnp.stack([around & to_other, around & ~to_other], -1)
    left = jnp.stack([(first == 1) | (first == 3), (first == 2) | (first == 3)], -1)
    return Target(cell, jnp.where(collecting, second_coin, left)), memory


def _step(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The move that ends nearest to the target's cell and on no shunned coin, staying if equal."""
    places, own, other = split(state)
    reached = (places[agent] + MOVES) % SIZE
    coins = jnp.stack([own[agent], other[agent]])
    on_coin = (reached[:, None] == coins).all(-1)
    price = 2 * steps_between(reached, target.cell)
    price = price + jnp.where((on_coin & target.shunned).any(-1), 100, 0)
    return price.at[STAY].add(-1).argmin(), jnp.array(False)


def _collect(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_step`; finished with the step onto the coin."""
    action, _ = _step(target, state, agent)
    places, _, _ = split(state)
    return action, ((places[agent] + MOVES[action]) % SIZE == target.cell).all()


def _other_last(state: State, kind: int) -> Bool[Array, "N"]:
    """The other agent's last coin was of this kind: 1 its own colour, 2 not."""
    return state.last_state[::-1] == kind


def _other_nearer(state: State, target: Target) -> Bool[Array, "N"]:
    places, own, _ = split(state)
    return steps_between(places[::-1], own) < steps_between(places, own)


def _other_coin_nearer(state: State, target: Target) -> Bool[Array, "N"]:
    places, own, other = split(state)
    return steps_between(places, other) < steps_between(places, own)


def _coins_together(state: State, target: Target) -> Bool[Array, "N"]:
    _, own, other = split(state)
    return (own == other).all(-1)


CONTROLS = Controls(
    init=lambda state: (),
    resolve=resolve,
    controllers=(_collect, _step),
    # In the order of `words.CONDITIONS`.
    conditions=(
        lambda state, target: _other_last(state, 2),
        lambda state, target: _other_last(state, 1),
        _other_nearer,
        _other_coin_nearer,
        _coins_together,
    ),
)
