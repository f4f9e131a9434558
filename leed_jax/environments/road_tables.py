"""What a road environment knows in advance: turns, ways to every destination, places on the map."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.road import paths, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork
from leed_jax.road.traffic import Roads


class Tables(NamedTuple):
    """One copy for all environments side by side.

    P = L + V places: having come over a link, or starting at a node. Z destinations, D slots.
    """

    roads: Roads
    zones: Int[Array, "Z"]
    """Their nodes."""
    onward: Float[Array, "P Z"]
    """Free-flow seconds from a place to a destination; 0 once there, infinite without a way."""
    entering: Float[Array, "L1 Z"]
    """The same from entering a link; infinite in the last row, which is no link."""
    fastest: Int[Array, "P Z"]
    """First link of that way, -1 without one."""
    node: Int[Array, "P"]
    """Node of a place."""
    position: Float[Array, "V 2"]
    """On the map, the longer side from -1 to 1."""
    capacity: Float[Array, "L"]
    """Relative to the largest."""
    link_time: Float[Array, ""]
    """Mean free-flow seconds of a link, the unit in which links are observed."""


def build(network: RoadNetwork, fleet: Fleet, zones: Int[np.ndarray, "Z"]) -> Tables:
    """Tables of ``network`` for the platoons of ``fleet`` and these destinations."""
    entering = paths.time_from_link(network, zones)
    entering = np.concatenate([entering, np.full((1, len(zones)), np.inf)])
    fastest, seconds = paths.ways(network, zones)
    node = np.concatenate([network.head, np.arange(network.num_nodes)])
    onward = np.where(node[:, None] == zones, 0.0, seconds)
    middle = (network.plane.max(0) + network.plane.min(0)) / 2
    half = max((network.plane.max(0) - network.plane.min(0)).max() / 2, 1e-9)
    # Without congestion a capacity means nothing.
    capacity = np.where(network.coefficient > 0, network.capacity, 0.0)
    floats = (onward, entering, (network.plane - middle) / half, capacity / max(capacity.max(), 1))
    onward, entering, position, capacity = (np.asarray(v, np.float32) for v in floats)
    return Tables(
        roads=traffic.roads(network, fleet.platoon, fleet.kappa),
        zones=jnp.asarray(zones, jnp.int32),
        onward=jnp.asarray(onward),
        entering=jnp.asarray(entering),
        fastest=jnp.asarray(fastest, jnp.int32),
        node=jnp.asarray(node, jnp.int32),
        position=jnp.asarray(position),
        capacity=jnp.asarray(capacity),
        link_time=jnp.asarray(network.free_flow_time.mean(), jnp.float32),
    )


def slots(
    tables: Tables, place: Int[Array, "N"], zone: Int[Array, "N"]
) -> tuple[Int[Array, "N D"], Bool[Array, "N D"], Float[Array, "N D"]]:
    """Links that may be taken from a place, whether they lead on, seconds from entering them."""
    links = tables.roads.next_link[place]
    togo = tables.entering[links, zone[:, None]]
    return links, jnp.isfinite(togo), togo
