"""The terms that the loss of one agent is made of, and the rows and predictions they see.

    L_i = L_i^policy + c_v L_i^value - c_e H_i + λ_i L_i^E        (LEED)

Every term sees one agent and a flat batch of rows; ``vmap`` adds the agents. Adding a term is
adding a function and naming it in a `methods.Method`. What such a function is written with is kept
as it is: `masked_mean`, `normalise`, `Batch`, `ExpertRows`, `Predictions` and `Term`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
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
    before: Any = None
    """A distribution of the same kind as `policy`: that before the update, for terms that ask."""


class Term(NamedTuple):
    """A summand of the loss."""

    name: str
    loss: Callable[[Predictions, Any, Any, TrainConfig], Float[Array, ""]]
    """(predictions, `Batch`, `ExpertRows`, settings) -> loss; rows a method lacks are None."""
    coefficient: Callable[[TrainConfig, Float[Array, ""]], Float[Array, ""] | float]
    """(settings, λ) -> weight of the term."""
    needs_demonstrations: bool = False
    """Whether it learns from an expert: from demonstrations, or labels of visited states. A method
    all of whose terms do so does not run the environment, unless it aggregates."""
    needs_policy_before: bool = False
    """Whether it compares the policy with what it was before the update."""


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


def divergence(
    predictions: Predictions, batch: Batch, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Mean KL(policy before the update || policy) over decisions, in nats (eq. 8 of PPO's paper).

    The clipped ratio holds the actions that were drawn, not those that were not: where a policy is
    sure of itself, as imitation makes it, an action of probability 0.99 may fall to 0.79 for a
    noisy advantage, and the rest go to actions of which the batch says nothing. The whole
    distribution's divergence sees that (Schulman et al. 2017, 1707.06347, section 4).
    """
    del expert, config
    return masked_mean(predictions.before.divergence(predictions.policy), batch.decision)


def expert_loss(
    predictions: Predictions, batch: Any, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Negative log-likelihood of the expert's actions, weighted mean over the labelled rows.

        L^E = - sum_r w_r log pi(a_r^E | o_r) / sum_r w_r

    over demonstration rows, over the labelled rows of the rollout, or the mean of both
    (``expert.labels``). The paper (LEED, arXiv 2509.14680) leaves the form open; this one is ours.
    With ``expert.smoothing`` s the expert is taken to draw a legal action at random with
    probability s (label smoothing, Szegedy et al. 2016, 1512.00567, section 7):

        log pi(a^E)  becomes  (1 - s) log pi(a^E) + s mean_{legal a} log pi(a)
    """

    def log_prob(policy: distributions.Distribution, action: OwnAction) -> Float[Array, "B"]:
        found, share = policy.log_prob(action), config.expert.smoothing
        if share == 0:
            return found
        assert isinstance(policy, distributions.Categorical)  # `checks.check_spec`
        return (1.0 - share) * found + share * policy.mean_log_prob()

    parts = []
    if config.expert.labels != "visited":
        found = log_prob(predictions.expert_policy, expert.action)
        parts.append(-masked_mean(found, expert.weight))
    if config.expert.labels in ("visited", "both"):
        found = log_prob(predictions.policy, batch.label)
        parts.append(-masked_mean(found, batch.label_weight))
    return jnp.stack(parts).mean()


def dapg_loss(
    predictions: Predictions, batch: Batch, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """`expert_loss`, times the largest advantage among the minibatch's decisions, at least 0.

    Rajeswaran et al. 2018 (1709.10087), section IV.B: a demonstration weighs as much as the best
    action that the learner took. As the policy loss, it sees normalised advantages.
    """
    advantage = batch.advantage
    if config.normalize_advantages:
        advantage = normalise(advantage, batch.decision)
    largest = jnp.where(batch.decision, advantage, 0.0).max()
    return jax.lax.stop_gradient(largest) * expert_loss(predictions, batch, expert, config)


def team_error(
    predictions: Predictions, batch: Any, expert: Any, config: TrainConfig
) -> Float[Array, ""]:
    """Mean squared temporal-difference error of the team's values, of rows that are valid."""
    del expert, config
    return masked_mean(jnp.square(predictions.value - batch.target), batch.valid)


POLICY = Term("policy", policy_loss, lambda config, weight: 1.0)
VALUE = Term("value", value_loss, lambda config, weight: config.value_coefficient)
ENTROPY = Term("entropy", entropy, lambda config, weight: -config.entropy_coefficient)
DIVERGENCE = Term(
    "divergence",
    divergence,
    lambda config, weight: config.kl_coefficient,
    needs_policy_before=True,
)
EXPERT = Term("expert", expert_loss, lambda config, weight: weight, needs_demonstrations=True)
IMITATION = Term("expert", expert_loss, lambda config, weight: 1.0, needs_demonstrations=True)
TEAM_ERROR = Term("temporal_difference", team_error, lambda config, weight: 1.0)
DEMONSTRATED = Term("expert", dapg_loss, lambda config, weight: weight, needs_demonstrations=True)
