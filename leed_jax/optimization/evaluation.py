"""How good a trained team is: greedy (or sampled) episodes from common random starts."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from leed_jax import episodes
from leed_jax.optimization import networks
from leed_jax.types import ArrayEnv, Policy, State, TimeStep


class Scores(NamedTuple):
    """Means over the episodes of an evaluation."""

    agent_return: Float[Array, "N"]
    """Undiscounted sum of each agent's own rewards."""
    measures: dict[str, Float[Array, ""]]
    """The environment's success metrics."""


def policy(actor: networks.Network, params: networks.Params, *, greedy: bool = True) -> Policy:
    """The actors as a `Policy` of one environment.

    Args:
      actor: from `networks.make_actor`.
      params: of all agents, leading axis N, or 1 where they share them.
      greedy: the most likely legal action instead of a sampled one.
    """

    def init(state: State, time_step: TimeStep) -> Any:
        del state, time_step
        return actor.carry(1)

    def act(carry: Any, state: State, time_step: TimeStep, key: Key[Array, ""]) -> Any:
        del state
        # The carry starts at zero, so no row needs the flag that zeroes it.
        start = jnp.zeros((1, 1), bool)
        outputs, carry = actor.apply(params, carry, time_step.observation[None, None], start)
        policy = actor.distribution(outputs[0, 0], time_step.action_mask)
        return carry, policy.mode() if greedy else policy.sample(key)

    return Policy(init, act)


def score(
    env: ArrayEnv, actor: networks.Network, params: networks.Params, keys: Key[Array, "K"]
) -> Scores:
    """Greedy episodes from the resets of ``keys``; pure."""
    played = episodes.run(env, policy(actor, params), keys)
    means = {name: values.mean() for name, values in played.measures.items()}
    return Scores(played.returns.mean(0), means)


def evaluation_keys(seed: int, count: int) -> Key[Array, "K"]:
    """Keys of evaluation episodes, the same for every method and training seed.

    Folded away from the keys that training seeds are made of.
    """
    return jax.random.split(jax.random.fold_in(jax.random.key(seed), 0x5EED), count)
