"""Observations and rewards in units of their own deviation, which training learns as it goes on.

Moments of observations are among the parameters, beside the weights that go with them: whoever has
the parameters (evaluations, files, policies) sees what the learner saw. They have no gradient, and
change between two updates alone, so that policy ratios are those of one policy. `networks.make`
applies them. The first update sees observations as they are.

Rewards are divided by the deviation of the discounted sum of rewards up to now (Engstrom et al.
2020, 2005.12729, section 3, after OpenAI's ``VecNormalize``), its mean left in, so that what is
best stays so. Only what critics and advantages are computed from is scaled.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LAYER = "normaliser"
"""Name of the moments among an agent's layers; `leed_jax.actors` knows it too."""
LARGEST = 10.0
"""Bound of a normalised feature, as in ``VecNormalize``: what has hardly ever varied and then does
must not drown the rest."""
_SMALLEST = 1e-8


class Moments(NamedTuple):
    """Of so many numbers; S sets of agents that have everything in common."""

    count: Float[Array, "S"]
    mean: Float[Array, "S D"]
    variance: Float[Array, "S D"]


def begin(sets: int, size: int) -> Moments:
    """Of none yet: what they normalise stays as it is."""
    blank = jnp.zeros((sets, size))
    return Moments(jnp.zeros(sets), blank, blank + 1.0)


def moments(values: Float[Array, "M N D"], counted: Bool[Array, "M N"], sets: int) -> Moments:
    """Of the rows that count, the agents of a set together."""
    rows, _, size = values.shape
    weight = counted.astype(values.dtype).reshape(rows, sets, -1, 1)
    values = values.reshape(rows, sets, -1, size)
    count = weight.sum((0, 2))
    total = jnp.maximum(count, 1.0)
    mean = (values * weight).sum((0, 2)) / total
    away = jnp.square(values - mean[:, None]) * weight
    return Moments(count[:, 0], mean, away.sum((0, 2)) / total)


def joined(one: Moments, two: Moments) -> Moments:
    """Of both samples together (Chan, Golub and LeVeque 1979, "Updating formulae")."""
    count = one.count + two.count
    part = (two.count / jnp.maximum(count, 1.0))[:, None]
    away = two.mean - one.mean
    variance = one.variance * (1.0 - part) + two.variance * part
    variance += jnp.square(away) * part * (1.0 - part)
    return Moments(count, one.mean + away * part, variance)


def attach(params: dict[str, Any], names: tuple[str, ...], sets: int, size: int) -> dict[str, Any]:
    """Parameters with moments of observations among those of the named networks."""
    blank = dict(begin(sets, size)._asdict())
    return params | {name: {"params": params[name]["params"] | {LAYER: blank}} for name in names}


def learn(
    params: dict[str, Any], observation: Float[Array, "*t N D"], counted: Bool[Array, "*t N"]
) -> dict[str, Any]:
    """Parameters whose moments, where they have any, include these observations."""
    agents, size = observation.shape[-2:]
    rows = observation.reshape(-1, agents, size), counted.reshape(-1, agents)

    def include(network: Any) -> Any:
        layers = network["params"]
        if LAYER not in layers:
            return network
        old = Moments(**layers[LAYER])
        new = joined(old, moments(*rows, len(old.count)))
        return {"params": layers | {LAYER: dict(new._asdict())}}

    return {name: include(network) for name, network in params.items()}


def apply(network: Any, observation: Float[Array, "*t N D"]) -> tuple[Any, Float[Array, "*t N D"]]:
    """A network's parameters without moments, and observations as it wants them.

        clip((o - mean) / sqrt(variance + 1e-8), -10, 10)

    Without moments both are returned as they are.
    """
    layers = network["params"]
    if LAYER not in layers:
        return network, observation
    known = jax.lax.stop_gradient(Moments(**layers[LAYER]))
    each = observation.shape[-2] // len(known.count)
    mean, variance = (jnp.repeat(part, each, 0) for part in (known.mean, known.variance))
    scaled = (observation - mean) * jax.lax.rsqrt(variance + _SMALLEST)
    rest = {name: layer for name, layer in layers.items() if name != LAYER}
    return {"params": rest}, jnp.clip(scaled, -LARGEST, LARGEST)


def reward_factor(known: Moments, num_agents: int) -> Float[Array, "N"]:
    """What the rewards of every agent are multiplied by."""
    factor = jax.lax.rsqrt(known.variance[:, 0] + _SMALLEST)
    return jnp.repeat(jnp.where(known.count > 0, factor, 1.0), num_agents // len(known.count))
