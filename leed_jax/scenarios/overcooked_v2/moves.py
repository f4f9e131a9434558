"""How two cooks get to their places past each other, by rule.

In every step one cook has the right of way (`right_of_way`) and is a step nearer to its place
afterwards, because the other one chooses among the moves that let it through. So nobody stands in
another's way for ever, and every step aside is an action in the demonstrations.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from leed_jax.scenarios.overcooked_v2 import facts, kitchen
from leed_jax.scenarios.overcooked_v2.facts import Facts
from leed_jax.scenarios.overcooked_v2.kitchen import Kitchen

STAND = 4
"""Of the moves of `Kitchen.beyond`: none. The cook stays, or acts on what it faces."""
ORDER = (STAND, kitchen.RIGHT, kitchen.DOWN, kitchen.LEFT, kitchen.UP)
"""Which of equally good moves is preferred."""
TIES = len(ORDER) ** 2
FIRST = 1000
"""Weight of a step of the cook with the right of way, against one of the other's."""


def right_of_way(now: Facts, place: Int[Array, "N"], able: Bool[Array, "N"]) -> Int[Array, ""]:
    """The cook that goes first.

    In this order: who can act at once; who is on the way to something that can be done now; who
    holds a plate of soup, an empty plate, an ingredient, nothing; the lower number.
    """
    there = jnp.take_along_axis(now.steps, place[:, None], 1)[:, 0] == 0
    order = 100 * (able & there).astype(jnp.int32) + 10 * able.astype(jnp.int32)
    return (order + facts.kind_of(now.held)).argmax()


def act(
    where: Kitchen, now: Facts, place: Int[Array, "N"], able: Bool[Array, "N"]
) -> Int[Array, "N"]:
    """JaxMARL's actions that bring both cooks to their places, or have them act there.

    Of all pairs of moves the one that leaves the cook with the right of way the fewest steps, and
    of these the one that leaves the other the fewest.

    Args:
      where: the kitchen.
      now: the state.
      place: of `Kitchen.steps`, where each cook is to go.
      able: whether there is something to act on there, now.
    """
    first = right_of_way(now, place, able)
    pair = jnp.stack([first, 1 - first])
    choices = jnp.meshgrid(jnp.asarray(ORDER), jnp.asarray(ORDER), indexing="ij")
    moves = jnp.stack([turn.ravel() for turn in choices])  # [2 25]
    here = now.me[pair][:, None]
    there = jnp.asarray(where.beyond)[here, moves]
    blocked = kitchen.clash(there[0], there[1], here[0], here[1])
    there = jnp.where(blocked, here, there)
    turned = jnp.asarray([*kitchen.FACING.tolist(), 0])[moves]
    turned = jnp.where(moves == STAND, now.direction[pair][:, None], turned)
    away = jnp.asarray(where.steps)[place[pair][:, None], there, turned, there[::-1]]
    best = (TIES * (FIRST * away[0] + away[1]) + jnp.arange(TIES)).argmin()
    chosen = moves[:, best][pair]  # exchanging two is undone by exchanging them again
    arrived = jnp.take_along_axis(now.steps, place[:, None], 1)[:, 0] == 0
    standing = jnp.where(able & arrived, kitchen.INTERACT, kitchen.STAY)
    return jnp.where(chosen == STAND, standing, chosen).astype(jnp.int32)
