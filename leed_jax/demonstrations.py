"""Demonstrations as padded arrays: built, merged, filtered, sampled, kept in files."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax import demonstration_arrays, demonstration_files, digests
from leed_jax.demonstration_arrays import DemonstrationArrays
from leed_jax.types import AnyArray, EnvSpec, Expert
from leed_jax.weighting import Weighting, episode_weights, step_weights


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
    expert: Expert | None = dataclasses.field(default=None, compare=False, repr=False)
    """The plan behind all episodes as a policy, where there is a single relational one; files do
    not hold it."""

    def __post_init__(self) -> None:
        demonstration_arrays.check(self.arrays, self.spec)

    @property
    def num_episodes(self) -> int:
        """K."""
        return self.arrays.action.shape[0]

    @property
    def num_steps(self) -> int:
        """Environment steps that the episodes took: the price in samples."""
        return int(np.asarray(self.arrays.valid).any(-1).sum())

    @property
    def content_hash(self) -> str:
        """SHA-256 of all arrays and of the specification; not of measures and provenance."""
        said = json.dumps(self.spec._asdict())
        return digests.sha256(self.arrays._asdict(), said)

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

    def episodes(self, weighting: Weighting = "uniform") -> Rows:
        """Whole padded episodes with leading axes K, S, for recurrent networks.

        Weighting "return" gives episode k of agent i the weight
        ``exp((R_ki - max_k R_ki) / std_k R_ki)``, scaled to mean 1 over the agent's valid rows;
        "advantage" gives steps weights of their own, see `weighting.step_weights`.
        """
        arrays = DemonstrationArrays(*map(np.asarray, self.arrays))
        kept = (arrays.observation, arrays.action, arrays.action_mask, self._weights(weighting))
        return Rows(*map(jnp.asarray, kept))

    def rows(self, weighting: Weighting = "uniform") -> Rows:
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

    def _weights(self, weighting: Weighting) -> Float[np.ndarray, "K S N"]:
        """Of every step for every agent: zero where not valid, else with mean 1."""
        valid, returns = np.asarray(self.arrays.valid), np.asarray(self.arrays.returns)
        if weighting == "advantage":
            each = step_weights(np.asarray(self.arrays.reward), returns, valid)
        else:
            each = episode_weights(returns, weighting)[:, None]
        weight = valid * each
        count = np.maximum(valid.sum((0, 1)), 1)
        # In 64 bits: padding must not change how a sum is rounded.
        total = weight.sum((0, 1), dtype=np.float64)
        weight = weight / np.maximum(total / count, 1e-12)
        return weight.astype(np.float32)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a ``.npz`` whose member ``header`` is versioned JSON; no pickles.

        The file appears whole or not at all (written beside its place, then renamed).
        """
        demonstration_files.write(path, self.arrays, self.spec, self.measures, self.provenance)


def load(path: str | os.PathLike[str]) -> Demonstrations:
    """Demonstrations from `Demonstrations.save`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file, another version, or arrays that contradict the header; the
        message names the field.
    """
    content = demonstration_files.read(path)
    try:
        return Demonstrations(*content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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
