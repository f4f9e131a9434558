"""JaxMARL's interface: its ``MultiAgentEnv`` as an `ArrayEnv`, and an `ArrayEnv` as one of its."""

import contextlib
import functools
import io
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from leed_jax.types import ArrayEnv, EnvSpec, Measure, State, TimeStep


class MultiAgentState(NamedTuple):
    """State of what `as_multi_agent_env` gives."""

    env: State
    """The `ArrayEnv`'s own."""
    time_step: TimeStep
    """What the agents see in it, legal actions included."""


def load(name: str, **options: Any) -> Any:
    """The JaxMARL environment registered as ``name``."""
    return _jaxmarl().make(name, **options)


def _jaxmarl() -> Any:
    """The package, imported only here.

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
    return jaxmarl


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


def as_multi_agent_env(env: ArrayEnv) -> Any:
    """``env`` as a JaxMARL ``MultiAgentEnv``, for its wrappers and its algorithms.

    Dictionaries by agent's name, without padding. An agent is done when its return ends or the
    episode is over; ``step`` then resets at once, as JaxMARL's environments do (and never to
    `ArrayEnv.scored_reset`: for that take ``env.scored``). ``info`` tells, per agent [N]:

    - ``decision``: whether its next action matters, see `TimeStep`;
    - ``truncated``: the time limit cut the episode; what follows was to be bootstrapped.

    Its states are `MultiAgentState`. A program that unpacks dictionaries grows with the number of
    agents; for hundreds of them the `ArrayEnv` itself compiles faster.

    Args:
      env: any, such as a scenario's.
    """
    _jaxmarl()
    from jaxmarl.environments import multi_agent_env, spaces

    agents, spec = env.spec.agents, env.spec
    seen = dict(zip(agents, spec.observation_sizes, strict=True))
    allowed = dict(zip(agents, spec.action_sizes, strict=True))

    def by_agent(values: Any) -> dict[str, Any]:
        return {agent: values[index] for index, agent in enumerate(agents)}

    class FromArrays(multi_agent_env.MultiAgentEnv):
        def __init__(self) -> None:
            super().__init__(num_agents=spec.num_agents)
            self.agents = list(agents)
            box = functools.partial(spaces.Box, -jnp.inf, jnp.inf)
            self.observation_spaces = {agent: box((size,)) for agent, size in seen.items()}
            self.action_spaces = {agent: spaces.Discrete(n) for agent, n in allowed.items()}

        @property
        def name(self) -> str:
            return spec.name

        @functools.partial(jax.jit, static_argnums=0)
        def reset(self, key: Any) -> Any:
            state = MultiAgentState(*env.reset(key))
            return self.get_obs(state), state

        @functools.partial(jax.jit, static_argnums=0)
        def step_env(self, key: Any, state: MultiAgentState, actions: dict[str, Any]) -> Any:
            chosen = jnp.stack([jnp.asarray(actions[agent], jnp.int32) for agent in agents])
            state = MultiAgentState(*env.step(key, state.env, chosen))
            now = state.time_step
            done = by_agent(now.terminated | now.over) | {"__all__": now.over}
            info = {
                "decision": now.decision,
                "truncated": jnp.broadcast_to(now.truncated, now.decision.shape),
            }
            return self.get_obs(state), state, by_agent(now.reward), done, info

        def get_obs(self, state: MultiAgentState) -> dict[str, Any]:
            rows = by_agent(state.time_step.observation)
            return {agent: rows[agent][:size] for agent, size in seen.items()}

        @functools.partial(jax.jit, static_argnums=0)
        def get_avail_actions(self, state: MultiAgentState) -> dict[str, Any]:
            rows = by_agent(state.time_step.action_mask)
            return {agent: rows[agent][:n] for agent, n in allowed.items()}

    return FromArrays()


def _strong(values: Any) -> Any:
    """``values`` without weak types: else a step is compiled anew for what a step returned."""

    def strong(leaf: Any) -> Any:
        weak = getattr(leaf, "weak_type", False)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if weak else leaf

    return jax.tree.map(strong, values)
