"""Values of what has been observed, from critics, or from actors that are one with them."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from leed_jax.optimization import critics, networks
from leed_jax.optimization.situations import Situation, Transitions


def of_observations(
    actor: networks.Network,
    critic: networks.Network | None,
    params: dict[str, networks.Params],
    carry: Float[Array, "B N H"],
    observation: Float[Array, "T B N D"],
    start: Bool[Array, "T B"],
) -> Float[Array, "T B N"]:
    """Values of observations, from the critic, or from the actor that is one with it."""
    if critic is not None:
        return critic.apply(params["critic"], carry, observation, start)[0][..., 0]
    assert actor.value is not None  # one of the two gives values
    return actor.value(actor.apply(params["actor"], carry, observation, start)[0])


def of_rollout(
    actor: networks.Network,
    critic: networks.Network | None,
    params: dict[str, networks.Params],
    situation: Situation,
    rows: Transitions,
    carry: Float[Array, "E N H"],
) -> tuple[Float[Array, "T1 E N"], Float[Array, "E N H"]]:
    """The values of all rows and of the observation that follows the last one.

    A critic's are one batch after the rollout instead of a small one in each of its steps. Also
    returns its recurrent state after the rows, with which the next rollout begins.
    """
    state = None if rows.global_state is None else situation.time_step.global_state
    last = critics.view(situation.time_step.observation, state)[None], situation.start[None]
    if critic is None:
        assert actor.value is not None and rows.value is not None  # one of the two gives values
        final, _ = actor.apply(params["actor"], situation.actor_carry, *last)
        return jnp.concatenate([rows.value, actor.value(final)]), carry
    seen = critics.view(rows.observation, rows.global_state)
    before, after = critic.apply(params["critic"], carry, seen, rows.start)
    final, _ = critic.apply(params["critic"], after, *last)
    return jnp.concatenate([before, final])[..., 0], after
