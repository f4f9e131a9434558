"""The data set of DAgger (Ross et al. 2011, 1011.0686): labelled rows of all rollouts so far.

The algorithm learns from the union of all rounds. In fixed memory that is a sample of it: after
round k every place holds one of the rows of all k rounds, each of them equally likely. A place
takes a row of round k with probability 1/k, and else keeps what it has:

    P(row of round j in the place after k rounds) = 1/j * j/(j+1) * ... * (k-1)/k = 1/k

A window of the last rounds would need as much memory and forget the first ones, on whose rows the
expert itself acted.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import minibatches
from leed_jax.optimization.experience import Material, Noted


def labels_of(material: Material) -> Material:
    """The part of a rollout that its labels are learnt with; no values, no global state."""
    nothing: Any = None
    kept = {"valid", "decision", "label", "label_weight"}
    dropped = {name: nothing for name in material.batch._fields if name not in kept}
    batch = material.batch._replace(**dropped)
    return material._replace(batch=batch, global_state=None, noted=Noted())


def empty(like: Material, size: int) -> Material:
    """``size`` places (sequences of environments, if recurrent) for rows like those of a rollout.

    Args:
      like: a rollout's `labels_of`, or its shapes.
      size: M.
    """

    def zeros(leaf: Any, axis: int) -> Array:
        shape = (*leaf.shape[:axis], size, *leaf.shape[axis + 1 :])
        return jnp.zeros(shape, leaf.dtype)

    return _over(zeros, like)


def add(
    held: Material, rollout: Material, key: Key[Array, ""], rounds: Int[Array, ""], groups: int
) -> Material:
    """The sample after one more round.

    Args:
      held: the sample of the rounds before.
      rollout: `labels_of` this round's.
      key: draws the places and their new rows.
      rounds: before this one; at 0 every place gets a row.
      groups: of environments, ``config.shuffle_groups``; each keeps to places of its own.
    """
    place_key, row_key = jax.random.split(key)
    size, available = held.start.shape[1], rollout.start.shape[1]
    taken = jax.random.bernoulli(place_key, 1.0 / (rounds + 1.0), (size,))
    index = jax.random.randint(row_key, (size,), 0, available // groups)
    fresh = minibatches.take(rollout, index, groups)

    def replace(new: Array, axis: int, old: Array) -> Array:
        shape = [1] * new.ndim
        shape[axis] = size
        return jnp.where(taken.reshape(shape), new, old)

    return _over(replace, fresh, held)


def _over(function: Any, material: Material, *others: Material) -> Material:
    """``function(leaf, axis of rows, other leaves)`` on every array."""
    parts = material, *others
    rows = jax.tree.map(
        lambda leaf, *rest: function(leaf, 1, *rest),
        *(part._replace(carries=None) for part in parts),
    )
    carries = jax.tree.map(
        lambda leaf, *rest: function(leaf, 0, *rest), *(part.carries for part in parts)
    )
    return rows._replace(carries=carries)


def picks(
    key: Key[Array, ""], config: TrainConfig, size: int, population: int
) -> Int[Array, "G B"]:
    """Places for every gradient step, as many as a minibatch of a rollout has, with replacement.

    Args:
      key: draws them.
      config: epochs, minibatches and groups.
      size: places that there are.
      population: rows of a rollout, `minibatches.population`.
    """
    groups = config.shuffle_groups
    batch = population // groups // config.num_minibatches * groups
    shape = config.num_epochs * config.num_minibatches, batch
    return jax.random.randint(key, shape, 0, size // groups)


def mixture(config: TrainConfig, rounds: Int[Array, ""]) -> Float[Array, ""]:
    """Share of steps in which the expert acts: ``expert.mixture_decay ** rounds``, 1 at first."""
    return jnp.power(config.expert.mixture_decay, rounds.astype(jnp.float32))
