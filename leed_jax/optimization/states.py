"""What a run carries from update to update, and the functions that drive it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import methods, networks
from leed_jax.optimization.experience import Material
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.situations import Situation


class Hyperparameters(NamedTuple):
    """Numbers that may differ between runs of one compiled program."""

    learning_rate: Float[Array, ""]
    expert_weight: Float[Array, "N"]
    """λ of every agent at the start."""

    @classmethod
    def of(cls, method: methods.Method, config: TrainConfig, num_agents: int) -> "Hyperparameters":
        """Those of a run's settings."""
        rate = methods.learning_rate(method, config)
        return cls(jnp.array(rate), jnp.full(num_agents, config.expert.weight))


class TrainState(NamedTuple):
    """All that a run needs to go on; resuming from it equals never having stopped."""

    params: dict[str, networks.Params]
    """"actor" and "critic", leading axis N, or 1 where they are shared; "actor" alone where it is
    one network with the critic."""
    optimiser: Any
    situation: Situation
    key: Key[Array, ""]
    update: Int[Array, ""]
    hyper: Hyperparameters
    aggregate: Any = ()
    """What has been kept of all rollouts, for methods that learn from them."""
    balance: Any = ()
    """`balance.Balance`, where λ adapts."""
    rewards: Any = ()
    """`normalisation.Moments` of discounted returns, where rewards are scaled."""


class Trainer(NamedTuple):
    """Pure functions of one run."""

    init: Callable[[Key[Array, ""]], TrainState]
    update: Callable[[TrainState, Data], tuple[TrainState, dict[str, Array]]]
    """`collect`, then `learn`: state, demonstrations -> state, metrics."""
    collect: Callable[[TrainState], tuple[TrainState, Material | None, dict[str, Array]]]
    """A rollout, ready for minibatches; None for methods that do without."""
    learn: Callable[[TrainState, Data, Material | None], tuple[TrainState, dict[str, Array]]]
    """All gradient steps on a rollout and the demonstrations."""
    actor: networks.Network
    finish: Callable[[dict[str, networks.Params]], dict[str, networks.Params]] = dict
    """Parameters, with leading axes in front of the agents' -> what a result keeps of them, which
    `networks.make_actor` acts with."""
