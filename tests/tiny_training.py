"""Training on the toy line in a second or two, for all tests that need something trained."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import line_world

from leed_jax import execution
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization.results import TrainResult
from leed_jax.optimization.states import Trainer, TrainState
from leed_jax.optimization.training import train
from leed_jax.scenarios import Scenario

STEPS_PER_UPDATE = 4 * 8
SEEDS = (3, 5)
CONFIG = TrainConfig(
    total_steps=5 * STEPS_PER_UPDATE,
    num_envs=4,
    rollout_steps=8,
    num_epochs=1,
    num_minibatches=2,
    learning_rate=3e-3,
    kl_coefficient=1.0,
    eval_every_steps=2 * STEPS_PER_UPDATE,
    eval_episodes=4,
    network=NetworkConfig(hidden_sizes=(8,)),
    expert=ExpertConfig(weight=1.0, schedule="linear", batch_size=8),
)
"""Five updates, evaluated after two, four and five."""


@functools.cache
def scenario() -> Scenario:
    """The line with places drawn at random."""
    return line_world.scenario(start=None)


@functools.cache
def demos() -> Demonstrations:
    """Everyone goes to the right."""
    return execution.demonstrate(scenario(), line_world.all_right(), num_episodes=6)


@functools.cache
def result() -> TrainResult:
    """Two seeds of LEED; not to be changed, tests share it."""
    return train(scenario(), demos(), CONFIG, method="leed", seeds=SEEDS)


def poisoned(make_trainer: Any, seed: int, last: int, poison: Any) -> Any:
    """A `make_trainer` whose seed comes out of its ``last`` update, counted from 1, poisoned.

    Args:
      make_trainer: the true one.
      seed: whose.
      last: from 1.
      poison: (now?, state, metrics) -> state, metrics; ``now`` is traced.
    """

    def make(*arguments: Any) -> Trainer:
        run = make_trainer(*arguments)
        # The seed's key is one of four at the start, and one of three after each update.
        marked = jax.random.split(jax.random.key(seed), 4)[3]
        for _ in range(last - 1):
            marked = jax.random.split(marked, 3)[0]

        def update(state: TrainState, data: Any) -> Any:
            now = (jax.random.key_data(state.key) == jax.random.key_data(marked)).all()
            return poison(now, *run.update(state, data))

        return run._replace(update=update)

    return make


def infinite_critic(now: Any, state: Any, metrics: Any) -> Any:
    """The second agent's critic is infinite."""
    critic = jax.tree.map(
        lambda leaf: jnp.where(now, leaf.at[1].set(jnp.inf), leaf), state.params["critic"]
    )
    return state._replace(params={**state.params, "critic": critic}), metrics


@functools.cache
def shared_result() -> TrainResult:
    """Two seeds of IPPO with one network for both agents; not to be changed either."""
    return train(scenario(), None, CONFIG, method="ippo_shared", seeds=SEEDS)
