"""Any JaxMARL ``MultiAgentEnv`` with discrete actions as an `ArrayEnv`."""

import contextlib
import io
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from leed_jax.types import ArrayEnv, EnvSpec, Measure, State, TimeStep


def load(name: str, **options: Any) -> Any:
    """The JaxMARL environment registered as ``name``, imported only here.

    The import prints two lines about submodules that its wheel does not hold: kept off the
    user's screen. A module of its own (environments/mabrax/mabrax_env.py:16) sets ``sys.stdout``
    back to ``sys.__stdout__`` on the way, so both names are redirected.
    """
    silence = io.StringIO()
    with (
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
        mock.patch.multiple(sys, __stdout__=silence, __stderr__=silence),
    ):
        import jaxmarl
    return jaxmarl.make(name, **options)


def as_array_env(
    env: Any,
    *,
    name: str,
    horizon: int,
    terminated: Callable[[State], Any] | None = None,
    action_mask: Callable[[State], dict[str, Any]] | None = None,
    measures: tuple[Measure, ...] = (),
) -> ArrayEnv:
    """``env`` with observations, rewards and actions of all agents as arrays.

    Args:
      env: a JaxMARL ``MultiAgentEnv``; only ``reset`` and ``step_env`` are called, never
        ``step``, which evaluates a reset on every call.
      name: for messages and tables.
      horizon: steps after which the environment's own clock says done.
      terminated: state -> bool, or bool[N], true where nothing is to be bootstrapped. JaxMARL
        has a single ``done`` for time limit and termination; without this function every
        ``done`` counts as the time limit.
      action_mask: state -> dictionary of legal actions; without it all are legal.
      measures: success metrics.

    Raises:
      TypeError: an agent's actions are not discrete.
    """
    agents = tuple(env.agents)
    sizes = [getattr(env.action_space(agent), "n", None) for agent in agents]
    if None in sizes:
        agent = agents[sizes.index(None)]
        raise TypeError(f"{name}: {agent} has no discrete actions ({env.action_space(agent)})")
    observed, _ = jax.eval_shape(env.reset, jax.random.key(0))
    spec = EnvSpec(
        name=name,
        agents=agents,
        observation_sizes=tuple(observed[agent].size for agent in agents),
        action_sizes=tuple(int(size) for size in sizes if size is not None),
        horizon=horizon,
    )
    num_agents, width, actions = spec.num_agents, spec.observation_size, spec.num_actions
    legal = jnp.arange(actions) < jnp.array(spec.action_sizes)[:, None]

    def stack(values: dict[str, Any], size: int) -> Any:
        rows = [jnp.ravel(values[agent]).astype(jnp.float32) for agent in agents]
        return jnp.stack([jnp.pad(row, (0, size - row.size)) for row in rows])

    def time_step(observation: dict[str, Any], state: State, reward: Any, done: Any) -> TimeStep:
        ended = jnp.zeros(num_agents, bool)
        if terminated is not None:
            ended = jnp.broadcast_to(terminated(state), (num_agents,))
        mask = legal if action_mask is None else legal & (stack(action_mask(state), actions) > 0)
        observations = stack(observation, width)
        return TimeStep(
            observation=observations,
            reward=reward,
            terminated=ended,
            truncated=done & ~ended.all(),
            action_mask=mask,
            decision=jnp.ones(num_agents, bool),
            global_state=observations.ravel(),
        )

    def reset(key: Any) -> tuple[State, TimeStep]:
        observation, state = env.reset(key)
        step = time_step(observation, state, jnp.zeros(num_agents), jnp.array(False))
        return _strong((state, step))

    def step(key: Any, state: State, action: Any) -> tuple[State, TimeStep]:
        chosen = {agent: action[index] for index, agent in enumerate(agents)}
        observation, state, reward, done, _ = env.step_env(key, state, chosen)
        rewards = jnp.stack([jnp.asarray(reward[agent], jnp.float32) for agent in agents])
        return _strong((state, time_step(observation, state, rewards, done["__all__"])))

    return ArrayEnv(reset=reset, step=step, spec=spec, measures=measures)


def _strong(values: Any) -> Any:
    """``values`` without weak types: else a step is compiled anew for what a step returned."""

    def strong(leaf: Any) -> Any:
        weak = getattr(leaf, "weak_type", False)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf

    return jax.tree.map(strong, values)
