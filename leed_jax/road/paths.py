"""Shortest paths under turn rules: on the graph whose nodes are links."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra, yen

from leed_jax.road.network import RoadNetwork

MAX_WALKS = 4000
"""Ways that are looked through for those that pass no node twice: where a pair has fewer of these
than are wanted, the others have no end."""


def next_links(network: RoadNetwork) -> Int[np.ndarray, "P D"]:
    """Where a vehicle may go from a place, -1 beyond the last possibility.

    The P = L + V places: having come over link l (row l), or starting at node v (row L + v). Slot
    s of a node is the s-th link that leaves it, in the order of links, whatever is forbidden.
    U-turns are possible only where there is no other way on, and never at a node that may not be
    passed: a vehicle that comes there and does not arrive is stuck.
    """
    count, width = network.num_links, network.out_degree
    order = np.argsort(network.tail, kind="stable")
    leaving = np.bincount(network.tail, minlength=network.num_nodes)
    slot = np.empty(count, int)
    slot[order] = np.arange(count) - np.repeat(np.cumsum(leaving) - leaving, leaving)
    slots = np.full((network.num_nodes, width), -1)
    slots[network.tail, slot] = np.arange(count)
    table = np.concatenate([slots[network.head], slots])
    uturn = np.zeros(table.shape, bool)
    uturn[:count] = (table[:count] >= 0) & (network.head[table[:count]] == network.tail[:, None])
    forbidden = np.zeros(table.shape, bool)
    before, after = network.forbidden.T
    forbidden[before, slot[after]] = True
    allowed = (table >= 0) & ~forbidden & ~uturn
    if network.passable is not None:
        closed = ~network.passable[network.head]
        allowed[:count][closed] = False
        uturn[:count][closed] = False
    only_back = ~allowed.any(1, keepdims=True) & uturn & ~forbidden
    return np.where(allowed | only_back, table, -1)


class Ways(NamedTuple):
    """The fastest ways from every place (`next_links`) to some nodes."""

    first: Int[np.ndarray, "P Z"]
    """Their first link, -1 without one; at a node itself the first link of the way round."""
    seconds: Float[np.ndarray, "P Z"]
    """How long they take; inf: no way."""


def ways(
    network: RoadNetwork,
    destinations: Int[np.ndarray, "Z"],
    times: Float[np.ndarray, "L"] | None = None,
) -> Ways:
    """The fastest ways to ``destinations``; of equally fast ones that with the first slot.

    Args:
      network: where.
      destinations: nodes.
      times: seconds of every link; the free-flow times if not given.
    """
    table = next_links(network)
    entering = time_from_link(network, destinations, times)
    # Slot -1 reads the last row, which is no link.
    entering = np.concatenate([entering, np.full((1, len(destinations)), np.inf)])
    first = np.full((len(table), len(destinations)), -1)
    seconds = np.full(first.shape, np.inf)
    for links in table.T:
        taken = entering[links]
        faster = taken < seconds
        seconds = np.where(faster, taken, seconds)
        first = np.where(faster, links[:, None], first)
    return Ways(first, seconds)


def line_graph(network: RoadNetwork, times: Float[np.ndarray, "L"] | None = None) -> csr_matrix:
    """[L, L]: the time of the second link where it may follow the first (default: free flow)."""
    times = network.free_flow_time if times is None else times
    table = next_links(network)[: network.num_links]
    before, slot = np.nonzero(table >= 0)
    after = table[before, slot]
    size = (network.num_links, network.num_links)
    return csr_matrix(coo_matrix((times[after], (before, after)), size))


def time_from_link(
    network: RoadNetwork,
    destinations: Int[np.ndarray, "Z"],
    times: Float[np.ndarray, "L"] | None = None,
) -> Float[np.ndarray, "L Z"]:
    """Seconds from entering a link to arriving at each destination; inf: no way.

    Args:
      network: where.
      destinations: nodes.
      times: seconds of every link; the free-flow times if not given.
    """
    times = network.free_flow_time if times is None else times
    count, graph = network.num_links, line_graph(network, times).tocoo()
    last, zone = np.nonzero(network.head[:, None] == destinations)
    # Backwards: from a destination over its last links; an edge costs the link that it leads to.
    rows = np.concatenate([count + zone, graph.col])
    columns = np.concatenate([last, graph.row])
    size = count + len(destinations)
    backwards = csr_matrix(coo_matrix((times[columns], (rows, columns)), (size, size)))
    found = dijkstra(backwards, indices=count + np.arange(len(destinations)))
    return np.asarray(found)[:, :count].T


def time_from_node(
    network: RoadNetwork, destinations: Int[np.ndarray, "Z"]
) -> Float[np.ndarray, "V Z"]:
    """Free-flow seconds from a start at a node to each destination; 0 at the destination."""
    entering = time_from_link(network, destinations)
    best = np.full((network.num_nodes, len(destinations)), np.inf)
    np.minimum.at(best, network.tail, entering)
    best[destinations, np.arange(len(destinations))] = 0.0
    return best


def unreachable_row(network: RoadNetwork) -> int | None:
    """The first row of demand that no route serves; None: all are served."""
    demand = network.demand
    if not len(demand.trips):
        return None
    zones, index = np.unique(demand.destination, return_inverse=True)
    reach = np.isfinite(time_from_node(network, zones))[demand.origin, index]
    return None if reach.all() else int(np.argmin(reach))


def require_reachable(network: RoadNetwork) -> None:
    """Raises ``ValueError`` naming the first row of demand that no route serves."""
    demand, row = network.demand, unreachable_row(network)
    if row is not None:
        raise ValueError(
            f"network {network.name}: demand row {row}: node "
            f"{network.nodes[demand.destination[row]]} cannot be reached from "
            f"{network.nodes[demand.origin[row]]} under the turn rules"
        )


def shortest_routes(
    network: RoadNetwork, origin: int, destination: int, count: int
) -> list[tuple[int, ...]]:
    """The ``count`` fastest routes at free flow as sequences of links, fastest first.

    A route passes no node twice. Fewer are returned where there are fewer, or no more among the
    `MAX_WALKS` fastest ways, loops included.

    Raises:
      ValueError: there is no route at all.
    """
    links, times = network.num_links, network.free_flow_time
    graph = line_graph(network).tocoo()
    first = np.flatnonzero(network.tail == origin)
    last = np.flatnonzero(network.head == destination)
    source, sink = links, links + 1
    # A step to the sink must weigh something: zeros are no edges of a sparse matrix.
    nothing = 1e-9
    rows = np.concatenate([graph.row, np.full(len(first), source), last])
    columns = np.concatenate([graph.col, first, np.full(len(last), sink)])
    weights = np.concatenate([times[graph.col], times[first], np.full(len(last), nothing)])
    keep = (network.head[np.minimum(rows, links - 1)] != destination) | (columns == sink)
    keep |= rows == source
    whole = csr_matrix(coo_matrix((weights[keep], (rows[keep], columns[keep])), (links + 2,) * 2))
    simple = _routes_within(network, whole, count, 1.5)
    if not simple:
        raise ValueError(
            f"network {network.name}: no route from node {network.nodes[origin]} to "
            f"{network.nodes[destination]}"
        )
    return simple[:count]


def _routes_within(
    network: RoadNetwork, whole: csr_matrix, count: int, stretch: float
) -> list[tuple[int, ...]]:
    """Simple routes, fastest first, from the last but one node of ``whole`` to the last one.

    Looked for among the links of which some route of ``stretch`` times the shortest time makes
    use: every route that short is there, so those that are found are the fastest. In a large
    network that is a small part; it grows until there are ``count`` of them.
    """
    size = network.num_links + 2
    source, sink = size - 2, size - 1
    through = dijkstra(whole, indices=source) + dijkstra(whole.T.tocsr(), indices=sink)
    best = through[sink]
    if not np.isfinite(best):
        return []
    while True:
        kept = np.flatnonzero(through <= stretch * best)
        part = whole[kept][:, kept]
        simple, gave_up = _fastest_simple(network, part, kept, count, stretch * best)
        if len(simple) >= count or gave_up or len(kept) == np.isfinite(through).sum():
            return simple
        stretch = 1.5 * stretch


def _fastest_simple(
    network: RoadNetwork,
    part: csr_matrix,
    kept: Int[np.ndarray, "Q"],
    count: int,
    longest: float,
) -> tuple[list[tuple[int, ...]], bool]:
    """Simple routes of a part of the graph, and whether the search was given up."""
    source, sink = len(kept) - 2, len(kept) - 1
    asked = count
    while True:
        lengths, before = yen(part, source, sink, asked, return_predecessors=True)
        within = lengths <= longest if len(kept) < network.num_links + 2 else lengths >= 0
        routes = [_follow(row, source, sink) for row in before[within]]
        named = [tuple(int(kept[link]) for link in route) for route in routes]
        simple = [route for route in named if _simple(network, route)]
        if len(simple) >= count or len(lengths) < asked or not within.all():
            return simple, False
        asked *= 2
        if asked > MAX_WALKS:
            return simple, True


def _follow(before: Int[np.ndarray, "Q"], source: int, sink: int) -> tuple[int, ...]:
    """The links between source and sink, from a row of predecessors."""
    route, now = [], int(before[sink])
    while now != source:
        route.append(now)
        now = int(before[now])
    return tuple(reversed(route))


def _simple(network: RoadNetwork, route: tuple[int, ...]) -> bool:
    nodes = [network.tail[route[0]], *network.head[list(route)]]
    return len(set(nodes)) == len(nodes)
