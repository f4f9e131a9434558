"""JaxMARL's interface: its ``MultiAgentEnv`` as an `ArrayEnv`, and an `ArrayEnv` as one of its."""

import contextlib
import functools
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax.types import ArrayEnv, EnvSpec, Measure, State, TimeStep


class MultiAgentState(NamedTuple):
    """State of what `as_multi_agent_env` gives."""

    env: State
    """The `ArrayEnv`'s own."""
    time_step: TimeStep
    """What the agents see in it, legal actions included."""


def load(name: str, **options: Any) -> Any:
    """The JaxMARL environment registered as ``name``."""
    return import_jaxmarl().make(name, **options)


def import_jaxmarl() -> Any:
    """The package ``jaxmarl``, imported so that what is printed later is still seen.

        jaxmarl = leed.import_jaxmarl()
        from jaxmarl.environments.multi_agent_env import MultiAgentEnv

    A plain ``import jaxmarl`` sets ``sys.stdout`` back to ``sys.__stdout__`` on the way
    (environments/mabrax/mabrax_env.py:16), where a notebook, or whoever else redirects prints,
    does not look. It also prints two lines about submodules that its wheel does not hold and,
    where brax is installed, warns of deprecated names of its own: all of it is kept off the screen.

    Raises:
      ImportError: JaxMARL is not installed.
    """
    # Both names: a module of the package copies the second one to the first.
    silence = io.StringIO()
    with (
        warnings.catch_warnings(action="ignore"),
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
    decision: Callable[[State], Any] | None = None,
    reward: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] | None = None,
    global_state: Callable[[dict[str, Any]], Any] | None = None,
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
      decision: state -> bool[N], false for agents whose action does not matter now (dead, or not
        their turn); without it every action matters.
      reward: (rewards, info) of ``step_env`` -> rewards to train on, by agent, e.g. shaped ones.
      global_state: what ``reset`` and ``step_env`` give as observations -> the state that central
        critics see, e.g. SMAX's ``world_state``; without it all agents' observations, joined.
      measures: success metrics.

    Observations are flattened; where all agents see a grid of one shape, the specification keeps
    that shape. Continuous actions (``Box`` of one axis) are asked for in [-1, 1], clipped, and
    scaled to the environment's bounds.

    Raises:
      TypeError: agents whose actions are neither all discrete nor all vectors of bounded numbers.
    """
    agents = tuple(env.agents)
    observed, _ = jax.eval_shape(env.reset, jax.random.key(0))
    action_spaces = [env.action_space(agent) for agent in agents]
    to_actions, action_sizes = _actions(name, agents, action_spaces)
    shapes = {observed[agent].shape for agent in agents}
    grid = observed[agents[0]].shape
    spec = EnvSpec(
        name=name,
        agents=agents,
        observation_sizes=tuple(observed[agent].size for agent in agents),
        action_sizes=action_sizes,
        horizon=horizon,
        continuous=not hasattr(action_spaces[0], "n"),
        observation_shape=grid if len(shapes) == 1 and len(grid) == 3 else None,
    )
    num_agents, width, actions = spec.num_agents, spec.observation_size, spec.num_actions
    legal = jnp.arange(actions) < jnp.array(spec.action_sizes)[:, None]

    def stack(values: dict[str, Any], size: int) -> Any:
        rows = [jnp.ravel(values[agent]).astype(jnp.float32) for agent in agents]
        return jnp.stack([jnp.pad(row, (0, size - row.size)) for row in rows])

    def time_step(observation: dict[str, Any], state: State, rewards: Any, done: Any) -> TimeStep:
        ended = jnp.zeros(num_agents, bool)
        if terminated is not None:
            ended = jnp.broadcast_to(terminated(state), (num_agents,))
        mask = legal if action_mask is None else legal & (stack(action_mask(state), actions) > 0)
        observations = stack(observation, width)
        whole = observations if global_state is None else global_state(observation)
        return TimeStep(
            observation=observations,
            reward=rewards,
            terminated=ended,
            truncated=done & ~ended.all(),
            action_mask=mask,
            decision=jnp.ones(num_agents, bool) if decision is None else decision(state),
            global_state=jnp.ravel(whole).astype(jnp.float32),
        )

    def reset(key: Any) -> tuple[State, TimeStep]:
        observation, state = env.reset(key)
        step = time_step(observation, state, jnp.zeros(num_agents), jnp.array(False))
        return _strong((state, step))

    def step(key: Any, state: State, action: Any) -> tuple[State, TimeStep]:
        observation, state, paid, done, info = env.step_env(key, state, to_actions(action))
        paid = paid if reward is None else reward(paid, info)
        rewards = jnp.stack([jnp.asarray(paid[agent], jnp.float32) for agent in agents])
        return _strong((state, time_step(observation, state, rewards, done["__all__"])))

    return ArrayEnv(reset=reset, step=step, spec=spec, measures=measures)


def _actions(
    name: str, agents: tuple[str, ...], spaces: list[Any]
) -> tuple[Callable[[Any], dict[str, Any]], tuple[int, ...]]:
    """What makes JaxMARL's dictionary of actions, and the size of every agent's."""
    if all(hasattr(space, "n") for space in spaces):
        sizes = tuple(int(space.n) for space in spaces)
        return lambda action: {agent: action[i] for i, agent in enumerate(agents)}, sizes
    for agent, space in zip(agents, spaces, strict=True):
        vector = len(getattr(space, "shape", ())) == 1
        if not vector or not np.isfinite([np.asarray(space.low), np.asarray(space.high)]).all():
            raise TypeError(
                f"{name}: all agents must have discrete actions, or all vectors of numbers between "
                f"bounds; {agent} has {space}"
            )
    sizes = tuple(int(space.shape[0]) for space in spaces)
    bounds = [
        np.broadcast_to(np.asarray([space.low, space.high], np.float32).reshape(2, -1), (2, size))
        for space, size in zip(spaces, sizes, strict=True)
    ]

    def scaled(action: Any) -> dict[str, Any]:
        share = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
        return {
            agent: low + share[i, : low.size] * (high - low)
            for i, (agent, (low, high)) in enumerate(zip(agents, bounds, strict=True))
        }

    return scaled, sizes


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
    import_jaxmarl()
    from jaxmarl.environments import multi_agent_env, spaces

    agents, spec = env.spec.agents, env.spec
    seen = dict(zip(agents, spec.observation_sizes, strict=True))
    allowed = dict(zip(agents, spec.action_sizes, strict=True))

    def own_action(value: Any) -> Any:
        if not spec.continuous:
            return jnp.asarray(value, jnp.int32)
        value = jnp.asarray(value, jnp.float32)
        return jnp.pad(value, (0, spec.num_actions - value.size))

    def by_agent(values: Any) -> dict[str, Any]:
        return {agent: values[index] for index, agent in enumerate(agents)}

    class FromArrays(multi_agent_env.MultiAgentEnv):
        def __init__(self) -> None:
            super().__init__(num_agents=spec.num_agents)
            self.agents = list(agents)
            box = functools.partial(spaces.Box, -jnp.inf, jnp.inf)
            self.observation_spaces = {agent: box((size,)) for agent, size in seen.items()}
            self.action_spaces = {
                agent: spaces.Box(-1.0, 1.0, (n,)) if spec.continuous else spaces.Discrete(n)
                for agent, n in allowed.items()
            }

        @property
        def name(self) -> str:
            return spec.name

        @functools.partial(jax.jit, static_argnums=0)
        def reset(self, key: Any) -> Any:
            state = MultiAgentState(*env.reset(key))
            return self.get_obs(state), state

        @functools.partial(jax.jit, static_argnums=0)
        def step_env(self, key: Any, state: MultiAgentState, actions: dict[str, Any]) -> Any:
            chosen = jnp.stack([own_action(actions[agent]) for agent in agents])
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
