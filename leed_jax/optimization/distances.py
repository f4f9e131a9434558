"""How far what a learner does is from its demonstrations: dynamic time warping of observations.

Trajectories become sequences of a few points, evenly spaced over the decisions of one agent in one
episode, as far as the episode lies inside the rollout. Such a piece may begin and end anywhere, so
it is laid onto the stretch of a demonstration that suits it best: the warping path begins and ends
anywhere on the demonstration's side, and covers the piece (as in subsequence search, Sakurai,
Faloutsos and Yamamuro 2007, "Stream monitoring under the time warping distance").
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

LEAST_DEVIATION = 0.1
"""Features whose deviation in the demonstrations is below this share of the root mean square of all
features' deviations count as if they had it: else a flag that no demonstration ever raises would be
all that counts."""
_FAR = 1e9


def warping(cost: Float[Array, "*b L M"]) -> Float[Array, "*b"]:
    """The least mean cost of aligning all L points with a stretch of the M points.

        D(l, m) = c(l, m) + min(D(l-1, m), D(l-1, m-1), D(l, m-1)),   D(0, m) = c(0, m)
        result  = min_m D(L-1, m) / L

    with ``D(l, -1)`` infinite (Sakoe and Chiba 1978, with both ends free on the side of M). Exact,
    by a scan over the L + M - 1 anti-diagonals, whose entries do not depend on each other.

    Args:
      cost: of matching point l with point m, at least 0.
    """
    length, others = cost.shape[-2:]
    place = jnp.arange(length)
    # Row l shifted l to the right: then an anti-diagonal is a column.
    padded = jnp.pad(cost, [(0, 0)] * (cost.ndim - 1) + [(0, length)], constant_values=_FAR)
    flat = padded.reshape(*cost.shape[:-2], -1)[..., : length * (others + length - 1)]
    diagonals = jnp.moveaxis(flat.reshape(*cost.shape[:-2], length, -1), -1, 0)

    def shifted(values: Array) -> Array:
        """D(l - 1) at the place of l."""
        return jnp.concatenate([jnp.full_like(values[..., :1], _FAR), values[..., :-1]], -1)

    def step(carry: tuple[Array, Array, Array], costs: Array) -> tuple[tuple, None]:
        before, previous, best = carry
        least = jnp.minimum(jnp.minimum(shifted(previous), shifted(before)), previous)
        total = jnp.minimum(costs + jnp.where(place == 0, 0.0, least), _FAR)
        return (previous, total, jnp.minimum(best, total[..., -1])), None

    far = jnp.full(cost.shape[:-1], _FAR, cost.dtype)
    (_, _, best), _ = jax.lax.scan(step, (far, far, far[..., 0]), diagonals)
    return best / length


def pieces(
    observation: Float[Array, "T J N D"],
    counted: Bool[Array, "T J N"],
    start: Bool[Array, "T J N"],
    points: int,
) -> tuple[Float[Array, "J N L D"], Bool[Array, "J N"]]:
    """Of every environment and agent the longest piece of an episode, as L points of it.

    Args:
      observation: of a rollout, time first.
      counted: rows to look at: the agent's decisions.
      start: first row of an episode.
      points: L. A piece of fewer rows repeats some, which warping does not mind.

    Returns:
      The points, and whether there was any row at all.
    """

    def one(observation: Array, counted: Array, start: Array) -> tuple[Array, Array]:
        episode = jnp.cumsum(start)
        sizes = jnp.zeros(len(start) + 1, jnp.int32).at[episode].add(counted.astype(jnp.int32))
        chosen = counted & (episode == sizes.argmax())
        size = sizes.max()
        # The middles of L equal parts of 0..size.
        wanted = ((2 * jnp.arange(points) + 1) * size) // (2 * points) + 1
        row = jnp.searchsorted(jnp.cumsum(chosen), wanted)
        return observation[jnp.minimum(row, len(start) - 1)], size > 0

    over_agents = jax.vmap(one, (1, 1, 1))
    return jax.vmap(over_agents, (1, 1, 1))(observation, counted, start)


def deviations(
    observation: Float[Array, "M N D"], counted: Bool[Array, "M N"]
) -> Float[Array, "N D"]:
    """Standard deviation of every feature over an agent's rows, see `LEAST_DEVIATION`."""
    weight = counted[..., None].astype(observation.dtype)
    total = jnp.maximum(weight.sum(0), 1.0)
    mean = (observation * weight).sum(0) / total
    variance = (jnp.square(observation - mean) * weight).sum(0) / total
    typical = jnp.sqrt(variance.mean(-1, keepdims=True))
    return jnp.maximum(jnp.sqrt(variance), jnp.maximum(LEAST_DEVIATION * typical, 1e-6))


def to_nearest(
    sequences: Float[Array, "J N L D"],
    others: Float[Array, "K N L D"],
    deviation: Float[Array, "N D"],
    *,
    same: bool = False,
) -> Float[Array, "J N"]:
    """Warping distance of every sequence to the nearest of the others, agent by agent.

    Two points differ by the root mean square, over features, of their difference in units of
    ``deviation``.

    Args:
      sequences: of a learner.
      others: of demonstrations.
      deviation: per feature.
      same: both are the same set; a sequence is then not compared with itself.
    """
    one, two = sequences / deviation[:, None], others / deviation[:, None]
    # |a - b|^2 as a product of matrices: the differences themselves would be J K N L L D numbers.
    product = jnp.einsum("jnld,knmd->jknlm", one, two, precision=jax.lax.Precision.HIGHEST)
    squares = [jnp.square(each).sum(-1) for each in (one, two)]
    square = squares[0][:, None, :, :, None] + squares[1][None, :, :, None, :] - 2.0 * product
    cost = jnp.sqrt(jnp.maximum(square, 0.0) / sequences.shape[-1])
    distance = warping(cost)
    if same:
        itself = jnp.eye(len(sequences), dtype=bool)[..., None]
        distance = jnp.where(itself, _FAR, distance)
    return distance.min(1)
