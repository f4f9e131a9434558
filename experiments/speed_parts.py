"""The parts of a training step as programs of their own, each with the work it does in training."""

import ast
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from experiments import speed_timing
from experiments.speed_timing import Program
from leed_jax import execution, random_plans
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import checks, methods, minibatches, networks, rollout, trainer
from leed_jax.optimization.states import TrainState
from leed_jax.scenarios import Scenario
from leed_jax.types import ArrayEnv, Expert

Part = Literal["environment", "rollout", "update", "step"]

EPISODES = 64
"""Of demonstrations."""


class Variant(NamedTuple):
    """A method, and settings of its own."""

    label: str
    method: str
    changes: dict[str, Any]
    """Fields of `TrainConfig`, those of its networks and expert with a dot."""

    def config(self, base: TrainConfig) -> TrainConfig:
        """``base`` with the changes.

        Raises:
          ValueError: there is no such field, or a value cannot be meant.
        """
        for name, value in self.changes.items():
            base = _changed(base, name.split("."), value, self.label)
        return base


def _changed(settings: Any, path: list[str], value: Any, label: str) -> Any:
    names = [each.name for each in dataclasses.fields(settings)]
    if path[0] not in names:
        raise ValueError(f"{label}: no field {path[0]!r}; there are {', '.join(names)}")
    if len(path) > 1:
        value = _changed(getattr(settings, path[0]), path[1:], value, label)
    return dataclasses.replace(settings, **{path[0]: value})


def variant(text: str) -> Variant:
    """``ippo``, or with settings of its own ``ippo:num_minibatches=4,network.activation=relu``."""
    method, changes = split(text)
    return Variant(text, method, changes)


def split(text: str) -> tuple[str, dict[str, Any]]:
    """``name:key=value,key=value`` -> name and values; numbers, True and the like are Python's.

    Raises:
      ValueError: something behind the colon is no ``key=value``.
    """
    name, _, rest = text.partition(":")
    found = {}
    for each in filter(None, rest.split(",")):
        key, equals, value = each.partition("=")
        if not equals:
            raise ValueError(
                f"{text!r}: after the colon key=value,key=value is wanted, got {each!r}"
            )
        try:
            found[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[key] = value
    return name, found


def demonstrations(scenario: Scenario) -> Demonstrations:
    """Of a plan drawn at random, so that every scenario can be timed, recorded answers or not.

    How fast a training step is does not depend on what the episodes are worth.
    """
    plan = random_plans.random_plan(scenario.vocabulary, seed=0)
    return execution.demonstrate(scenario, plan, num_episodes=EPISODES)


def environment(env: ArrayEnv, config: TrainConfig) -> Program:
    """T steps of E environments with random legal actions, and with training's resets."""
    actor = _indifferent(networks.make_actor(config.network, env.spec))

    @jax.jit
    def init(key: Key[Array, ""]) -> Any:
        return rollout.begin(env, actor, key, config.num_envs, None), key

    def advance(state: Any) -> Any:
        situation, key = state
        key, own = jax.random.split(key)
        situation, _, finished = rollout.collect(
            env, actor, (), situation, own, steps=config.rollout_steps
        )
        return (situation, key), finished

    start = init(jax.random.key(0))
    return speed_timing.compiled(advance, start, env_steps=config.steps_per_update)


def _indifferent(actor: networks.Network) -> networks.Network:
    """No network at all: all legal actions alike."""

    def apply(params: Any, carry: Any, observation: Any, start: Any) -> Any:
        del params, start
        return jnp.zeros((*observation.shape[:-1], _outputs(actor, observation))), carry

    return actor._replace(apply=apply)


def _outputs(actor: networks.Network, observation: Any) -> int:
    """How many numbers an actor gives, without running it."""
    params = jax.eval_shape(actor.init, jax.random.key(0))
    start = jnp.zeros(observation.shape[:2], bool)
    carry = actor.carry(observation.shape[1])
    return jax.eval_shape(actor.apply, params, carry, observation, start)[0].shape[-1]


def of_method(
    env: ArrayEnv,
    config: TrainConfig,
    method: str,
    demos: Demonstrations | None,
    parts: Sequence[Part],
    expert: Expert | None = None,
) -> dict[Part, Program]:
    """The programs of a method: its rollout, its gradient steps on a fixed rollout, all of it.

    Args:
      env: what is trained on.
      config: settings.
      method: a key of `methods.METHODS`.
      demos: for methods that need them.
      parts: of them, "environment" left out; of a method without a rollout only "step".
      expert: for methods that have visited states labelled.

    Raises:
      ValueError: what is given does not fit together.
    """
    resolved = methods.resolve(method, config)
    checks.check_demonstrations(resolved, config, demos, env)
    built = trainer.make_trainer(env, config, resolved, expert)
    data = minibatches.data(demos if resolved.uses_expert else None, config)
    begin = jax.jit(built.init)
    steps = config.steps_per_update
    found: dict[Part, Program] = {}

    def collect(state: TrainState) -> Any:
        # `learn` is what moves the key on.
        state, material, metrics = built.collect(state)
        return state._replace(key=jax.random.split(state.key)[0]), (material, metrics)

    def learn(state: TrainState, data: Any, material: Any) -> Any:
        return built.learn(state, data, material)

    if resolved.uses_rollout and {"rollout", "update"} & set(parts):
        # A state for every program: it is donated.
        collected = speed_timing.compiled(collect, begin(jax.random.key(0)), env_steps=steps)
        if "rollout" in parts:
            found["rollout"] = collected
        if "update" in parts:
            material, _ = collected.call()
            found["update"] = speed_timing.compiled(
                learn, begin(jax.random.key(0)), data, material, env_steps=steps
            )
    if "step" in parts:
        found["step"] = speed_timing.compiled(
            built.update, begin(jax.random.key(0)), data, env_steps=steps
        )
    return found


def gradient_rows(config: TrainConfig, env: ArrayEnv) -> tuple[int, int]:
    """Gradient steps of an update, and rows of all agents together in each of them."""
    size = minibatches.population(config, env.spec)
    key = jax.eval_shape(lambda: jax.random.key(0))
    groups, rows = jax.eval_shape(lambda key: minibatches.shuffled(key, config, size), key).shape
    each = config.rollout_steps if config.network.recurrent else 1
    return groups, rows * each * env.spec.num_agents


def parameters(config: TrainConfig, env: ArrayEnv, method: str) -> tuple[int, int]:
    """Sets of parameters (N, or fewer that are shared), and numbers in all of them."""
    built = trainer.make_trainer(env, config, methods.resolve(method, config))
    leaves = jax.tree.leaves(jax.eval_shape(built.init, jax.random.key(0)).params)
    return leaves[0].shape[0], sum(leaf.size for leaf in leaves)
