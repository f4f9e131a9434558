"""Demonstrations from plain arrays of anybody's expert, human or scripted, checked on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leed_jax.demonstrations import DemonstrationArrays, Demonstrations
from leed_jax.types import ArrayEnv, EnvSpec, HasArrayEnv

_LARGEST = float(np.finfo(np.float32).max)


def demonstrations_from_arrays(
    scenario: HasArrayEnv | ArrayEnv,
    observations: Any,
    actions: Any,
    rewards: Any = None,
    *,
    lengths: Sequence[int] | np.ndarray | None = None,
    valid: Any = None,
    action_mask: Any = None,
    measures: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Demonstrations:
    """Demonstrations like any other: they train, filter, merge, save and load.

    Every field is given in one of three forms, N agents side by side or by their names:

    - an array of K padded episodes, ``[K S N ...]``;
    - a mapping from agents' names to their own arrays, ``[K S ...]``;
    - a sequence of episodes of any lengths, each ``[S N ...]``, or a mapping to ``[S ...]``.

    An episode has as many observations as actions: the observation after the last action is left
    out. By name, arrays have an agent's own size; side by side they have the largest agent's, and
    what lies beyond an agent's own is zero. Grids are flattened.

    Args:
      scenario: that the expert acted in, or its `ArrayEnv`.
      observations: [K S N D], what every agent saw before its action.
      actions: [K S N] whole numbers; where actions are continuous [K S N A] in [-1, 1], which the
        environment scales to its bounds.
      rewards: [K S N], each agent's own reward for that action; None: unknown, all returns are 0.
      lengths: [K] steps of every episode, where arrays are padded; None: as many as there are.
      valid: [K S N], or [K S] for all agents, true where an action is to be learnt from; None: in
        every step of an episode. Other steps' rewards count, their actions may be anything.
      action_mask: [K S N A], which actions were legal; None: all that an agent has.
      measures: means over the episodes of success metrics, for people to read.
      provenance: JSON, where the episodes came from.

    Raises:
      ValueError: something does not fit the environment; the message names field, episode, step
        and agent as far as there are such, and what was allowed.
    """
    spec = scenario.spec if isinstance(scenario, ArrayEnv) else scenario.env.spec
    given = {"observations": observations, "actions": actions, "rewards": rewards}
    given |= {"valid": valid, "action_mask": action_mask}
    return build(spec, given, lengths, measures or {}, provenance or {})


def build(
    spec: EnvSpec,
    given: Mapping[str, Any],
    lengths: Any,
    measures: Mapping[str, float],
    provenance: Mapping[str, Any],
    *,
    bounded: bool = True,
) -> Demonstrations:
    """What `demonstrations_from_arrays` returns.

    Args:
      spec: of the environment.
      given: the five fields by their names; None: not given.
      lengths: of the episodes, or None.
      measures: success metrics.
      provenance: where the episodes came from.
      bounded: continuous actions must be in [-1, 1]; False: the environment has clipped them.

    Raises:
      ValueError: as of `demonstrations_from_arrays`.
    """
    kinds: dict[str, tuple[str, Sequence[int] | None]] = {
        "observations": ("f", spec.observation_sizes),
        "actions": ("f", spec.action_sizes) if spec.continuous else ("i", None),
        "rewards": ("f", None),
        "valid": ("b", None),
        "action_mask": ("b", spec.action_sizes),
    }
    fields = {
        name: _tables(name, _for_all_agents(name, given[name], spec), spec, kind, widths)
        for name, (kind, widths) in kinds.items()
        if given.get(name) is not None
    }
    arrays = _padded(fields, _lengths(fields, lengths, spec), spec)
    arrays = _checked(arrays, spec, bounded=bounded)
    return Demonstrations(arrays, spec, dict(measures), dict(provenance))


def _for_all_agents(name: str, given: Any, spec: EnvSpec) -> Any:
    """``valid`` with an axis of agents, where it has none."""
    if name == "valid" and hasattr(given, "ndim") and given.ndim == 2:
        return np.repeat(np.asarray(given)[..., None], spec.num_agents, axis=-1)
    return given


def _tables(
    name: str, given: Any, spec: EnvSpec, kind: str, widths: Sequence[int] | None
) -> list[np.ndarray]:
    """Every episode of a field as [S N], or [S N W] where agents have ``widths`` numbers."""
    if isinstance(given, Mapping):
        _require_agents(name, given, spec)
        counts = {agent: len(given[agent]) for agent in spec.agents}
        if len(set(counts.values())) != 1:
            raise ValueError(f"{name}: agents have different numbers of episodes: {counts}")
        number = counts[spec.agents[0]]
        given = [{agent: given[agent][k] for agent in spec.agents} for k in range(number)]
    if len(given) == 0:
        raise ValueError(f"{name} holds no episode")
    return [
        _table(f"{name}: episode {k}", each, spec, kind, widths) for k, each in enumerate(given)
    ]


def _table(
    place: str, episode: Any, spec: EnvSpec, kind: str, widths: Sequence[int] | None
) -> np.ndarray:
    if isinstance(episode, Mapping):
        _require_agents(place, episode, spec)
        columns = [_numbers(f"{place}, {agent}", episode[agent], kind) for agent in spec.agents]
        steps = {agent: len(c) for agent, c in zip(spec.agents, columns, strict=True)}
        if len(set(steps.values())) != 1:
            raise ValueError(f"{place}: agents have different numbers of steps: {steps}")
        if widths is None:
            for agent, column in zip(spec.agents, columns, strict=True):
                _require_shape(f"{place}, {agent}", column, "[S]", column.ndim == 1)
            return np.stack(columns, axis=1)
        table = np.zeros((len(columns[0]), spec.num_agents, max(widths)), columns[0].dtype)
        for n, (agent, column) in enumerate(zip(spec.agents, columns, strict=True)):
            flat = column.reshape(len(column), -1)
            wanted = f"[S, {widths[n]}]"
            _require_shape(f"{place}, {agent}", column, wanted, flat.shape[1] == widths[n])
            table[:, n, : widths[n]] = flat
        return table
    table = _numbers(place, episode, kind)
    agents = spec.num_agents
    if widths is None:
        _require_shape(place, table, f"[S, {agents}]", table.shape[1:] == (agents,))
        return table
    flat = table.reshape(*table.shape[:2], -1) if table.ndim > 1 and len(table) else table
    wanted = f"[S, {agents}, {max(widths)}]"
    _require_shape(place, table, wanted, flat.shape[1:] == (agents, max(widths)))
    for n, (agent, width) in enumerate(zip(spec.agents, widths, strict=True)):
        if (flat[:, n, width:] != 0).any():
            raise ValueError(
                f"{place}, {agent}: it has {width} numbers of its own; what follows is padding and "
                "must be 0"
            )
    return flat


def _numbers(place: str, values: Any, kind: str) -> np.ndarray:
    """An array of at least one axis and of the kind that is asked for."""
    found = np.asarray(values)
    words = {"f": "numbers", "i": "whole numbers", "b": "true or false"}
    kinds = {"f": "fiu", "i": "iu", "b": "biu"}
    good = found.dtype.kind in kinds[kind] and found.ndim > 0
    if not good or (kind == "b" and not np.isin(found, (0, 1)).all()):
        raise ValueError(f"{place}: must be an array of {words[kind]}, got {found.dtype}")
    if len(found) == 0:
        raise ValueError(f"{place}: has no step")
    return found.astype(bool) if kind == "b" else found


def _require_agents(place: str, given: Mapping[str, Any], spec: EnvSpec) -> None:
    if set(given) != set(spec.agents):
        raise ValueError(f"{place}: agents must be {list(spec.agents)}, got {sorted(given)}")


def _require_shape(place: str, found: np.ndarray, wanted: str, good: bool) -> None:
    if not good:
        raise ValueError(f"{place}: must be {wanted}, got {list(found.shape)}")


def _lengths(fields: Mapping[str, list[np.ndarray]], lengths: Any, spec: EnvSpec) -> list[int]:
    """Steps of every episode; all fields have them."""
    actions = fields["actions"]
    for name, tables in fields.items():
        if len(tables) != len(actions):
            raise ValueError(f"{name} holds {len(tables)} episodes, actions {len(actions)}")
        for k, (table, action) in enumerate(zip(tables, actions, strict=True)):
            if len(table) != len(action):
                hint = " (leave out the one after the last action)" * (name == "observations")
                raise ValueError(
                    f"{name}: episode {k} has {len(table)} steps, actions have {len(action)}{hint}"
                )
    steps = np.array([len(table) for table in actions])
    if lengths is not None:
        given = np.asarray(lengths)
        good = given.shape == steps.shape and given.dtype.kind in "iu"
        if not good or (given < 1).any() or (given > steps).any():
            raise ValueError(
                f"lengths must be {len(steps)} whole numbers from 1 to the steps that are there, "
                f"{steps.max()} at most; got {given.tolist()}"
            )
        steps = given
    if steps.max() > spec.horizon:
        raise ValueError(
            f"actions: episode {int(steps.argmax())} has {steps.max()} steps; an episode of "
            f"{spec.name} has at most {spec.horizon}"
        )
    return steps.tolist()


def _padded(
    fields: Mapping[str, list[np.ndarray]], steps: Sequence[int], spec: EnvSpec
) -> DemonstrationArrays:
    """Episodes padded to the horizon, so that they can be merged with those of plans."""
    shape = (len(steps), spec.horizon, spec.num_agents)
    width, actions = spec.observation_size, spec.num_actions
    own = np.arange(actions) < np.array(spec.action_sizes)[:, None]

    def fill(name: str, values: np.ndarray) -> np.ndarray:
        for k, length in enumerate(steps):
            with np.errstate(over="ignore"):  # found by the check of rows, which names the place
                values[k, :length] = fields[name][k][:length]
        return values

    inside = np.arange(spec.horizon) < np.array(steps)[:, None]
    valid = np.repeat(inside[..., None], spec.num_agents, axis=-1)
    mask = np.broadcast_to(own, (*shape, actions)).copy()
    reward = np.zeros(shape, np.float32)
    if "rewards" in fields:
        reward = fill("rewards", reward)
    action = np.zeros((*shape, actions), np.float32)
    if not spec.continuous:
        action = np.zeros(shape, np.int64)
    return DemonstrationArrays(
        observation=fill("observations", np.zeros((*shape, width), np.float32)),
        action=fill("actions", action),
        action_mask=fill("action_mask", mask) if "action_mask" in fields else mask,
        reward=reward,
        valid=fill("valid", valid) if "valid" in fields else valid,
        returns=reward.sum(1),
    )


def _checked(arrays: DemonstrationArrays, spec: EnvSpec, *, bounded: bool) -> DemonstrationArrays:
    """Numbers and actions checked row by row; actions that are not to be learnt become 0."""
    action, mask = np.asarray(arrays.action), np.asarray(arrays.action_mask)
    valid, reward = np.asarray(arrays.valid), np.asarray(arrays.reward)
    finite = (np.abs(np.asarray(arrays.observation)) <= _LARGEST).all(-1)
    _refuse(~finite, "observations", "must be finite in 32 bits", spec)
    _refuse(~(np.abs(reward) <= _LARGEST), "rewards", "must be finite in 32 bits", spec)
    _refuse(valid & ~mask.any(-1), "action_mask", "allows no action", spec)
    if spec.continuous:
        wrong = valid & ~(np.abs(action) <= (1 if bounded else _LARGEST)).all(-1)
        _refuse(wrong, "actions", "must be in [-1, 1], scaled from the environment's bounds", spec)
        return arrays._replace(action=np.where(valid[..., None], action, np.float32(0)))
    sizes = np.array(spec.action_sizes)
    wrong = valid & ~((action >= 0) & (action < sizes))
    if wrong.any():
        agent = int(np.argwhere(wrong)[0][2])
        _refuse(wrong, "actions", f"must be in 0..{sizes[agent] - 1}", spec, action)
    action = np.where(valid, action, 0).astype(np.int32)
    legal = np.take_along_axis(mask, action[..., None], -1)[..., 0]
    _refuse(valid & ~legal, "actions", "must be one that action_mask allows", spec, action)
    return arrays._replace(action=action)


def _refuse(
    wrong: Any, name: str, allowed: str, spec: EnvSpec, values: np.ndarray | None = None
) -> None:
    """Raises ``ValueError`` for the first row [K S N] that is wrong."""
    if not wrong.any():
        return
    k, s, n = np.argwhere(wrong)[0].tolist()
    got = "" if values is None else f", got {values[k, s, n]}"
    raise ValueError(f"{name}: episode {k}, step {s}, {spec.agents[n]}: {allowed}{got}")
