"""λ from what happens: how far every agent still is from its expert, and whether imitation helps.

    λ_i = final_weight + (weight - final_weight) s_i q_i

The share s_i says how much there is left to learn from the expert, the trust q_i whether learning
from it gets the agent anywhere. The idea of a balance per agent that dynamic time warping decides
is RELED's (arXiv 2511.19368); its formulas were not at hand, all of these are our own:

    g_i = clip((E_i - R_i) / (E_i - R_i0), 0, 1)      0 if E_i <= R_i0; 1 until an episode has ended
    w_i = clip((E_i - R_i0) / D_i, 0, 1)^2                 1 if D_i = 0, and until one has ended
    s_i = w_i g_i                                                             schedule "return_gap"
    s_i = w_i min(g_i / GATE, 1) clip((d_i - e_i) / (d_i0 - e_i), 0, 1)       schedule "dtw"

E: mean return of the demonstrations, D: its deviation over them, R: running mean of the learner's
training episodes, R_0: its first value. d: running mean of the warping distance of pieces of the
learner's episodes to the nearest demonstration (`distances`), d_0: that of the first rollout, e:
that of demonstrations to each other. From an expert who is hardly better than the first policy,
measured by what episodes differ, there is little to learn, and g_i is mostly luck: hence the worth
w_i. The gate of "dtw" ends imitation of an expert who is no better than the learner.

The guard. An update is progress for agent i if its R_i exceeds the best so far by `guard_progress`
of E_i - R_i0, or if the expert loss falls below the best so far by `guard_progress` of its first
value, unless it was low already: below `guard_loss` of its first value. After more than
`guard_patience` (a share of all updates) of updates without progress, every further one multiplies
q_i by exp(-1 / patience), until there is progress again. q_i never rises: λ would go up with a
return that only rose because λ had gone down.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from leed_jax.config import ExpertConfig, TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import distances, methods

GATE = 0.1
"""Share of the first gap in returns below which "dtw" fades, to nothing where there is no gap."""
LEAST_CONTRAST = 0.05
"""If the first policy is nearer to the demonstrations than this share beyond their distance to each
other, distances tell nothing, and are not asked."""
ADAPTIVE = ("return_gap", "dtw")
"""Schedules that need all this."""


class Reference(NamedTuple):
    """What a learner is compared with, of every agent."""

    agent_return: Float[Array, "N"]
    """Mean of the demonstrations."""
    return_deviation: Float[Array, "N"]
    """Standard deviation of the demonstrations' returns."""
    sequences: Float[Array, "K N L D"] | None
    """Of some demonstrations, for "dtw"."""
    deviation: Float[Array, "N D"] | None
    """Of the features in the demonstrations."""
    distance: Float[Array, "N"] | None
    """Mean distance of these demonstrations to the nearest other."""


class Observed(NamedTuple):
    """What a rollout shows of it."""

    count: Float[Array, ""]
    """Episodes that ended."""
    agent_return: Float[Array, "N"]
    """Sum of their returns."""
    sequences: Float[Array, "J N L D"] | None = None
    """Pieces of episodes, from `distances.pieces`."""
    found: Bool[Array, "J N"] | None = None


class Balance(NamedTuple):
    """What is remembered of every agent; part of the training's state."""

    episodes: Float[Array, ""]
    """Ended so far."""
    agent_return: Float[Array, "N"]
    """R, a running mean."""
    first_return: Float[Array, "N"]
    best_return: Float[Array, "N"]
    first_loss: Float[Array, "N"]
    best_loss: Float[Array, "N"]
    first_distance: Float[Array, "N"]
    distance: Float[Array, "N"]
    stalled: Float[Array, "N"]
    """Updates since the last progress."""
    trust: Float[Array, "N"]
    updates: Float[Array, ""]


def used(config: TrainConfig, method: methods.Method) -> bool:
    """Whether there is a λ that adapts."""
    return method.weighs and method.weight is None and config.expert.schedule in ADAPTIVE


def begin(num_agents: int) -> Balance:
    """Before the first update."""
    blank = {name: jnp.zeros(num_agents) for name in Balance._fields}
    numbers = {"episodes": jnp.zeros(()), "updates": jnp.zeros(())}
    return Balance(**blank | numbers | {"trust": jnp.ones(num_agents)})


def reference(demos: Demonstrations, config: ExpertConfig) -> Reference:
    """What the demonstrations are to be compared by."""
    arrays = demos.arrays
    each = np.asarray(arrays.returns)
    returns = jnp.asarray(each.mean(0), jnp.float32), jnp.asarray(each.std(0), jnp.float32)
    if config.schedule != "dtw":
        return Reference(*returns, None, None, None)
    observation, valid = np.asarray(arrays.observation), np.asarray(arrays.valid)
    rows = observation.reshape(-1, *observation.shape[2:])
    counted = valid.reshape(-1, valid.shape[-1])
    # Evenly among them: demonstrations of several plans lie one behind the other.
    index = np.linspace(0, len(valid) - 1, min(config.dtw_episodes, len(valid))).round().astype(int)

    @jax.jit
    def prepared(rows: Array, counted: Array, observation: Array, valid: Array) -> Reference:
        # Episodes take the place of environments; each is one piece.
        seen, valid = jnp.swapaxes(observation, 0, 1), jnp.swapaxes(valid, 0, 1)
        start = jnp.zeros_like(valid)
        sequences, _ = distances.pieces(seen, valid, start, config.dtw_points)
        deviation = distances.deviations(rows, counted)
        distance = jnp.zeros(valid.shape[-1])
        if len(sequences) > 1:
            distance = distances.to_nearest(sequences, sequences, deviation, same=True).mean(0)
        return Reference(*returns, sequences, deviation, distance)

    return prepared(rows, counted, observation[index], valid[index])


def observe(balance: Balance, seen: Observed, reference: Reference, *, num_envs: int) -> Balance:
    """Takes in a rollout.

    R is a mean over about as many of the last episodes as there are environments:
    ``R += (mean - R) count / (count + num_envs)``, at first the mean alone. d likewise, over about
    as many pieces as a rollout has.
    """
    first = (balance.episodes == 0) & (seen.count > 0)
    mean = seen.agent_return / jnp.maximum(seen.count, 1.0)
    rate = jnp.where(first, 1.0, seen.count / (seen.count + num_envs))
    running = balance.agent_return + rate * (mean - balance.agent_return)
    balance = balance._replace(
        episodes=balance.episodes + seen.count,
        agent_return=running,
        first_return=jnp.where(first, mean, balance.first_return),
        best_return=jnp.where(first, mean, balance.best_return),
    )
    if reference.sequences is None:
        return balance
    assert seen.sequences is not None and seen.found is not None  # gathered for the same schedule
    assert reference.deviation is not None
    each = distances.to_nearest(seen.sequences, reference.sequences, reference.deviation)
    count = seen.found.sum(0)
    found = jnp.where(seen.found, each, 0.0).sum(0) / jnp.maximum(count, 1)
    # The first time that an agent does anything.
    first = (balance.first_distance == 0.0) & (count > 0)
    rate = jnp.where(first, 1.0, count / (count + len(each)))
    return balance._replace(
        distance=balance.distance + rate * (found - balance.distance),
        first_distance=jnp.where(first, found, balance.first_distance),
    )


def gap(balance: Balance, reference: Reference) -> Float[Array, "N"]:
    """g, the share of the first distance in returns that is left."""
    whole = reference.agent_return - balance.first_return
    left = (reference.agent_return - balance.agent_return) / jnp.where(whole > 0, whole, 1.0)
    known = jnp.where(whole > 0, jnp.clip(left, 0.0, 1.0), 0.0)
    return jnp.where(balance.episodes > 0, known, 1.0)


def worth(balance: Balance, reference: Reference) -> Float[Array, "N"]:
    """w, how much better than the first policy the expert is, measured by what episodes differ."""
    whole = reference.agent_return - balance.first_return
    varies = reference.return_deviation > 0
    size = whole / jnp.where(varies, reference.return_deviation, 1.0)
    known = varies & (balance.episodes > 0)
    return jnp.where(known, jnp.clip(size, 0.0, 1.0) ** 2, 1.0)


def share(balance: Balance, reference: Reference) -> Float[Array, "N"]:
    """s, how much is left to learn from the expert, in [0, 1]."""
    left, most = gap(balance, reference), worth(balance, reference)
    if reference.distance is None:
        return most * left
    contrast = balance.first_distance - reference.distance
    tells = contrast > LEAST_CONTRAST * balance.first_distance
    away = (balance.distance - reference.distance) / jnp.where(tells, contrast, 1.0)
    return most * jnp.minimum(left / GATE, 1.0) * jnp.where(tells, jnp.clip(away, 0.0, 1.0), 1.0)


def guard(
    balance: Balance,
    loss: Float[Array, "N"],
    first_loss: Float[Array, "N"],
    reference: Reference,
    *,
    config: ExpertConfig,
    num_updates: int,
) -> Balance:
    """Takes in what an update learnt, and withdraws trust where nothing comes of it.

    Args:
      balance: after `observe` of the same update.
      loss: mean expert loss of the update.
      first_loss: that of its first gradient step; only the first update's is remembered.
      reference: what the learner is compared with.
      config: constants of the rule.
      num_updates: of the whole training.
    """
    first = balance.updates == 0
    begun = jnp.where(first, first_loss, balance.first_loss)
    best_loss = jnp.where(first, first_loss, balance.best_loss)
    # Of densities: logarithms may be negative from the start.
    size = jnp.abs(begun)
    low = begun - (1.0 - config.guard_loss) * size
    whole = jnp.maximum(reference.agent_return - balance.first_return, 0.0)
    rises = balance.agent_return > balance.best_return + config.guard_progress * whole
    falls = (loss < best_loss - config.guard_progress * size) & (best_loss > low)
    waits = jnp.where(rises | falls | (balance.episodes == 0), 0.0, balance.stalled + 1.0)
    patience = max(config.guard_patience * num_updates, 1.0)
    lost = jnp.where(waits > patience, jnp.exp(-1.0 / patience), 1.0)
    return balance._replace(
        best_return=jnp.where(rises, balance.agent_return, balance.best_return),
        first_loss=begun,
        best_loss=jnp.where(falls, loss, best_loss),
        stalled=waits,
        trust=balance.trust * lost,
        updates=balance.updates + 1.0,
    )


def both(reference: Reference | None, seen: Observed | None) -> tuple[Reference, Observed]:
    """What both are there for wherever λ adapts."""
    assert reference is not None and seen is not None  # `check_demonstrations`, `Extras.returns`
    return reference, seen


def learnt(
    balance: Balance,
    losses: Float[Array, "G N"],
    reference: Reference | None,
    config: TrainConfig,
) -> tuple[Balance, dict[str, Float[Array, "N"]]]:
    """`guard` after an update's gradient steps, and what a person may want to see, as metrics."""
    assert reference is not None  # `both`
    balance = guard(
        balance,
        losses.mean(0),
        losses[0],
        reference,
        config=config.expert,
        num_updates=config.num_updates,
    )
    metrics = {
        "return_gap": gap(balance, reference),
        "worth": worth(balance, reference),
        "trust": balance.trust,
    }
    if reference.distance is not None:
        metrics["distance"] = balance.distance
    return balance, metrics
