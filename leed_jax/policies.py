"""Trained teams for robots and web services: numpy in, numpy out, nothing traced or compiled.

    act = leed_jax.load_policy("results/my-run/checkpoints/leed", agent="agent_0")
    state = act.initial_state()
    while True:
        action, state = act(sensors(), state)

This module and those that it imports need numpy, safetensors and jaxtyping alone. The package's
``__init__`` imports JAX; no call of a policy does anything with it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from leed_jax import actors, teams
from leed_jax.config import NetworkConfig
from leed_jax.specs import Sizes

Random = np.random.Generator | int | Sequence[int] | None
"""A generator, a seed for one (also the numbers that a JAX key consists of), or None: no draws."""


class NumpyPolicy:
    """The actors of one trained team, or one of them.

    Actions are numbers of discrete ones, or the A components of continuous ones, for which the
    environment's range is [-1, 1]: what is beyond is to be clipped, as training did.
    """

    def __init__(
        self,
        config: NetworkConfig,
        spec: Sizes,
        params: Mapping[str, np.ndarray],
        agent: int | None = None,
    ) -> None:
        """From parameters.

        Args:
          config: of the networks.
          spec: of the environment.
          params: of all agents, by name, with a leading axis N or a divisor of it.
          agent: the only one to act; None: all.
        """
        self.config, self.spec, self.agent = config, spec, agent
        number = len(spec.agents)
        indices = range(number) if agent is None else [agent]
        sets = next(iter(params.values())).shape[0]
        each = number // sets
        self._agents = [
            (index, {name: np.asarray(value[index // each]) for name, value in params.items()})
            for index in indices
        ]

    def initial_state(self) -> np.ndarray:
        """What is remembered at the start of an episode: zeros, [N H], or [H] of one agent."""
        size = actors.width(self.config)
        return np.zeros((len(self._agents), size)[self.agent is not None :], np.float32)

    def __call__(
        self,
        observation: Any,
        state: np.ndarray | None = None,
        rng: Random = None,
        mask: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The action for an observation, and what is to be remembered for the next one.

        Args:
          observation: of one agent its numbers, [d] as the environment has them or padded [D]; of
            the team one of these per agent: [N D], a list, or a mapping by agents' names.
          state: from the step before; None at the start of an episode.
          rng: draws the action, by the policy's probabilities (not the numbers that JAX would
            draw); None: the most likely action.
          mask: legal actions, true or false for each, in the form of ``observation``; None: all
            that the agent has.

        Returns:
          Action and state. Of a team [N], or [N A] if continuous; of one agent a number, or its
          own components.

        Raises:
          ValueError: sizes are wrong, a number is not finite, or no action is legal; the message
            names the argument and the agent.
        """
        generator = None if rng is None else np.random.default_rng(rng)
        outputs, state = self.outputs(observation, state)
        masks = self._split(mask, "mask") if mask is not None else [None] * len(self._agents)
        rows = outputs if self.agent is None else outputs[None]
        chosen = [
            self._chosen(index, params, row, self._mask(index, allowed), generator)
            for (index, params), row, allowed in zip(self._agents, rows, masks, strict=True)
        ]
        if self.agent is None:
            return np.stack(chosen), state
        own = self.spec.action_sizes[self.agent]
        return chosen[0][:own] if self.spec.continuous else chosen[0], state

    def outputs(
        self, observation: Any, state: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits before masking, or means of continuous actions, [N A] or [A], and the next state.

        Arguments and errors are those of a call.
        """
        seen = [
            self._observation(index, each)
            for (index, _), each in zip(
                self._agents, self._split(observation, "observation"), strict=True
            )
        ]
        before = self._state(state)
        grid = self.spec.observation_shape
        found = [
            actors.forward(self.config, grid, params, row, memory)
            for (_, params), row, memory in zip(self._agents, seen, before, strict=True)
        ]
        rows, after = (np.stack(each) for each in zip(*found, strict=True))
        return (rows, after) if self.agent is None else (rows[0], after[0])

    def _split(self, given: Any, name: str) -> list[Any]:
        """One part per agent that acts."""
        if self.agent is not None:
            return [given]
        if isinstance(given, Mapping):
            if set(given) != set(self.spec.agents):
                raise ValueError(f"{name} must have the agents {', '.join(self.spec.agents)}")
            return [given[agent] for agent in self.spec.agents]
        if len(given) != len(self._agents):
            raise ValueError(f"{name} must be of {len(self._agents)} agents, got {len(given)}")
        return list(given)

    def _state(self, state: np.ndarray | None) -> np.ndarray:
        wanted = self.initial_state()
        if state is not None:
            if np.shape(state) != wanted.shape:
                raise ValueError(f"state must be {wanted.shape}, got {np.shape(state)}")
            wanted = np.asarray(state, np.float32)
            if not np.isfinite(wanted).all():
                raise ValueError("state holds NaN or infinite numbers")
        return wanted if self.agent is None else wanted[None]

    def _observation(self, index: int, given: Any) -> np.ndarray:
        row = np.asarray(given, np.float32).reshape(-1)
        own, padded = self.spec.observation_sizes[index], max(self.spec.observation_sizes)
        if row.size not in (own, padded):
            raise ValueError(
                f"observation of {self.spec.agents[index]} must be {own} numbers"
                f"{f' (padded: {padded})' if own != padded else ''}, got {row.size}"
            )
        if not np.isfinite(row).all():
            raise ValueError(
                f"observation of {self.spec.agents[index]} holds NaN or infinite numbers"
            )
        return np.pad(row, (0, padded - row.size))

    def _mask(self, index: int, given: Any) -> np.ndarray:
        own, padded = self.spec.action_sizes[index], max(self.spec.action_sizes)
        allowed = np.arange(padded) < own
        if given is None:
            return allowed
        row = np.asarray(given).astype(bool).reshape(-1)
        if row.size not in (own, padded):
            raise ValueError(
                f"mask of {self.spec.agents[index]} must be {own} values, got {row.size}"
            )
        allowed &= np.pad(row, (0, padded - row.size))
        if not (self.spec.continuous or allowed.any()):
            raise ValueError(f"mask of {self.spec.agents[index]} allows no action")
        return allowed

    def _chosen(
        self,
        index: int,
        params: actors.Params,
        outputs: np.ndarray,
        mask: np.ndarray,
        rng: np.random.Generator | None,
    ) -> np.ndarray:
        if self.spec.continuous:
            if rng is not None:
                log_std = np.clip(params["log_std"], actors.MIN_LOG_STD, actors.MAX_LOG_STD)
                noise = rng.standard_normal(outputs.shape, np.float32)
                outputs = outputs + np.exp(log_std) * noise
            return np.where(mask, outputs, np.float32(0))
        found = actors.log_probs(outputs, mask)
        return np.asarray(found.argmax()) if rng is None else actors.draw(found, rng)


def load_policy(
    path: str | os.PathLike[str],
    *,
    seed: int | Literal["best"] | None = None,
    agent: str | int | None = None,
) -> NumpyPolicy:
    """A trained team, or one of its agents, to be called with numpy.

    Args:
      path: as of `save_result`; of a run, ``results/<name>/checkpoints/<method>``.
      seed: which of the teams; None or "best": that with the highest last evaluation.
      agent: name or index of the only agent to act; None: all.

    Returns:
      ``act(observation, state=None, rng=None, mask=None) -> (action, state)``, and
      ``act.initial_state()``; see `NumpyPolicy`. Actions are those of the JAX policy where its
      probabilities are not equal within rounding.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: they hold no team, or not this seed or agent; the message says which there are.
    """
    team = teams.read(path)
    names = team.spec.agents
    if seed is None or seed == "best":
        at = team.best
    elif seed in team.seeds:
        at = team.seeds.index(seed)
    else:
        raise ValueError(f"seed must be one of {team.seeds} or 'best', got {seed!r}")
    index = names.index(agent) if isinstance(agent, str) and agent in names else agent
    if isinstance(index, str) or (index is not None and not 0 <= index < len(names)):
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(f"agent must be one of {shown}, or an index below {len(names)}: {agent!r}")
    params = {
        name.removeprefix(teams.ACTOR): values[at]
        for name, values in team.params.items()
        if name.startswith(teams.ACTOR)
    }
    return NumpyPolicy(team.config.network, team.spec, params, index)
