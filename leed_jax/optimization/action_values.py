"""The agents' action values, and what acts by them: epsilon-greedy, and the actors of a result."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from leed_jax.config import TrainConfig
from leed_jax.optimization import checks, methods, networks
from leed_jax.optimization.distributions import Categorical
from leed_jax.types import EnvSpec


def epsilon(config: TrainConfig, update: Int[Array, ""]) -> Float[Array, ""]:
    """Probability of a random action in the rollout of update number ``update`` (from 0)."""
    settings = config.value_based
    share = jnp.minimum(update / (settings.epsilon_decay * config.num_updates), 1.0)
    return settings.epsilon_start + share * (settings.epsilon_end - settings.epsilon_start)


def epsilon_greedy(
    values: Float[Array, "*b A"], mask: Bool[Array, "*b A"], epsilon: Float[Array, ""]
) -> Categorical:
    """The best legal action, or with probability ``epsilon`` any of the legal ones."""
    best = jax.nn.one_hot(jnp.where(mask, values, -jnp.inf).argmax(-1), values.shape[-1])
    share = mask / jnp.maximum(mask.sum(-1, keepdims=True), 1)
    chances = (1.0 - epsilon) * best + epsilon * share
    # Not the logarithm of zero, as in `distributions.categorical`.
    return Categorical(jnp.where(chances > 0, jnp.log(jnp.maximum(chances, 1e-30)), -1e9))


def make(method: methods.Method, config: TrainConfig, spec: EnvSpec) -> networks.Network:
    """The action values; agents that share parameters may see a one-hot of their number.

    Shared parameters serve observations and actions of different sizes, padded and masked.
    """
    sets = checks.parameter_sets(method, config, spec)
    each = spec.num_agents // sets
    if each == 1:
        return networks.make(config.network, spec, spec.num_actions, 1.0, sets=sets)
    identified = _identified(config)
    width = spec.observation_size + (spec.num_agents if identified else 0)
    widened = spec._replace(observation_sizes=(width,) * spec.num_agents)
    inner = networks.make(config.network, widened, spec.num_actions, 1.0, sets=sets)
    if not identified:
        return inner

    def apply(params: Any, carry: Array, observation: Array, start: Array) -> Any:
        ids = jnp.broadcast_to(jnp.eye(spec.num_agents), (*observation.shape[:-1], spec.num_agents))
        return inner.apply(params, carry, jnp.concatenate([observation, ids], -1), start)

    return inner._replace(apply=apply)


def _identified(config: TrainConfig) -> bool:
    return config.value_based.agent_ids and config.network.kind != "cnn"


def actors(params: Any, method: methods.Method, config: TrainConfig, spec: EnvSpec) -> Any:
    """What `networks.make_actor` acts with: the action values as logits.

    A one-hot of an agent's number is a bias of its own for the first layer, so shared parameters
    that see one become those of N actors. Leading axes in front of the agents' are kept.
    """
    actor = params["actor"]
    each = spec.num_agents // checks.parameter_sets(method, config, spec)
    if each == 1 or not _identified(config):
        return {"actor": actor}
    layers = jax.tree.map(lambda leaf: leaf, actor["params"])
    kernel, bias = layers["encoder"]["kernel"], layers["encoder"]["bias"]
    axis = bias.ndim - 2
    layers = jax.tree.map(lambda leaf: jnp.repeat(leaf, each, axis), layers)
    split = kernel.shape[-2] - spec.num_agents
    # Row i of agent i; its set is i // each.
    agents = jnp.arange(spec.num_agents)
    own = kernel[..., agents // each, split + agents, :]
    layers["encoder"] = {
        "kernel": jnp.repeat(kernel[..., :split, :], each, axis),
        "bias": jnp.repeat(bias, each, axis) + own,
    }
    return {"actor": {"params": layers}}
