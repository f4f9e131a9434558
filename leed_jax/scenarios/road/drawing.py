"""A road network with its traffic, on matplotlib axes."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from leed_jax.environments.road import RoadEnvironment, RoadState
from leed_jax.road.network import RoadNetwork

SIDE = 0.004
"""Distance of a road from the line between its nodes, relative to the map: two directions."""
COLOURS = "YlOrRd"
FULL = 1.5
"""Occupancy x that is drawn in the darkest colour."""


def draw(env: RoadEnvironment, axes: Any, state: RoadState) -> None:
    """One moment: roads coloured by occupancy, vehicles as dots, destinations as crosses."""
    now = state.traffic
    step, place, remaining = (np.asarray(v) for v in (now.step, now.place, now.remaining))
    network, links = env.network, env.network.num_links
    under_way = (step >= np.asarray(state.departure)) & (np.asarray(now.arrival) < 0)
    on = under_way & (remaining > 0)  # the others are at a node
    count = np.bincount(place[on], minlength=links)[:links]
    occupancy = count * np.asarray(env.tables.roads.occupancy)
    roads(axes, network, occupancy)
    ends = network.plane[np.unique(env.fleet.destination)]
    axes.plot(*ends.T, "x", color="tab:blue", markersize=7, markeredgewidth=2, zorder=3)
    dots = positions(network, place, remaining)[under_way]
    axes.plot(*dots.T, "o", color="black", markersize=3.5, zorder=4)
    clock = float(step) * env.rules.time_step
    arrived = int((np.asarray(now.arrival) >= 0).sum())
    axes.text(
        0.01, 0.01, f"{clock:.0f} s, {arrived} of {len(place)} arrived",
        transform=axes.transAxes, fontsize=8,
    )  # fmt: skip


def roads(
    axes: Any,
    network: RoadNetwork,
    value: Float[np.ndarray, "L"],
    *,
    full: float = FULL,
    colours: str = COLOURS,
) -> Any:
    """Links as lines, coloured and widened by ``value``; returns the collection."""
    # Imported here: training must not pay for matplotlib.
    from matplotlib.collections import LineCollection

    lines = _lines(network)
    empty = value <= 0
    axes.add_collection(LineCollection(list(lines[empty]), colors="0.82", linewidths=0.8))
    used = LineCollection(list(lines[~empty]), cmap=colours, linewidths=1.5 + 2.0 * np.minimum(
        value[~empty] / full, 1.0
    ))  # fmt: skip
    used.set_array(np.asarray(value)[~empty])
    used.set_clim(-0.3 * full, full)
    axes.add_collection(used)
    low, high = network.plane.min(0), network.plane.max(0)
    centre, half = (low + high) / 2, 0.53 * (high - low).max()
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    return used


def positions(
    network: RoadNetwork, place: Int[np.ndarray, "N"], remaining: Float[np.ndarray, "N"]
) -> Float[np.ndarray, "N 2"]:
    """Where vehicles are on the map: on a straight line along their link, or at a node."""
    links = network.num_links
    link = np.minimum(place, links - 1)
    left = np.clip(remaining / network.free_flow_time[link], 0.0, 1.0)[:, None]
    line = _lines(network)[link]
    moving = line[:, 1] * (1 - left) + line[:, 0] * left
    waiting = network.plane[np.where(place < links, network.head[link], place - links)]
    return np.where((place < links)[:, None] & (left > 0), moving, waiting)


def _lines(network: RoadNetwork) -> Float[np.ndarray, "L 2 2"]:
    """From and to, shifted to the right of the way."""
    begin, end = network.plane[network.tail], network.plane[network.head]
    along = end - begin
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    size = (network.plane.max(0) - network.plane.min(0)).max()
    aside = SIDE * size * np.stack([along[:, 1], -along[:, 0]], axis=1) / length
    return np.stack([begin + aside, end + aside], axis=1)
