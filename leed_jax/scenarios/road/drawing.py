"""A road network with its traffic, on matplotlib axes."""

import textwrap
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from leed_jax.environments.road import RoadEnvironment, RoadState
from leed_jax.road.network import RoadNetwork

SIDE = 0.005
"""Distance of a road from the line between its nodes, relative to the map: two directions."""
COLOURS = "YlOrRd"
FULL = 1.5
"""Occupancy x that is drawn in the darkest colour."""
FRAME = 0.53
"""Half of the side of the square that is shown, relative to the map."""
FOOT = 0.08
"""Room for words below the map, relative to it."""
SMALL_PRINT = 5.0
"""Font size, points."""
SMALL_PRINT_WIDTH = 75
"""Characters in a line."""


def draw(env: RoadEnvironment, axes: Any, state: RoadState) -> None:
    """One moment: roads coloured by occupancy, vehicles as dots, destinations as crosses.

    The source of the map is named in small print, as the licences of most of them ask for.
    """
    now = state.traffic
    step, place, remaining = (np.asarray(v) for v in (now.step, now.place, now.remaining))
    network, links = env.network, env.network.num_links
    under_way = (step >= np.asarray(state.departure)) & (np.asarray(now.arrival) < 0)
    on = under_way & (remaining > 0)  # the others are at a node
    count = np.bincount(place[on], minlength=links)[:links]
    occupancy = count * np.asarray(env.tables.roads.occupancy)
    roads(axes, network, occupancy)
    destinations(axes, network, np.asarray(env.tables.zones)[np.asarray(state.zone)])
    dots = positions(network, place, remaining)[under_way]
    axes.plot(
        *dots.T, "o", color="black", markersize=3.4, zorder=4,
        markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip
    clock = float(step) * env.rules.time_step
    arrived = int((np.asarray(now.arrival) >= 0).sum())
    axes.text(
        0.015, 0.985, f"{clock:.0f} s, {arrived} of {len(place)} arrived",
        transform=axes.transAxes, fontsize=8, verticalalignment="top",
    )  # fmt: skip
    small_print(axes, f"dark red: {FULL:g} times the vehicles at capacity", network.attribution)


def roads(
    axes: Any,
    network: RoadNetwork,
    value: Float[np.ndarray, "L"],
    *,
    full: float = FULL,
    colours: str = COLOURS,
) -> Any:
    """Links as lines, coloured and widened by ``value``; returns the collection for a colour bar.

    Every direction is a line of its own, to the right of the way as cars drive.

    Args:
      axes: of matplotlib.
      network: where.
      value: of every link; 0 is drawn as an empty road.
      full: value of the darkest colour and the widest line.
      colours: a colour map's name.
    """
    # Imported here: training must not pay for matplotlib.
    from matplotlib.collections import LineCollection

    lines, used = _lines(network), value > 0
    axes.add_collection(LineCollection(list(lines[~used]), colors="0.8", linewidths=0.8))
    # The fullest last: where roads cross, jams stay visible.
    order = np.flatnonzero(used)[np.argsort(value[used], kind="stable")]
    share = np.minimum(value[order] / full, 1.0)
    drawn = LineCollection(
        list(lines[order]), cmap=colours, linewidths=1.6 + 1.8 * share, capstyle="round"
    )
    drawn.set_array(value[order])
    drawn.set_clim(-0.3 * full, full)  # the palest colours would be lost on white
    axes.add_collection(drawn)
    low, high = network.plane.min(0), network.plane.max(0)
    (x, y), size = (low + high) / 2, (high - low).max()
    axes.set_xlim(x - (FRAME + FOOT / 2) * size, x + (FRAME + FOOT / 2) * size)
    axes.set_ylim(y - (FRAME + FOOT) * size, y + FRAME * size)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    return drawn


def destinations(axes: Any, network: RoadNetwork, nodes: Int[np.ndarray, "N"]) -> None:
    """A cross on every node where vehicles want to go."""
    axes.plot(
        *network.plane[np.unique(nodes)].T, "X", color="tab:blue", markersize=8, zorder=3,
        markeredgecolor="white", markeredgewidth=0.8,
    )  # fmt: skip


def small_print(axes: Any, *paragraphs: str) -> None:
    """Words below the map, such as where it comes from."""
    axes.text(
        0.015, 0.012, "\n".join(textwrap.fill(text, SMALL_PRINT_WIDTH) for text in paragraphs),
        transform=axes.transAxes, fontsize=SMALL_PRINT, color="0.35",
    )  # fmt: skip


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
