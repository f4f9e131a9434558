"""The functions that train a method, whatever its kind, and whole runs made of them.

What drives them (`jit`, `vmap` over seeds, a host loop or a `scan`) is up to the caller.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Key

from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import checks, methods, minibatches, policy_gradient, value_based
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.states import Trainer, TrainState
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv


class Train(NamedTuple):
    """A whole run as a pure function, and its demonstrations."""

    run: Callable[[Key[Array, ""], Data], tuple[TrainState, dict[str, Array]]]
    data: Data
    """An argument, so that demonstrations are not baked into the program as constants."""


def make_trainer(
    env: ArrayEnv, config: TrainConfig, method: methods.Method, expert: Expert | None = None
) -> Trainer:
    """The functions that train ``method`` on ``env``.

    Args:
      env: what is trained on.
      config: settings.
      method: terms of the loss, from `methods.resolve`.
      expert: labels visited states; only used where ``config.expert.labels`` asks for it.

    Raises:
      ValueError: visited states are to be labelled and there is no expert; or the environment's
        sizes do not go together with the method or the configuration.
    """
    if method.mixer is not None:
        return value_based.make_trainer(env, config, method)
    return policy_gradient.make_trainer(env, config, method, expert)


def make_train(
    scenario: HasArrayEnv | ArrayEnv,
    config: TrainConfig,
    method: str | methods.Method = "leed",
    demos: Demonstrations | None = None,
    expert: Expert | None = None,
) -> Train:
    """A pure function that trains from a key, for those who ``jit`` and ``vmap`` it themselves.

        train = leed.make_train(scenario, config, demos=demos)
        states, metrics = jax.jit(jax.vmap(train.run, in_axes=(0, None)))(keys, train.data)

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      config: settings.
      method: a key of `methods.METHODS`, or a `methods.Method` of one's own.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      expert: labels visited states, where ``config.expert.labels`` asks for it; by default the
        plan behind ``demos``, where they know it and ``scenario`` has the states it reads.

    Returns:
      ``run(key, data) -> (final state, metrics of all updates)`` and the ``data`` to pass to it.

    Raises:
      ValueError: demonstrations are missing, or of another environment.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    resolved = methods.resolve(method, config)
    checks.check_demonstrations(resolved, config, demos, env)
    trainer = make_trainer(env, config, resolved, checks.guide(env, demos, expert))

    def run(key: Key[Array, ""], data: Data) -> tuple[TrainState, dict[str, Array]]:
        def step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
            return trainer.update(state, data)

        return jax.lax.scan(step, trainer.init(key), None, length=config.num_updates)

    return Train(run, minibatches.data(demos if resolved.uses_expert else None, config))
