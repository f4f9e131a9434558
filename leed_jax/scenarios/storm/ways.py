"""Shortest ways on Storm's board.

A way is a shortest one over cells and facings (turning is a step), with a price on cells that are
to be avoided; it is found anew in every step by relaxing the distances of the whole board.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.scenarios.storm import games
from leed_jax.scenarios.storm.games import STEP, Variant, View

FAR = 1e4
COIN_PRICE, AGENT_PRICE = 20.0, 6.0  # steps that a detour around a cell may cost


def goals(
    variant: Variant, cell: Int[Array, "N 2"], zapping: Bool[Array, "N"], size: int
) -> Bool[Array, "N 4 G G"]:
    """Facings and cells from which the target is reached: stood on, or in reach of a zap."""
    facing, row, column = jnp.meshgrid(
        jnp.arange(4), jnp.arange(size), jnp.arange(size), indexing="ij"
    )
    place = jnp.stack([row, column], -1)
    ahead, right = games.relative(place, facing, cell[:, None, None, None])
    reach = games.aim(variant, ahead, right) >= 0
    return jnp.where(zapping[:, None, None, None], reach, (ahead == 0) & (right == 0))


def prices(now: View, shunned: Bool[Array, "N 2"]) -> Float[Array, "N G G"]:
    """Steps of detour that not stepping on a cell is worth, given the kinds of coins to avoid."""
    n, size = shunned.shape[0], now.zapped.shape[0]
    coins = (now.coins[None] & shunned[:, :, None, None]).any(1)
    others = jnp.zeros((n, size, size), bool)
    for index in range(n):
        row, column = now.place[index]
        here = jnp.zeros((size, size), bool).at[row, column].set(True)
        others = others | (here[None] & (jnp.arange(n) != index)[:, None, None])
    return jnp.where(coins, COIN_PRICE, 0.0) + jnp.where(others, AGENT_PRICE, 0.0)


def way(
    now: View, goal: Bool[Array, "N 4 G G"], price: Float[Array, "N G G"], stay: int
) -> Int[Array, "N"]:
    """The first action of a shortest way to the nearest goal, forward first; there: stay."""
    size, agents = price.shape[-1], jnp.arange(price.shape[0])

    def onward(field: Float[Array, "N 4 G G"]) -> Float[Array, "N 4 G G"]:
        """Price of going forward from every facing and cell; walls are far."""
        entered = jnp.pad(
            field + price[:, None], ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=FAR
        )
        return 1.0 + jnp.stack(
            [
                entered[:, d, 1 + row : 1 + row + size, 1 + column : 1 + column + size]
                for d, (row, column) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0)))
            ],
            axis=1,
        )

    def relax(_: Any, field: Float[Array, "N 4 G G"]) -> Float[Array, "N 4 G G"]:
        turned = 1.0 + jnp.minimum(jnp.roll(field, 1, 1), jnp.roll(field, -1, 1))
        return jnp.where(goal, 0.0, jnp.minimum(field, jnp.minimum(turned, onward(field))))

    field = jax.lax.fori_loop(0, 3 * size, relax, jnp.where(goal, 0.0, FAR))
    row, column = now.place.T
    options = jnp.stack(
        [
            onward(field)[agents, now.facing, row, column],
            field[agents, (now.facing + 1) % 4, row, column] + 1,
            field[agents, (now.facing - 1) % 4, row, column] + 1,
        ]
    )
    actions = jnp.array([games.FORWARD, games.CLOCKWISE, games.ANTICLOCKWISE])
    there = goal[agents, now.facing, row, column]
    return jnp.where(there, stay, actions[options.argmin(0)])


def explore(now: View, margin: Int[Array, "N"]) -> Int[Array, "N"]:
    """Forward, or a clockwise turn at ``margin`` cells from the wall or before another agent."""
    step = STEP[now.facing]
    limit = now.place + step * (margin[:, None] + 1)
    free = ((limit >= 0) & (limit < now.zapped.shape[0])).all(-1)
    taken = (now.place[None] == (now.place + step)[:, None]).all(-1).any(-1)
    return jnp.where(free & ~taken, games.FORWARD, games.CLOCKWISE)
