"""Settings as frozen dataclasses; the docstring under a field is its ``--help`` text.

One `TrainConfig` serves Python, notebooks and the command line. A value that cannot be meant
raises a ``ValueError`` that names the field and what was allowed.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal


def _require(condition: bool, name: str, value: Any, allowed: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


@dataclass(frozen=True)
class NetworkConfig:
    """Actor and critic of every agent."""

    kind: Literal["mlp", "gru", "cnn"] = "mlp"
    """Feed-forward; with a recurrent cell behind the first layer; or with 3x3 convolutions in front
    of it, for observations that are grids."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Width of the hidden layers; a GRU cell has the last of them."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Between the layers."""
    channels: tuple[int, ...] = (16, 16)
    """Of the convolutions, for `cnn`."""
    common_trunk: bool = False
    """Actor and critic have convolutions, first layer and GRU cell in common, and only the layers
    behind them of their own: half the arithmetic of a recurrent network."""

    def __post_init__(self) -> None:
        sizes = self.hidden_sizes
        _require(
            len(sizes) > 0 and min(sizes) > 0,
            "network.hidden_sizes",
            sizes,
            "one positive width or more",
        )
        _require(
            len(self.channels) > 0 and min(self.channels) > 0,
            "network.channels",
            self.channels,
            "one positive width or more",
        )

    @property
    def recurrent(self) -> bool:
        """Whether policies remember; then minibatches are whole sequences."""
        return self.kind == "gru"


@dataclass(frozen=True)
class ExpertConfig:
    """The expert log-likelihood loss: how much, for how long, on which states."""

    weight: float = 3.0
    """λ at the start; 0 removes the term, which leaves IPPO."""
    final_weight: float = 0.0
    """λ at the end of the schedule."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """How λ goes from `weight` to `final_weight`; `constant` stays at `weight`."""
    decay_fraction: float = 1.0
    """Share of the training after which λ has reached `final_weight`."""
    batch_size: int = 128
    """Demonstration rows per agent in every minibatch (episodes, for a recurrent network)."""
    weighting: Literal["uniform", "return"] = "uniform"
    """Weight of a demonstration: all alike, or by its episode's return for that agent."""
    labels: Literal["demonstrations", "visited", "both"] = "demonstrations"
    """States the expert speaks about: its own episodes, those the learner visits, or both."""

    def __post_init__(self) -> None:
        _require(self.weight >= 0, "expert.weight", self.weight, "at least 0")
        _require(self.final_weight >= 0, "expert.final_weight", self.final_weight, "at least 0")
        _require(
            0 < self.decay_fraction <= 1, "expert.decay_fraction", self.decay_fraction, "in (0, 1]"
        )
        _require(self.batch_size > 0, "expert.batch_size", self.batch_size, "positive")


@dataclass(frozen=True)
class TrainConfig:
    """One training run: PPO per agent, and the expert term."""

    total_steps: int = 500_000
    """Environment steps (one step moves all agents of one environment once)."""
    num_envs: int = 64
    """E, environments side by side."""
    rollout_steps: int = 128
    """T, steps of every environment between two updates."""
    num_epochs: int = 4
    """Passes over a rollout."""
    num_minibatches: int = 16
    """Gradient steps per pass."""
    shuffle_groups: int = 1
    """Groups of environments, as many rows of each of which make a minibatch, drawn within the
    group. The devices that share the environments must divide it; the same number draws the same
    batches on any of its divisors of devices."""
    learning_rate: float = 3e-3
    """Of Adam, at the start."""
    anneal_learning_rate: bool = True
    """Linearly to zero over the run."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation (not of the expert loss)."""
    clip_epsilon: float = 0.2
    """PPO's clip range, for probability ratios and for values."""
    entropy_coefficient: float = 0.01
    """Weight of the entropy bonus."""
    value_coefficient: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Global gradient norm of one agent's parameters is clipped here, per agent (once, if all
    agents share theirs)."""
    parameter_sharing: Literal["none", "groups", "all"] = "none"
    """Who has an actor and a critic in common: nobody, `parameter_groups` equal groups of
    neighbours in the list of agents, or all."""
    parameter_groups: int = 1
    """Groups of agents, for `parameter_sharing` by groups; a divisor of the number of agents."""
    normalize_advantages: bool = True
    """Per agent and minibatch, to zero mean and unit deviation."""
    eval_every_steps: int = 25_000
    """Environment steps between two greedy evaluations (rounded to whole updates)."""
    eval_episodes: int = 128
    """Episodes per greedy evaluation and seed; fewer where a scenario has fewer scored starts."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Actor and critic."""
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    """The expert loss."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "num_envs", "rollout_steps", "num_epochs", "num_minibatches"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        _require(self.parameter_groups > 0, "parameter_groups", self.parameter_groups, "positive")
        for name in ("eval_every_steps", "eval_episodes", "learning_rate", "max_grad_norm"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        for name in ("gamma", "gae_lambda"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        _require(self.clip_epsilon > 0, "clip_epsilon", self.clip_epsilon, "positive")
        groups = self.shuffle_groups
        _require(
            groups > 0 and self.num_envs % groups == 0,
            "shuffle_groups",
            groups,
            f"a divisor of num_envs = {self.num_envs}",
        )
        divided = (self.num_envs if self.network.recurrent else self.steps_per_update) // groups
        what = "num_envs" if self.network.recurrent else "num_envs * rollout_steps"
        what += " / shuffle_groups" if groups > 1 else ""
        _require(
            divided % self.num_minibatches == 0,
            "num_minibatches",
            self.num_minibatches,
            f"a divisor of {what} = {divided}",
        )
        _require(
            self.total_steps >= self.steps_per_update,
            "total_steps",
            self.total_steps,
            f"at least one update, num_envs * rollout_steps = {self.steps_per_update}",
        )

    @property
    def steps_per_update(self) -> int:
        """Environment steps between two updates, T * E."""
        return self.num_envs * self.rollout_steps

    @property
    def num_updates(self) -> int:
        """Updates of the run; what is left of `total_steps` beyond whole updates is not used."""
        return self.total_steps // self.steps_per_update

    @property
    def updates_per_eval(self) -> int:
        """Updates between two evaluations."""
        return max(1, min(self.num_updates, round(self.eval_every_steps / self.steps_per_update)))

    def replace(self, **changes: Any) -> "TrainConfig":
        """A copy with some fields changed; `ExpertConfig` fields go by ``expert=``."""
        return dataclasses.replace(self, **changes)
