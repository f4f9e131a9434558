"""Teams trained side by side: what they may differ in, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import memory, methods
from leed_jax.optimization.results import Diverged, TrainResult
from leed_jax.optimization.states import Hyperparameters
from leed_jax.types import EnvSpec


class Member(NamedTuple):
    """One team of those that are trained side by side."""

    seed: int
    learning_rate: float
    expert_weight: float
    """λ of every agent at the start."""


@dataclass(frozen=True)
class Trained:
    """What became of all M members, in their order."""

    method: methods.Method
    spec: EnvSpec
    members: tuple[Member, ...]
    params: dict[str, Any]
    """Leading axes M and N; on the host where there were several calls."""
    history: list[dict[str, Any]]
    """A line per evaluation and member, those of one evaluation together."""
    diverged: dict[int, Diverged]
    """By the index of the member."""
    env_steps: int
    """Per member."""
    train_seconds: float
    """Wall-clock of all calls."""
    compile_seconds: float
    peak_memory_mb: float
    plan: memory.Plan

    def result(self, config: TrainConfig, indices: range) -> TrainResult:
        """The result of neighbours among the members, which differ in their seeds alone."""
        count = len(self.members)
        params = self.params
        if len(indices) < count:
            params = jax.tree.map(lambda leaf: leaf[indices.start : indices.stop], params)
        return TrainResult(
            method=self.method.name,
            config=config,
            spec=self.spec,
            seeds=tuple(self.members[index].seed for index in indices),
            params=params,
            history=[line for at, line in enumerate(self.history) if at % count in indices],
            env_steps=self.env_steps,
            train_seconds=self.train_seconds,
            compile_seconds=self.compile_seconds,
            peak_memory_mb=self.peak_memory_mb,
            diverged={
                self.members[index].seed: why
                for index, why in self.diverged.items()
                if index in indices
            },
        )


def starts(members: Sequence[Member], spec: EnvSpec) -> tuple[Key[Array, "M"], Hyperparameters]:
    """Keys and hyperparameters that the members begin with."""
    weights = jnp.array([float(member.expert_weight) for member in members])
    rates = jnp.array([float(member.learning_rate) for member in members])
    hyper = Hyperparameters(
        rates, jnp.broadcast_to(weights[:, None], (len(members), spec.num_agents))
    )
    return jnp.stack([jax.random.key(member.seed) for member in members]), hyper


def joined(histories: Sequence[list[dict[str, Any]]], evaluations: int) -> list[dict[str, Any]]:
    """Lines of several calls as if they had been one: those of one evaluation together.

    Their seconds are what all calls took up to that evaluation.

    Args:
      histories: of each call; evaluation by evaluation, member by member.
      evaluations: of every member.
    """
    if len(histories) == 1:
        return histories[0]
    lines = []
    for number in range(evaluations):
        parts = []
        for history in histories:
            count = len(history) // evaluations
            parts.append(history[number * count : (number + 1) * count])
        seconds = sum(part[0]["seconds"] for part in parts)
        lines += [{**line, "seconds": seconds} for part in parts for line in part]
    return lines
