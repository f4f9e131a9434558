"""The loss of value-based methods: a temporal-difference error of the team.

    y_t = r_t + gamma (1 - terminated_t) Q_tot'(s_{t+1}, argmax_a Q(o_{t+1}, a))
    L   = mean over valid t of (Q_tot(s_t, a_t) - y_t)^2

Q' has the target network's parameters. The choice by the present network is double Q-learning (van
Hasselt et al. 2016, 1509.06461).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.config import TrainConfig
from leed_jax.optimization import distributions, losses, mixers, networks
from leed_jax.optimization.replay import Rows, Sequences


def team_values(
    network: networks.Network,
    mixer: mixers.Mixer,
    params: dict[str, Any],
    seen: Sequences,
    choose: Callable[[Float[Array, "T B N A"]], Int[Array, "T B N"]],
) -> tuple[Float[Array, "T B"], Float[Array, "T B N A"]]:
    """The team's values of chosen actions in all rows; also the agents' values of all actions."""
    rows = seen.rows
    values, _ = network.apply(params["actor"], seen.carry, rows.observation, rows.start)
    chosen = distributions.select(values, choose(values))
    return mixer.apply(params.get("mixer", {}), chosen, rows.state), values


class Targets(NamedTuple):
    """What the team's values of all rows but the last are to be, and which of them count."""

    target: Float[Array, "M"]
    valid: Bool[Array, "M"]


def targets(rows: Rows, following: Float[Array, "R B"], gamma: float) -> Targets:
    """Of all rows but the last, flattened.

    Args:
      rows: one behind the other, R + 1 of them.
      following: the team's value of the best actions in each but the first.
      gamma: discount.
    """
    bootstrapped = jnp.where(rows.terminated[:-1], 0.0, following)
    wanted = rows.reward[:-1] + gamma * bootstrapped
    return Targets(wanted.ravel(), rows.valid[:-1].ravel())


def loss(
    params: dict[str, Any],
    target: dict[str, Any],
    seen: Sequences,
    network: networks.Network,
    mixer: mixers.Mixer,
    config: TrainConfig,
) -> Float[Array, ""]:
    """Mean squared temporal-difference error of the team over the valid rows."""
    rows, double = seen.rows, config.value_based.double_q
    count = len(rows.reward) - 1
    # Predicted are the values of all rows but the last, bootstrapped those of all but the first. Of
    # pairs of rows that is half the work; a recurrent network must go through all of them.
    recurrent = config.network.recurrent
    here = rows if recurrent or double else _part(rows, slice(None, -1))
    there = rows if recurrent else _part(rows, slice(1, None))
    present, values = team_values(
        network, mixer, params, seen._replace(rows=here), lambda _: here.action
    )

    def best(values: Array) -> Array:
        return jnp.where(there.action_mask, values, -jnp.inf).argmax(-1)

    choose = (lambda _: best(values[-len(there.reward) :])) if double else best
    following, _ = team_values(network, mixer, target, seen._replace(rows=there), choose)
    wanted = targets(rows, jax.lax.stop_gradient(following[-count:]), config.gamma)
    nothing: Any = None
    predictions = losses.Predictions(nothing, present[:count].ravel(), nothing)
    return losses.TEAM_ERROR.loss(predictions, wanted, None, config)


def _part(rows: Rows, part: slice) -> Rows:
    return jax.tree.map(lambda leaf: leaf[part], rows)
