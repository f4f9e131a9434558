"""Methods by name: which terms an agent's loss has, who shares parameters, what is learnt from."""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from leed_jax.config import TrainConfig
from leed_jax.optimization import losses


class Method(NamedTuple):
    """What is trained, and on what."""

    name: str
    terms: tuple[losses.Term, ...]
    parameter_sharing: bool = False
    """One actor and one critic serve all agents; their loss is the mean of the agents' losses."""
    labels: Literal["demonstrations", "visited", "both"] | None = None
    """The method's own, whatever ``expert.labels`` says; None: as that says."""
    weight: Callable[[TrainConfig, Array], Array] | None = None
    """(settings, updates done) -> λ, in place of ``expert.weight`` and its schedule."""
    central_critic: bool = False
    """Critics see `TimeStep.global_state`, the agent's observation and its number."""
    aggregates: bool = False
    """The rows of all rollouts so far are learnt from, in some of whose steps the expert acted."""
    before: "Method | None" = None
    """What the networks are trained with first, see `stages.in_turn`."""
    mixer: Literal["sum", "monotone"] | None = None
    """How the agents' action values become the team's, see `value_based`; None: policies are
    trained."""

    @property
    def uses_rollout(self) -> bool:
        """Whether the environment is run at all."""
        return self.aggregates or not all(term.needs_demonstrations for term in self.terms)

    @property
    def uses_expert(self) -> bool:
        """Whether there is a term that learns from an expert."""
        return any(term.needs_demonstrations for term in self.terms)

    @property
    def weighs(self) -> bool:
        """Whether λ weighs an expert against rewards."""
        return self.uses_expert and self.uses_rollout and not self.aggregates

    @property
    def compares(self) -> bool:
        """Whether there is a term that compares the policy with what it was before the update."""
        return any(term.needs_policy_before for term in self.terms)

    @property
    def imitation(self) -> str:
        """Name of the first term that learns from an expert, whose loss an adaptive λ looks at."""
        return next(term.name for term in self.terms if term.needs_demonstrations)


PPO = (losses.POLICY, losses.VALUE, losses.ENTROPY, losses.DIVERGENCE)
BC = Method("bc", (losses.IMITATION,))


def dapg(weight: float = 0.1, decay: float = 0.95) -> Method:
    """Demonstration-augmented policy gradient (Rajeswaran et al. 2018, 1709.10087).

    After k updates λ is ``weight * decay ** k``, whatever the settings of the expert loss say; the
    defaults are the paper's λ_0 and λ_1. Differences: PPO instead of a natural gradient, and the
    means over the learner's and the demonstrations' rows are taken apart and added, so that their
    numbers do not matter.
    """
    return Method(
        "dapg",
        (*PPO, losses.DEMONSTRATED),
        labels="demonstrations",
        weight=lambda config, updates: weight * decay ** updates.astype(jnp.float32),
    )


METHODS = {
    "leed": Method("leed", (*PPO, losses.EXPERT)),
    "ippo": Method("ippo", PPO),
    "bc": BC,
    "ippo_shared": Method("ippo_shared", PPO, parameter_sharing=True),
    "mappo": Method("mappo", PPO, parameter_sharing=True, central_critic=True),
    "mappo_per_agent": Method("mappo_per_agent", PPO, central_critic=True),
    "kickstarting": Method("kickstarting", (*PPO, losses.EXPERT), labels="visited"),
    "dapg": dapg(),
    "bc_ppo": Method("bc_ppo", PPO, before=BC._replace(name="bc_ppo", labels="demonstrations")),
    "dagger": Method("dagger", (losses.IMITATION,), labels="visited", aggregates=True),
    "vdn": Method("vdn", (losses.TEAM_ERROR,), parameter_sharing=True, mixer="sum"),
    "qmix": Method("qmix", (losses.TEAM_ERROR,), parameter_sharing=True, mixer="monotone"),
}
"""Methods by name; docs/method.md, "Baselines", says what each is. With λ = 0 the term is left out,
and LEED is IPPO, operation for operation.

``ippo_shared`` and ``mappo`` are the usual baselines, with one actor and one critic for the whole
team (Yu et al. 2022, 2103.01955); the actor does not see an agent's name."""


def resolve(method: str | Method, config: TrainConfig) -> Method:
    """The method by its name, without an expert term or a divergence of weight zero.

    Raises:
      ValueError: no such method; labels that the method has no use for; or a network that it
        cannot have.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        method = METHODS[method]
    never = config.expert.schedule == "constant" or config.expert.final_weight == 0
    if config.expert.weight == 0 and never:
        method = method._replace(terms=tuple(t for t in method.terms if t is not losses.EXPERT))
    if config.kl_coefficient == 0:
        method = method._replace(terms=tuple(t for t in method.terms if t is not losses.DIVERGENCE))
    labels = settings(method, config).expert.labels
    if not method.uses_rollout and labels not in ("auto", "demonstrations"):
        raise ValueError(
            f"{method.name} visits no states: expert.labels must be 'demonstrations' or 'auto'"
        )
    if method.central_critic and config.network.common_trunk:
        raise ValueError(
            f"network.common_trunk must be false: the critic of {method.name} sees more than its "
            "actor"
        )
    if method.before is not None:
        method = method._replace(before=resolve(method.before, config))
    return method


def learning_rate(method: Method, config: TrainConfig) -> float:
    """Of Adam at the start: what ``config`` names, or the method's usual one.

    Imitation bears, and wants, larger steps than policy gradients (suite ``search``).

    Args:
      method: from `resolve`; of two stages, the second decides.
      config: settings.
    """
    if config.learning_rate is not None:
        return config.learning_rate
    return 1e-2 if method.uses_expert else 3e-3


def settings(method: Method, config: TrainConfig, *, labelled: bool = False) -> TrainConfig:
    """``config`` with the labels that the method insists on, and "auto" decided.

    Args:
      method: what is trained.
      config: settings.
      labelled: whether there is an expert for the states that the learner visits.
    """
    labels = method.labels or config.expert.labels
    if labels == "auto":
        visits = method.uses_rollout and method.uses_expert
        labels = "both" if labelled and visits else "demonstrations"
    return config.replace(expert=dataclasses.replace(config.expert, labels=labels))
