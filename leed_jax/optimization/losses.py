"""The loss of one agent as a tuple of terms; a method is such a tuple.

    L_i = L_i^policy + c_v L_i^value - c_e H_i + λ_i L_i^E        (LEED)

Every term sees one agent and a flat batch of rows; ``vmap`` adds the agents. Adding a term is
adding a function and naming it in a `Method`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.config import TrainConfig
from leed_jax.optimization import distributions

OwnAction = Int[Array, "B"] | Float[Array, "B A"]
"""Of one agent."""


class Batch(NamedTuple):
    """Rows of one agent's rollout."""

    action: OwnAction
    log_prob: Float[Array, "B"]
    """Of the action, when it was taken."""
    value: Float[Array, "B"]
    """As estimated then."""
    advantage: Float[Array, "B"]
    target: Float[Array, "B"]
    """Of the value: advantage + value."""
    valid: Bool[Array, "B"]
    """Inside an episode; where rows are kept of decisions only, the same as `decision`."""
    decision: Bool[Array, "B"]
    """Valid, and the agent's action mattered (false: dead, or in transit)."""
    label: OwnAction
    """The expert's action in this state, where visited states are labelled, else 0."""
    label_weight: Float[Array, "B"]


class ExpertRows(NamedTuple):
    """Rows of one agent's demonstrations."""

    action: OwnAction
    weight: Float[Array, "B"]
    """Zero for padding and for actions that were illegal."""


class Predictions(NamedTuple):
    """What the networks say about the rows now; what no term of a method reads is None."""

    policy: distributions.Distribution
    """In the states of the rollout."""
    value: Float[Array, "B"]
    expert_policy: distributions.Distribution
    """In the states of the demonstrations."""


class Term(NamedTuple):
    """A summand of the loss."""

    name: str
    loss: Callable[[Predictions, Any, Any, TrainConfig], Float[Array, ""]]
    """(predictions, `Batch`, `ExpertRows`, settings) -> loss; rows a method lacks are None."""
    coefficient: Callable[[TrainConfig, Float[Array, ""]], Float[Array, ""] | float]
    """(settings, λ) -> weight of the term."""


class Method(NamedTuple):
    """What is trained, and on what."""

    name: str
    terms: tuple[Term, ...]
    parameter_sharing: bool = False
    """One actor and one critic serve all agents; their loss is the mean of the agents' losses."""

    @property
    def uses_rollout(self) -> bool:
        """Whether the environment is run at all."""
        return any(term.name != EXPERT.name for term in self.terms)

    @property
    def uses_expert(self) -> bool:
        """Whether there is an expert term."""
        return any(term.name == EXPERT.name for term in self.terms)


def masked_mean(values: Float[Array, "B"], weight: Array) -> Float[Array, ""]:
    """Weighted mean; 0 where all weights are 0."""
    return (values * weight).sum() / jnp.maximum(weight.sum(), 1e-8)


def normalise(values: Float[Array, "B"], mask: Bool[Array, "B"]) -> Float[Array, "B"]:
    """``values`` with mean 0 and deviation 1 over the masked rows."""
    mean = masked_mean(values, mask)
    variance = masked_mean(jnp.square(values - mean), mask)
    return (values - mean) / (jnp.sqrt(variance) + 1e-8)


def policy_loss(
    predictions: Predictions, batch: Batch, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """PPO's clipped surrogate, negated (Schulman et al. 2017, 1707.06347, equation 7)."""
    del expert
    log_prob = predictions.policy.log_prob(batch.action)
    ratio = jnp.exp(log_prob - batch.log_prob)
    advantage = batch.advantage
    if config.normalize_advantages:
        advantage = normalise(advantage, batch.decision)
    clipped = jnp.clip(ratio, 1.0 - config.clip_epsilon, 1.0 + config.clip_epsilon)
    return -masked_mean(jnp.minimum(ratio * advantage, clipped * advantage), batch.decision)


def value_loss(
    predictions: Predictions, batch: Batch, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Half the larger of the squared errors of the value and of the value clipped around the old.

    As in OpenAI's baselines (``ppo2``) and JaxMARL's IPPO.
    """
    del expert
    near = jnp.clip(predictions.value - batch.value, -config.clip_epsilon, config.clip_epsilon)
    error = jnp.square(predictions.value - batch.target)
    clipped = jnp.square(batch.value + near - batch.target)
    return 0.5 * masked_mean(jnp.maximum(error, clipped), batch.valid)


def entropy(
    predictions: Predictions, batch: Batch, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Mean entropy of the policy, in nats."""
    del expert, config
    return masked_mean(predictions.policy.entropy(), batch.decision)


def expert_loss(
    predictions: Predictions, batch: Any, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Negative log-likelihood of the expert's actions, weighted mean over the labelled rows.

        L^E = - sum_r w_r log pi(a_r^E | o_r) / sum_r w_r

    over demonstration rows, over the labelled rows of the rollout, or the mean of both
    (``expert.labels``). The paper (LEED, arXiv 2509.14680) leaves the form open; this one is ours.
    """
    parts = []
    if config.expert.labels != "visited":
        log_prob = predictions.expert_policy.log_prob(expert.action)
        parts.append(-masked_mean(log_prob, expert.weight))
    if config.expert.labels != "demonstrations":
        log_prob = predictions.policy.log_prob(batch.label)
        parts.append(-masked_mean(log_prob, batch.label_weight))
    return jnp.stack(parts).mean()


POLICY = Term("policy", policy_loss, lambda config, weight: 1.0)
VALUE = Term("value", value_loss, lambda config, weight: config.value_coefficient)
ENTROPY = Term("entropy", entropy, lambda config, weight: -config.entropy_coefficient)
EXPERT = Term("expert", expert_loss, lambda config, weight: weight)
IMITATION = Term("expert", expert_loss, lambda config, weight: 1.0)

METHODS = {
    "leed": Method("leed", (POLICY, VALUE, ENTROPY, EXPERT)),
    "ippo": Method("ippo", (POLICY, VALUE, ENTROPY)),
    "bc": Method("bc", (IMITATION,)),
    "ippo_shared": Method("ippo_shared", (POLICY, VALUE, ENTROPY), parameter_sharing=True),
}
"""Methods by name. With λ = 0 the term is left out, and LEED is IPPO, operation for operation.

``ippo_shared`` is the usual baseline with one network for the whole team (Yu et al. 2022,
2103.01955), without an agent's name among its observations."""


def resolve(method: str | Method, config: TrainConfig) -> Method:
    """The method by its name, without an expert term of weight zero.

    Raises:
      ValueError: no such method; or labels that the method has no use for.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        method = METHODS[method]
    never = config.expert.schedule == "constant" or config.expert.final_weight == 0
    if config.expert.weight == 0 and never:
        method = method._replace(terms=tuple(t for t in method.terms if t is not EXPERT))
    if not method.uses_rollout and config.expert.labels != "demonstrations":
        raise ValueError(f"{method.name} visits no states: expert.labels must be 'demonstrations'")
    return method
