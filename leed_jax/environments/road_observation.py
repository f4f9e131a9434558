"""What a vehicle sees: its own trip, and the links that it may take next. No other's destination.

Features, 10 + 7 D of them (D slots of the node it is at, or drives to):

- time, time left (shares of the horizon), free-flow time to go, at a node, own place x and y,
  destination x and y, departed, credit (share of a step);
- per slot: possible, free-flow time, time to go after it beyond the best slot's, occupancy x,
  speed f, capacity, mean x of the links beyond.
"""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from leed_jax.environments import road_tables
from leed_jax.environments.road_tables import Tables
from leed_jax.road import traffic
from leed_jax.road.traffic import Rules

if TYPE_CHECKING:
    from leed_jax.environments.road import RoadState

CLIP = 4.0
"""Largest x, and largest multiple of a typical time, that is shown."""
OWN_FEATURES, SLOT_FEATURES = 10, 7


def size(slots: int) -> int:
    """Number of features."""
    return OWN_FEATURES + SLOT_FEATURES * slots


def observe(
    tables: Tables, rules: Rules, horizon: int, time_scale: float, state: "RoadState | Any"
) -> tuple[Float[Array, "N D"], Bool[Array, "N A"], Float[Array, "L"]]:
    """Observations, possible actions, and the occupancy x of every link (clipped).

    In transit, before departure and after arrival only action 0 is possible, and ignored.

    Args:
      tables: of the network.
      rules: the step's length and the curve.
      horizon: steps of an episode.
      time_scale: seconds, the unit of times to go.
      state: a `RoadState`.
    """
    roads, now = tables.roads, state.traffic
    on = traffic.active(now, state.departure) & (now.remaining > 0)
    count = traffic.occupancy(roads, now.place, on)
    x = jnp.minimum(count.astype(jnp.float32) * roads.occupancy, CLIP)
    speed = traffic.speed(roads, rules, count)
    beyond = _mean_beyond(tables, x)
    links, possible, togo = road_tables.slots(tables, now.place, state.zone)
    best = jnp.min(jnp.where(possible, togo, jnp.inf), axis=1, keepdims=True)
    extra = jnp.where(possible, (togo - best) / time_scale, 0.0)
    per_slot = jnp.stack(
        [
            jnp.ones_like(togo),
            jnp.minimum(roads.free_flow_time[links] / tables.link_time, CLIP),
            jnp.minimum(extra, CLIP),
            x[links],
            speed[links],
            tables.capacity[links],
            beyond[links],
        ],
        axis=-1,
    )
    per_slot = jnp.where(possible[..., None], per_slot, 0.0)
    deciding = traffic.deciding(now, state.departure)
    share = jnp.broadcast_to(now.step.astype(jnp.float32) / horizon, deciding.shape)
    ahead = now.remaining + tables.onward[now.place, state.zone]
    own = jnp.stack(
        [
            share,
            1.0 - share,
            jnp.where(now.arrival < 0, jnp.minimum(ahead / time_scale, CLIP), 0.0),
            deciding.astype(jnp.float32),
            *tables.position[tables.node[now.place]].T,
            *tables.position[tables.zones[state.zone]].T,
            (now.step >= state.departure).astype(jnp.float32),
            now.credit / rules.time_step,
        ],
        axis=-1,
    )
    observation = jnp.concatenate([own, per_slot.reshape(len(own), -1)], axis=-1)
    nothing = jnp.arange(links.shape[1]) == 0
    return observation, jnp.where(deciding[:, None], possible, nothing), x


def _mean_beyond(tables: Tables, x: Float[Array, "L"]) -> Float[Array, "L"]:
    """Mean occupancy of the links that may follow each link."""
    following = tables.roads.next_link[: x.shape[0]]
    there = (following >= 0).astype(jnp.float32)
    return (x[following] * there).sum(1) / jnp.maximum(there.sum(1), 1.0)
