"""Central critics, for baselines: one value per agent from what the whole team is in.

Each agent's critic sees the environment's global state, the agent's own observation and, as a
one-hot vector, its number: the agent-specific state of Yu et al. 2022 (2103.01955, section 5.2).
JaxMARL's scripts give the global state alone (MPE) or with the number (SMAX).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from leed_jax.config import NetworkConfig
from leed_jax.optimization import networks
from leed_jax.types import ArrayEnv


def make(config: NetworkConfig, env: ArrayEnv, *, sets: int, central: bool) -> networks.Network:
    """Critics that see their agent's observation, or what `view` gives.

    A central critic has no convolutions: what it sees is no grid.
    """
    spec = env.spec
    if not central:
        return networks.make_critic(config, spec, sets=sets)
    _, first = jax.eval_shape(env.reset, jax.random.key(0))
    size = first.global_state.shape[-1] + spec.observation_size + spec.num_agents
    seen = spec._replace(observation_sizes=(size,) * spec.num_agents, observation_shape=None)
    if config.kind == "cnn":
        config = NetworkConfig(hidden_sizes=config.hidden_sizes, activation=config.activation)
    return networks.make_critic(config, seen, sets=sets)


def view(
    observation: Float[Array, "*b N D"],
    global_state: Float[Array, "*b G"] | Float[Array, "*b N G"] | None,
) -> Float[Array, "*b N V"]:
    """What critics see: the observations, or [global state, own observation, own number].

    Args:
      observation: of every agent.
      global_state: one for all agents, or, where their rows are of different steps, one for each;
        None: critics are not central.
    """
    if global_state is None:
        return observation
    if global_state.ndim < observation.ndim:
        global_state = global_state[..., None, :]
    shape = observation.shape[:-1]
    number = jnp.broadcast_to(jnp.eye(shape[-1]), (*shape, shape[-1]))
    state = jnp.broadcast_to(global_state, (*shape, global_state.shape[-1]))
    return jnp.concatenate([state, observation, number], -1)
