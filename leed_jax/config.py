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

    weight: float = 10.0
    """λ at the start; 0 removes the term, which leaves IPPO."""
    final_weight: float = 0.0
    """λ at the end of the schedule."""
    schedule: Literal["constant", "linear", "cosine", "polynomial", "return_gap", "dtw"] = "linear"
    """How λ goes from `weight` to `final_weight`: not at all, by time, or agent by agent as its
    return comes up to that of the demonstrations (`return_gap`) or its trajectories come near
    theirs (`dtw`)."""
    decay_power: float = 4.0
    """Of `polynomial`: λ goes with so high a power of the time that is left."""
    decay_fraction: float = 1.0
    """Share of the training after which λ has reached `final_weight`."""
    batch_size: int = 128
    """Demonstration rows per agent in every minibatch (episodes, for a recurrent network)."""
    weighting: Literal["uniform", "return", "advantage"] = "uniform"
    """Weight of a demonstration: all alike, by its episode's return for that agent, or step by step
    by how much more the agent gets from there on than in the other episodes."""
    labels: Literal["auto", "demonstrations", "visited", "both"] = "auto"
    """States the expert speaks about: its own episodes, those the learner visits, or both. `auto`
    is both where there is an expert that can label visited states (a single relational plan), and
    its own episodes where there is none."""
    smoothing: float = 0.0
    """Share of the expert's probability that is spread over all legal actions: keeps the policies
    from becoming deterministic, so that they can still find better actions. Not for continuous
    ones, whose deviation is bounded."""
    guard_patience: float = 0.05
    """Share of the training that an agent may go without progress, in return or expert loss, before
    an adaptive λ falls; also the time in which it then falls to 37 %."""
    guard_progress: float = 0.05
    """What counts as progress: a rise by this share of the first gap between the return of the
    demonstrations and the agent's, or a fall by this share of the first expert loss."""
    guard_loss: float = 0.3
    """Share of the first expert loss below which it is low: falling further is no progress."""
    dtw_episodes: int = 8
    """Demonstrations, and environments, whose trajectories are compared for `dtw`."""
    dtw_points: int = 16
    """Points of a trajectory that are compared."""
    cloning_fraction: float = 0.25
    """Of `bc_ppo`: updates of behavioural cloning before the first of PPO, as a share of its own;
    they take no environment steps."""
    mixture_decay: float = 0.5
    """Of `dagger`: after k updates the expert acts in this share to the power of k of all steps;
    0: in the first rollout alone."""
    aggregate_rollouts: int = 4
    """Of `dagger`: its data set holds as many rows as so many rollouts, a uniform sample of all
    rollouts so far; its memory grows with it."""

    def __post_init__(self) -> None:
        _require(self.weight >= 0, "expert.weight", self.weight, "at least 0")
        _require(self.final_weight >= 0, "expert.final_weight", self.final_weight, "at least 0")
        _require(
            0 < self.decay_fraction <= 1, "expert.decay_fraction", self.decay_fraction, "in (0, 1]"
        )
        for name in ("batch_size", "decay_power", "guard_patience", "dtw_episodes", "dtw_points"):
            value = getattr(self, name)
            _require(value > 0, f"expert.{name}", value, "positive")
        for name in ("smoothing", "guard_progress", "guard_loss"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"expert.{name}", value, "in [0, 1)")
        _require(
            self.cloning_fraction > 0, "expert.cloning_fraction", self.cloning_fraction, "positive"
        )
        decay, rollouts = self.mixture_decay, self.aggregate_rollouts
        _require(0 <= decay <= 1, "expert.mixture_decay", decay, "in [0, 1]")
        _require(rollouts > 0, "expert.aggregate_rollouts", rollouts, "positive")


@dataclass(frozen=True)
class ValueBasedConfig:
    """Value-based methods (VDN, QMIX): replay, exploration, targets, mixing.

    The defaults are those that JaxMARL publishes for recurrent agents on MPE, in units that do not
    depend on the size of a rollout; `value_based_presets.PRESETS` has those of other tasks.
    """

    replay_steps: int = 130_000
    """Environment steps that the replay buffer holds (rounded down to whole rollouts)."""
    batch_size: int | None = None
    """Transitions per gradient step; with a recurrent network sequences, each the steps of one
    environment in one rollout. None: 512, or 32 sequences."""
    steps_per_gradient: int = 208
    """Environment steps per gradient step; an update makes as many as fit, one at least."""
    learning_starts: int = 10_000
    """Environment steps before the first gradient step."""
    epsilon_start: float = 1.0
    """Probability of a random legal action at the start."""
    epsilon_end: float = 0.05
    """And behind the decay."""
    epsilon_decay: float = 0.1
    """Share of the updates in which it falls, linearly."""
    target_interval: int = 200
    """Gradient steps between two updates of the target network."""
    target_rate: float = 1.0
    """Share of the present parameters that the target network takes over then."""
    double_q: bool = True
    """The present network chooses the next action and the target network rates it; else the target
    network does both."""
    team_reward: Literal["sum", "mean"] = "sum"
    """Of the agents' own rewards; `mean` where every agent is paid what the team is."""
    reward_scale: float = 1.0
    """Factor of the team's reward in the targets."""
    agent_ids: bool = True
    """Agents that share parameters see which of them they are (not with `network.kind` cnn)."""
    mixer_width: int = 32
    """Hidden units of QMIX's mixing network."""
    hypernetwork_width: int = 128
    """Hidden units of the networks that make its weights from the global state."""
    mixer_scale: float = 0.001
    """Gain of the first weights of those networks."""

    def __post_init__(self) -> None:
        size = self.batch_size
        _require(size is None or size > 0, "value_based.batch_size", size, "positive or None")
        positive = ("replay_steps", "steps_per_gradient", "target_interval")
        positive += ("reward_scale", "mixer_width", "hypernetwork_width", "mixer_scale")
        for name in positive:
            value = getattr(self, name)
            _require(value > 0, f"value_based.{name}", value, "positive")
        starts = self.learning_starts
        _require(starts >= 0, "value_based.learning_starts", starts, "at least 0")
        for name in ("epsilon_start", "epsilon_end"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"value_based.{name}", value, "in [0, 1]")
        for name in ("epsilon_decay", "target_rate"):
            value = getattr(self, name)
            _require(0 < value <= 1, f"value_based.{name}", value, "in (0, 1]")


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
    learning_rate: float | None = None
    """Of Adam, at the start; None: 0.01 for methods that learn from an expert to their end, 0.003
    for the others, see `optimization.methods.learning_rate`."""
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
    kl_coefficient: float = 0.0
    """Weight of the divergence from the policy before the update, beside the clip."""
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
    normalize_observations: bool = False
    """Every feature by its mean and deviation over all observations so far, agent by agent (over
    all agents that share parameters); demonstrations by the same."""
    scale_rewards: bool = False
    """Rewards divided by the deviation of the agent's discounted return so far, for advantages and
    values; reported returns are unscaled."""
    eval_every_steps: int = 25_000
    """Environment steps between two greedy evaluations (rounded to whole updates)."""
    eval_episodes: int = 128
    """Episodes per greedy evaluation and seed; fewer where a scenario has fewer scored starts."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Actor and critic."""
    expert: ExpertConfig = field(default_factory=ExpertConfig)
    """The expert loss."""
    value_based: ValueBasedConfig = field(default_factory=ValueBasedConfig)
    """Of the methods vdn and qmix; the others do not look at it."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "num_envs", "rollout_steps", "num_epochs", "num_minibatches"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        _require(self.parameter_groups > 0, "parameter_groups", self.parameter_groups, "positive")
        for name in ("eval_every_steps", "eval_episodes", "max_grad_norm"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "positive")
        rate = self.learning_rate
        _require(rate is None or rate > 0, "learning_rate", rate, "positive or None")
        for name in ("gamma", "gae_lambda"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        _require(self.kl_coefficient >= 0, "kl_coefficient", self.kl_coefficient, "at least 0")
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
