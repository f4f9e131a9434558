"""What a training run leaves behind, and how good it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from leed_jax import statistics
from leed_jax.config import TrainConfig
from leed_jax.optimization import evaluation, networks
from leed_jax.types import ArrayEnv, EnvSpec, HasArrayEnv, Policy

EVALUATION_SEED = 1
"""Of `evaluate`; training's own evaluations draw other starts."""


class Diverged(NamedTuple):
    """When and how a team ceased to be finite."""

    update: int
    """The first whose metrics or parameters were not finite, counted from 1."""
    what: str
    """The first of them that was not: "metric expert", "parameters of the actor", ..."""

    def as_json(self) -> dict[str, Any]:
        """``{"update": ..., "what": ...}``."""
        return self._asdict()

    @classmethod
    def from_json(cls, value: Any) -> "Diverged":
        """From `as_json`, or from the number of the update, which older files have.

        Raises:
          TypeError: it is neither.
        """
        if isinstance(value, dict):
            return cls(**value)
        if type(value) is not int:
            raise TypeError(f"diverged must say update and what, got {value!r}")
        return cls(value, "unknown")


@dataclass(frozen=True)
class TrainResult:
    """Trained teams, one per seed, and how they came about."""

    method: str
    config: TrainConfig
    spec: EnvSpec
    seeds: tuple[int, ...]
    params: dict[str, Any] = field(repr=False)
    """Actor and critic parameters, leading axes S (seeds) and N, or 1 where all agents share."""
    history: list[dict[str, Any]] = field(repr=False)
    """A dictionary per seed and evaluation; the lines of ``metrics.jsonl``."""
    env_steps: int
    """Per seed; evaluations and demonstrations not counted."""
    train_seconds: float
    """Wall-clock of all seeds together, without compilation and evaluation."""
    compile_seconds: float
    peak_memory_mb: float
    """Of the first device where it tells, else of the process; largest value so far."""
    diverged: Mapping[int, Diverged]
    """By seed; a seed that diverged stays as it was before."""

    @property
    def env_steps_per_second(self) -> float:
        """Environment steps of all seeds per second of training."""
        return len(self.seeds) * self.env_steps / max(self.train_seconds, 1e-9)

    def curve(self, name: str = "team_return") -> Float[np.ndarray, "S V"]:
        """All V evaluations of every seed: "team_return", or a success metric."""
        values = [line[name] if name in line else line["success"][name] for line in self.history]
        return np.array(values, np.float64).reshape(-1, len(self.seeds)).T

    @property
    def steps(self) -> Int[np.ndarray, "V"]:
        """Environment steps of a seed before each of the V evaluations of `curve`, int64.

        All 0 for a method that steps no environment (``bc``), and 0 throughout a first stage that
        does not (``bc_ppo``); the lines of `history` count ``updates``, too.
        """
        return np.array([line["env_steps"] for line in self.history[:: len(self.seeds)]], np.int64)

    def final(self, name: str = "team_return") -> Float[np.ndarray, "S"]:
        """The last evaluation of every seed."""
        return self.curve(name)[:, -1]

    @property
    def best_seed(self) -> int:
        """Index into ``seeds`` of the highest last evaluation; 0 if all of them diverged."""
        return int(np.argmax(np.nan_to_num(self.final(), nan=-np.inf)))

    def policy(self, index: int | None = None, *, greedy: bool = True) -> Policy:
        """One seed's team as a `Policy`; by default the best seed's."""
        chosen = self.best_seed if index is None else index
        params = jax.tree.map(lambda leaf: leaf[chosen], self.params["actor"])
        actor = networks.make_actor(self.config.network, self.spec)
        return evaluation.policy(actor, params, greedy=greedy)


@dataclass(frozen=True)
class Evaluation:
    """Greedy play of every seed's team from the same starts; ``print`` shows a table."""

    method: str
    seeds: tuple[int, ...]
    num_episodes: int
    agent_return: Float[np.ndarray, "S N"]
    """Mean undiscounted own return per agent."""
    success: Mapping[str, Float[np.ndarray, "S"]]

    @property
    def team_return(self) -> Float[np.ndarray, "S"]:
        """Sum over agents, per seed."""
        return self.agent_return.sum(-1)

    @property
    def iqm(self) -> statistics.Interval:
        """Interquartile mean over seeds of the team return, with its bootstrap interval."""
        return statistics.aggregate(self.team_return)

    def __str__(self) -> str:
        columns = {"team return": self.team_return, **self.success}
        lines = [f"{self.method}, {self.num_episodes} greedy episodes per seed"]
        for name, values in columns.items():
            total = statistics.aggregate(values)
            each = "  ".join(f"{value:.2f}" for value in values)
            lines.append(
                f"  {name:<22} IQM {total.iqm:.2f} [{total.low:.2f}, {total.high:.2f}]"
                f"   seeds: {each}"
            )
        return "\n".join(lines)


def evaluate(
    scenario: HasArrayEnv | ArrayEnv,
    result: TrainResult,
    *,
    num_episodes: int = 512,
    seed: int = EVALUATION_SEED,
) -> Evaluation:
    """Plays every seed's team greedily.

    Args:
      scenario: the scenario it was trained on, or its `ArrayEnv`.
      result: of `train`.
      num_episodes: per seed, from common random starts; fewer where the environment has fewer
        scored starts.
      seed: draws these starts.

    Raises:
      ValueError: the result is of another environment; the message names the field.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    result.spec.require(env.spec, "result")
    actor = networks.make_actor(result.config.network, env.spec)
    keys = evaluation.evaluation_keys(seed, env.scored_episodes(num_episodes))
    play = jax.jit(jax.vmap(lambda params: evaluation.score(env.scored, actor, params, keys)))
    scores = jax.device_get(play(result.params["actor"]))
    return Evaluation(result.method, result.seeds, len(keys), scores.agent_return, scores.measures)
