"""Demonstrations as padded arrays: built, merged, filtered, sampled, kept in files."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax import archives, files
from leed_jax.types import AnyArray, EnvSpec

FORMAT_VERSION = 1
MAX_FILE_BYTES = archives.MAX_BYTES
"""Unpacked size above which a file is refused unread."""
_LARGEST = float(np.finfo(np.float32).max)


class DemonstrationArrays(NamedTuple):
    """K episodes padded to S steps, as arrays of the host or of a device."""

    observation: Float[AnyArray, "K S N D"]
    action: Int[AnyArray, "K S N"] | Float[AnyArray, "K S N A"]
    """Actions that were executed."""
    action_mask: Bool[AnyArray, "K S N A"]
    reward: Float[AnyArray, "K S N"]
    """Each agent's own."""
    valid: Bool[AnyArray, "K S N"]
    """Rows to learn from: inside the episode, the agent's decision, and the plan's own action."""
    returns: Float[AnyArray, "K N"]
    """Undiscounted, each agent's own; the team sum is the sum over N."""


class Rows(NamedTuple):
    """Demonstrations as M rows on the device, for sampling batches.

    Agents lie side by side, but need not have decided in the same steps: row m holds the m-th
    valid step of each of them.
    """

    observation: Float[Array, "M N D"]
    action: Int[Array, "M N"] | Float[Array, "M N A"]
    action_mask: Bool[Array, "M N A"]
    weight: Float[Array, "M N"]
    """w in the expert loss, mean 1 over an agent's valid rows; 0: the row is not to be learnt."""


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations and where they came from; ``print`` tells a person what they are."""

    arrays: DemonstrationArrays
    spec: EnvSpec
    measures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Mean success metrics over the episodes."""
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """JSON: scenario and its options, model, request hash, plans, usage, package versions."""

    def __post_init__(self) -> None:
        _check(self.arrays, self.spec)

    @property
    def num_episodes(self) -> int:
        """K."""
        return self.arrays.action.shape[0]

    @property
    def num_steps(self) -> int:
        """Environment steps that the episodes took: the price in samples."""
        return int(np.asarray(self.arrays.valid).any(-1).sum())

    @property
    def team_returns(self) -> Float[np.ndarray, "K"]:
        """Sum over agents of their own undiscounted returns."""
        return np.asarray(self.arrays.returns).sum(-1)

    def __str__(self) -> str:
        arrays, returns = self.arrays, self.team_returns
        k, s, n = arrays.valid.shape
        lines = [
            f"Demonstrations of {self.spec.name}: {k} episodes, {n} agents, up to {s} steps",
            f"  steps         {self.num_steps:,} valid; observations [{k}, {s}, {n}, "
            f"{arrays.observation.shape[-1]}], {arrays.action_mask.shape[-1]} "
            + ("action components" if self.spec.continuous else "actions"),
            f"  team return   mean {returns.mean():.2f}, from {returns.min():.2f} "
            f"to {returns.max():.2f} (sum over agents)",
            f"  agent return  mean {np.asarray(arrays.returns).mean():.2f}",
        ]
        lines += [f"  {name:<13} {value:.3f}" for name, value in self.measures.items()]
        source = self.provenance.get("model")
        if source:
            lines.append(f"  instructions  by {source}")
        return "\n".join(lines)

    def filter(
        self, *, min_team_return: float | None = None, best: float | None = None
    ) -> "Demonstrations":
        """The episodes that are good enough.

        Args:
          min_team_return: keep episodes with at least this team sum.
          best: keep this share of the episodes, in (0, 1], those with the highest team sums.

        Raises:
          ValueError: nothing would be left, or ``best`` is out of range.
        """
        returns = self.team_returns
        keep = np.ones(len(returns), bool)
        if min_team_return is not None:
            keep &= returns >= min_team_return
        if best is not None:
            if not 0 < best <= 1:
                raise ValueError(f"best must be in (0, 1], got {best}")
            order = np.argsort(-returns, kind="stable")
            keep &= np.isin(np.arange(len(returns)), order[: int(np.ceil(best * len(returns)))])
        if not keep.any():
            raise ValueError(
                f"no episode is left: min_team_return={min_team_return}, the best has "
                f"{returns.max():.2f}"
            )
        kept = DemonstrationArrays(*(np.asarray(values)[keep] for values in self.arrays))
        # Means over all episodes are not those of the kept ones.
        return dataclasses.replace(self, arrays=kept, measures={})

    def episodes(self, weighting: Literal["uniform", "return"] = "uniform") -> Rows:
        """Whole padded episodes with leading axes K, S, for recurrent networks.

        Weighting "return" gives episode k of agent i the weight
        ``exp((R_ki - max_k R_ki) / std_k R_ki)``, scaled to mean 1 over the agent's valid rows.
        """
        arrays = DemonstrationArrays(*map(np.asarray, self.arrays))
        kept = (arrays.observation, arrays.action, arrays.action_mask, self._weights(weighting))
        return Rows(*map(jnp.asarray, kept))

    def rows(self, weighting: Literal["uniform", "return"] = "uniform") -> Rows:
        """The same as single steps: of every agent those that are valid for it, and no others.

        M is the largest number of them. Agents with fewer repeat theirs from the first one on,
        with weights divided so that every step counts as before and the mean over the M rows stays
        1; an agent without any has weight 0.
        """
        valid = np.asarray(self.arrays.valid).reshape(-1, self.spec.num_agents)
        counts = valid.sum(0)
        place = np.arange(counts.max())
        index = np.zeros((len(place), len(counts)), np.int64)
        share = np.zeros(index.shape, np.float32)
        for agent, count in enumerate(counts):
            if count:
                index[:, agent] = np.flatnonzero(valid[:, agent])[place % count]
                copies = np.bincount(place % count)[place % count]
                share[:, agent] = len(place) / count / copies

        def select(values: AnyArray) -> np.ndarray:
            flat = np.asarray(values).reshape(-1, *values.shape[2:])
            return flat[index, np.arange(len(counts))]

        arrays = self.arrays
        kept = map(select, (arrays.observation, arrays.action, arrays.action_mask))
        weight = select(self._weights(weighting)) * share
        return Rows(*map(jnp.asarray, (*kept, weight)))

    def _weights(self, weighting: Literal["uniform", "return"]) -> Float[np.ndarray, "K S N"]:
        """Of every step for every agent: zero where not valid, else with mean 1."""
        valid, returns = np.asarray(self.arrays.valid), np.asarray(self.arrays.returns)
        weight = valid * episode_weights(returns, weighting)[:, None]
        count = np.maximum(valid.sum((0, 1)), 1)
        weight = weight / np.maximum(weight.sum((0, 1)) / count, 1e-12)
        return weight.astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.npz`` whose member ``header`` is versioned JSON; no pickles.

        The file appears whole or not at all (written beside its place, then renamed).
        """
        header = {
            "format": "leed_jax.demonstrations",
            "version": FORMAT_VERSION,
            "spec": self.spec._asdict(),
            "measures": dict(self.measures),
            "provenance": dict(self.provenance),
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        arrays = {name: np.asarray(value) for name, value in self.arrays._asdict().items()}
        with files.whole(Path(path)) as partial, partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, header=text, **arrays)


def load(path: str | os.PathLike[str]) -> Demonstrations:
    """Demonstrations from `Demonstrations.save`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file, another version, or arrays that contradict the header; the
        message names the field.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no demonstrations at {path}")
    names = ("header", *DemonstrationArrays._fields)

    def fits(forms: Mapping[str, archives.Form], first: bytes) -> None:
        _check_forms(forms, _spec(_header(first)["spec"]))

    values = archives.read(Path(path), names, fits, MAX_FILE_BYTES)
    header = _header(values.pop("header").tobytes())
    try:
        arrays, spec = DemonstrationArrays(**values), _spec(header["spec"])
        return Demonstrations(arrays, spec, header["measures"], header["provenance"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _header(text: bytes) -> dict[str, Any]:
    """The entries of a header, those that every version has checked."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"header: is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict) or header.get("format") != "leed_jax.demonstrations":
        raise ValueError("header: not a file of demonstrations")
    version = header.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        said = repr(version)[:40]
        raise ValueError(f"header: version {said}, this package reads {FORMAT_VERSION}")
    for name in ("spec", "measures", "provenance"):
        if not isinstance(header.get(name), dict):
            raise ValueError(f"header: {name} must be a JSON object")
    for name, value in header["measures"].items():
        whole = type(value) is int and abs(value) < 2**53
        if not whole and not isinstance(value, float):
            raise ValueError(f"header: measures.{name[:40]!a} must be a number")
    return header


def _spec(fields: dict[str, Any]) -> EnvSpec:
    """The specification in a header, which may say anything."""

    def counts(value: Any) -> bool:
        whole = isinstance(value, list) and len(value) > 0
        return whole and all(type(item) is int and 0 < item < 2**31 for item in value)

    found: dict[str, Any] = {**EnvSpec._field_defaults, **fields}
    agents, shape = found.get("agents"), found.get("observation_shape")
    share = found["decision_share"]
    if not isinstance(agents, list) or not all(isinstance(name, str) for name in agents):
        agents = []
    number = len(agents)
    sizes = {name: found.get(name) for name in ("observation_sizes", "action_sizes")}
    good = {
        "name": isinstance(found.get("name"), str),
        "agents": 0 < number == len(set(agents)),
        **{name: counts(value) and len(value or ()) == number for name, value in sizes.items()},
        "horizon": counts([found.get("horizon")]),
        "decision_share": type(share) in (int, float) and 0 < share <= 1,
        "continuous": isinstance(found["continuous"], bool),
        "observation_shape": shape is None or counts(shape),
        **{name: False for name in fields if name not in EnvSpec._fields},
    }
    wrong = [
        name if name in EnvSpec._fields else ascii(name[:40])
        for name, fine in good.items()
        if not fine
    ]
    if wrong:
        raise ValueError(f"header: spec.{', spec.'.join(map(str, wrong[:5]))} cannot be meant")
    spec = EnvSpec.from_json(fields)
    if shape is not None and math.prod(shape) != spec.observation_size:
        raise ValueError(f"header: spec.observation_shape {shape} has not {spec.observation_size}")
    return spec


def merge(parts: Sequence[Demonstrations]) -> Demonstrations:
    """All episodes of several demonstrations of one environment.

    Raises:
      ValueError: none given, or they are of different environments; names the field.
    """
    if not parts:
        raise ValueError("merge needs at least one Demonstrations")
    for part in parts[1:]:
        require_match(part, parts[0].spec)
    counts = np.array([part.num_episodes for part in parts])
    names = set.intersection(*(set(part.measures) for part in parts))
    measures = {
        name: float(np.average([part.measures[name] for part in parts], weights=counts))
        for name in parts[0].measures
        if name in names
    }
    stacked = [
        np.concatenate([np.asarray(getattr(part.arrays, field)) for part in parts])
        for field in DemonstrationArrays._fields
    ]
    provenance = {"merged": [dict(part.provenance) for part in parts]}
    return Demonstrations(DemonstrationArrays(*stacked), parts[0].spec, measures, provenance)


def require_match(demonstrations: Demonstrations, spec: EnvSpec) -> None:
    """Raises ``ValueError`` naming the first field in which the two environments differ."""
    demonstrations.spec.require(spec, "demonstrations")


def _check_forms(forms: Mapping[str, Any], spec: EnvSpec) -> None:
    """Shapes and kinds of numbers, before or after these are read."""
    letters = "KSNA" if spec.continuous else "KSN"
    shape = forms["action"].shape
    if len(shape) != len(letters):
        raise ValueError(f"action must be [{', '.join(letters)}], got shape {shape}")
    k, s, *_ = shape
    sizes = {"K": k, "S": s, "N": spec.num_agents}
    sizes |= {"D": spec.observation_size, "A": spec.num_actions}
    wanted = {
        "observation": ("KSND", "f"),
        "action": (letters, "f" if spec.continuous else "i"),
        "action_mask": ("KSNA", "b"),
        "reward": ("KSN", "f"),
        "valid": ("KSN", "b"),
        "returns": ("KN", "f"),
    }
    for name, (letters, kind) in wanted.items():
        values = forms[name]
        shape = tuple(sizes[letter] for letter in letters)
        if values.shape != shape or values.dtype.kind != kind:
            raise ValueError(
                f"{name} must be [{', '.join(letters)}] = {list(shape)} of kind {kind!r}, got "
                f"{list(values.shape)} {values.dtype}"
            )


def _check(arrays: DemonstrationArrays, spec: EnvSpec) -> None:
    found = {name: np.asarray(values) for name, values in arrays._asdict().items()}
    _check_forms(found, spec)
    for name, values in found.items():
        if values.dtype.kind == "f" and not (np.abs(values) <= _LARGEST).all():
            raise ValueError(f"{name} holds NaN or infinite numbers (in 32 bits)")
    valid, action = np.asarray(arrays.valid), np.asarray(arrays.action)
    if not valid.any():
        raise ValueError("valid marks no row: there is nothing to learn from")
    if spec.continuous:
        return
    if action.min() < 0 or action.max() >= spec.num_actions:
        raise ValueError(f"action must be in 0..{spec.num_actions - 1}")
    legal = np.take_along_axis(np.asarray(arrays.action_mask), action[..., None], -1)[..., 0]
    if not legal[valid].all():
        raise ValueError("action holds actions that action_mask forbids, in valid rows")


def episode_weights(
    returns: Float[np.ndarray, "K N"], weighting: Literal["uniform", "return"]
) -> Float[np.ndarray, "K N"]:
    """Unscaled weight of an episode for every agent, see `Demonstrations.rows`."""
    if weighting == "uniform":
        return np.ones_like(returns)
    spread = np.maximum(returns.std(0), 1e-8)
    return np.exp((returns - returns.max(0)) / spread)


def sample(key: Key[Array, ""], rows: Rows, batch_size: int, *, by_weight: bool = False) -> Rows:
    """A batch of rows, drawn with replacement on the device.

    Args:
      key: random key.
      rows: to draw from.
      batch_size: B.
      by_weight: draw rows in proportion to their mean weight over agents, and return them with
        the weights left in only as a mask, instead of drawing uniformly with weights.
    """
    if not by_weight:
        index = jax.random.randint(key, (batch_size,), 0, rows.action.shape[0])
        return jax.tree.map(lambda values: values[index], rows)
    total = jnp.cumsum(rows.weight.mean(-1))
    draw = jax.random.uniform(key, (batch_size,)) * total[-1]
    index = jnp.minimum(jnp.searchsorted(total, draw, side="right"), total.shape[0] - 1)
    batch = jax.tree.map(lambda values: values[index], rows)
    return batch._replace(weight=(batch.weight > 0).astype(jnp.float32))
