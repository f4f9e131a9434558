"""How a team's demonstrations lie in a Minari dataset.

One dataset holds the whole team. Observations and actions are dictionaries by agents' names:

    observations  Dict of Box, T + 1 rows: before every action, and the last one again at the end
    actions       Dict of Discrete, or of Box in [-1, 1], T rows
    rewards       [T], the sum over agents
    terminations  true in the last row of an episode that ended before the horizon
    truncations   true in the last row of one that did not
    infos         T + 1 rows each, by agents' names, for the observation of the same row:
                  agent_reward (for the step that led there), action_mask, valid (to be learnt from)

Demonstrations hold no observation after the last action: Minari asks for one, so the last stands
there twice. Of a dataset that others made, infos may be missing.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from leed_jax.demonstrations import Demonstrations
from leed_jax.types import EnvSpec

_INFOS = ("agent_reward", "action_mask", "valid")


def spaces(spec: EnvSpec) -> tuple[Any, Any]:
    """The dictionaries of all agents' observations and actions."""
    gym = importlib.import_module("gymnasium.spaces")

    def seen(size: int) -> Any:
        return gym.Box(-np.inf, np.inf, spec.observation_shape or (size,), np.float32)

    def done(size: int) -> Any:
        return gym.Box(-1.0, 1.0, (size,), np.float32) if spec.continuous else gym.Discrete(size)

    sizes = zip(spec.agents, spec.observation_sizes, spec.action_sizes, strict=True)
    pairs = {agent: (seen(width), done(count)) for agent, width, count in sizes}
    observations = gym.Dict({agent: pair[0] for agent, pair in pairs.items()})
    return observations, gym.Dict({agent: pair[1] for agent, pair in pairs.items()})


def buffers(demos: Demonstrations) -> Iterator[Any]:
    """One episode after another as Minari takes them, without padding."""
    buffer = importlib.import_module("minari.data_collector").EpisodeBuffer
    spec, arrays = demos.spec, demos.arrays
    held = np.asarray(arrays.valid).any(-1) | (np.asarray(arrays.reward) != 0).any(-1)
    held |= (np.asarray(arrays.observation) != 0).any((-2, -1))
    horizon = held.shape[1]
    for k, row in enumerate(held):
        length = horizon - int(row[::-1].argmax())
        last = np.arange(length) == length - 1
        kept = {
            name: np.asarray(getattr(arrays, name))[k, :length]
            for name in ("observation", "action", "action_mask", "reward", "valid")
        }
        again = np.concatenate([kept["observation"], kept["observation"][-1:]])
        own = {
            "agent_reward": _shifted(kept["reward"], first=True),
            "action_mask": _shifted(kept["action_mask"], first=False),
            "valid": _shifted(kept["valid"], first=False),
        }
        agents = range(spec.num_agents)
        widths, counts = spec.observation_sizes, spec.action_sizes
        sized = {
            "observations": [
                again[:, n, : widths[n]].reshape(-1, *(spec.observation_shape or (widths[n],)))
                for n in agents
            ],
            "actions": [
                kept["action"][:, n, : counts[n]] if spec.continuous else kept["action"][:, n]
                for n in agents
            ],
        }
        own_sized = {
            name: [
                values[:, n, : counts[n]] if name == "action_mask" else values[:, n] for n in agents
            ]
            for name, values in own.items()
        }
        yield buffer(
            **{name: dict(zip(spec.agents, each, strict=True)) for name, each in sized.items()},
            rewards=list(kept["reward"].sum(-1)),
            terminations=list(last & (length < spec.horizon)),
            truncations=list(last & (length >= spec.horizon)),
            infos={
                name: dict(zip(spec.agents, each, strict=True)) for name, each in own_sized.items()
            },
        )


def _shifted(values: np.ndarray, *, first: bool) -> np.ndarray:
    """``values`` with a row of zeros before or after them."""
    zeros = np.zeros_like(values[:1])
    return np.concatenate([zeros, values] if first else [values, zeros])


def episode_fields(episode: Any, dataset: Any, spec: EnvSpec) -> dict[str, dict[str, Any]]:
    """An episode's fields by agents' names."""
    steps = len(episode.rewards)
    seen = _by_agent("observations", episode.observations, spec)
    done = _by_agent("actions", episode.actions, spec)
    allowed = _by_agent("action_space", dataset.action_space, spec)
    for name, values in seen.items():
        if len(values) != steps + 1:
            raise ValueError(
                f"observations of {name}, episode {episode.id}: {len(values)} rows, for {steps} "
                f"actions there must be {steps + 1}"
            )
    fields: dict[str, dict[str, Any]] = {
        "observations": {name: values[:-1] for name, values in seen.items()},
        "actions": {name: _unscaled(name, done[name], allowed[name], spec) for name in spec.agents},
    }
    infos = {name: (episode.infos or {}).get(name) for name in _INFOS}
    if infos["agent_reward"] is not None:
        own = _by_agent("infos.agent_reward", infos["agent_reward"], spec)
        fields["rewards"] = {name: values[1:] for name, values in own.items()}
    else:
        share = np.asarray(episode.rewards, np.float32) / np.float32(spec.num_agents)
        fields["rewards"] = dict.fromkeys(spec.agents, share)
    for name in ("action_mask", "valid"):
        if infos[name] is not None:
            each = _by_agent(f"infos.{name}", infos[name], spec)
            fields[name] = {agent: values[:-1] for agent, values in each.items()}
    return fields


def _by_agent(name: str, given: Any, spec: EnvSpec) -> dict[str, Any]:
    """A dictionary, or what a single agent has to itself."""
    dictionary = isinstance(given, Mapping) or hasattr(given, "spaces")
    if not dictionary and spec.num_agents == 1:
        return {spec.agents[0]: given}
    found = list(given.keys()) if dictionary else type(given).__name__
    if not dictionary or set(found) != set(spec.agents):
        raise ValueError(f"{name} must be by agents {list(spec.agents)}, got {found}")
    return {agent: given[agent] for agent in spec.agents}


def _unscaled(name: str, values: Any, space: Any, spec: EnvSpec) -> np.ndarray:
    """Actions as this package has them: from 0 on, or in [-1, 1]."""
    found = np.asarray(values)
    if hasattr(space, "n") == spec.continuous:
        kind = "vectors of bounded numbers" if spec.continuous else "discrete"
        raise ValueError(f"actions of {name} are {space}; the environment's are {kind}")
    if not spec.continuous:
        return found - int(space.start)
    low, high = np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)
    if (low == -1).all() and (high == 1).all():
        return found
    if not np.isfinite([low, high]).all() or not (low < high).all():
        raise ValueError(f"actions of {name} are {space}; they must have bounds to be scaled by")
    return (2 * (found - low) / (high - low) - 1).astype(np.float32)
