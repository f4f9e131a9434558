"""From the many short streets of a map to the network of its junctions.

What is left is the largest part in which every street can be reached from every other under the
turn rules, without U-turns; there, streets are joined at nodes that offer no choice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from leed_jax.road.network import BPR_COEFFICIENT, Demand, RoadNetwork


class Street(NamedTuple):
    """A directed street between two nodes of a map."""

    tail: str
    head: str
    seconds: float
    """At free flow, the delay at its end included."""
    capacity: float
    """Vehicles per hour."""
    sources: tuple[str, ...]
    """Names of the edges of the map that it is made of, in order."""


Turn = tuple[int, int]
"""Two streets of which the second may follow the first."""


def to_network(
    streets: Sequence[Street],
    turns: Iterable[Turn],
    position: Mapping[str, tuple[float, float]],
    *,
    name: str,
    geographic: bool,
    attribution: str = "",
    sumo: bool = False,
) -> RoadNetwork:
    """The reduced network, without demand.

    Nodes are in the order of their names, links in that of their ends. A link takes the time of
    its streets together and has the least of their capacities.

    Args:
      streets: of the map.
      turns: pairs of indices of streets that meet; U-turns among them are left out.
      position: of every node.
      name: of the network.
      geographic: whether positions are longitude and latitude.
      attribution: of the data.
      sumo: whether the sources are edges of a SUMO network.

    Raises:
      ValueError: no two streets can be reached from each other.
    """
    left = list(streets)
    follows = {(first, second) for first, second in turns if not _back(left, first, second)}
    while True:
        left, follows = _joined(*_strongly_connected(left, follows))
        if len(left) < 2:
            raise ValueError(f"network {name}: no two streets can be reached from each other")
        core, _ = _strongly_connected(left, follows)
        # A link outside the core is no harm: one can set out on it, or come to an end there.
        if _ends(core) == _ends(left):
            break
    order = sorted(range(len(left)), key=lambda i: (left[i].tail, left[i].head, left[i].sources))
    left, follows = _kept(left, follows, order)
    nodes = sorted({street.tail for street in left})
    index = {node: number for number, node in enumerate(nodes)}
    leaving = _by_node(left)
    forbidden = [
        (first, second)
        for first, street in enumerate(left)
        for second in leaving[street.head]
        if (first, second) not in follows
    ]
    return RoadNetwork(
        name=name,
        nodes=tuple(nodes),
        position=np.array([position[node] for node in nodes], float),
        tail=np.array([index[street.tail] for street in left]),
        head=np.array([index[street.head] for street in left]),
        free_flow_time=np.array([street.seconds for street in left], float),
        capacity=np.array([street.capacity for street in left], float),
        coefficient=np.full(len(left), BPR_COEFFICIENT),
        demand=Demand(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)),
        forbidden=np.array(forbidden, np.int64).reshape(-1, 2),
        sumo_edges=tuple(street.sources for street in left) if sumo else (),
        geographic=geographic,
        attribution=attribution,
    )


def _ends(streets: Sequence[Street]) -> tuple[set[str], set[str]]:
    """The nodes that one can set out from, and those that one can arrive at."""
    return {street.tail for street in streets}, {street.head for street in streets}


def _back(streets: Sequence[Street], first: int, second: int) -> bool:
    """Whether the second street leads back to where the first began."""
    return streets[first].tail == streets[second].head


def _onward(streets: Sequence[Street], follows: Iterable[Turn]) -> list[Turn]:
    """The turns as `paths.next_links` allows them: back only where there is no other way on.

    No U-turn of the map is among them; joined streets can lead back to where others began.
    """
    turns = sorted(follows)
    others = {first for first, second in turns if not _back(streets, first, second)}
    return [turn for turn in turns if turn[0] not in others or not _back(streets, *turn)]


def _by_node(streets: Sequence[Street]) -> dict[str, list[int]]:
    """The streets that leave a node."""
    leaving: dict[str, list[int]] = defaultdict(list)
    for number, street in enumerate(streets):
        leaving[street.tail].append(number)
    return leaving


def _kept(
    streets: Sequence[Street], follows: Iterable[Turn], keep: Iterable[int]
) -> tuple[list[Street], set[Turn]]:
    """Some of the streets, in the order of ``keep``, and the turns between them."""
    number = {old: new for new, old in enumerate(keep)}
    turns = {(number[a], number[b]) for a, b in follows if a in number and b in number}
    return [streets[old] for old in number], turns


def _strongly_connected(
    streets: Sequence[Street], follows: set[Turn]
) -> tuple[list[Street], set[Turn]]:
    """The largest set of streets each of which can be reached from each."""
    pairs = np.array(_onward(streets, follows), np.int64).reshape(-1, 2)
    size = (len(streets), len(streets))
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), size)
    _, part = connected_components(graph, directed=True, connection="strong")
    largest = np.bincount(part, minlength=1).argmax()
    return _kept(streets, follows, np.flatnonzero(part == largest).tolist())


def _joined(streets: Sequence[Street], follows: set[Turn]) -> tuple[list[Street], set[Turn]]:
    """Streets joined at nodes where all have one way on; what then ends where it began is left out.

    A ring of streets without any junction disappears, too.
    """
    after: dict[int, list[int]] = defaultdict(list)
    ahead: dict[int, list[int]] = defaultdict(list)
    for first, second in _onward(streets, follows):
        after[first].append(second)
        ahead[second].append(first)
    junctions = {street.head for n, street in enumerate(streets) if len(after[n]) != 1}
    junctions |= {street.tail for n, street in enumerate(streets) if len(ahead[n]) != 1}
    chains = []
    for number, street in enumerate(streets):
        if street.tail not in junctions:
            continue
        chain = [number]
        while streets[chain[-1]].head not in junctions:
            chain.append(after[chain[-1]][0])
        if streets[chain[-1]].head != street.tail:
            chains.append(chain)
    begins = {chain[0]: number for number, chain in enumerate(chains)}
    ends = {chain[-1]: number for number, chain in enumerate(chains)}
    turns = {(ends[a], begins[b]) for a, b in follows if a in ends and b in begins}
    return [_one([streets[n] for n in chain]) for chain in chains], turns


def _one(chain: Sequence[Street]) -> Street:
    """A street for several that follow each other."""
    return Street(
        tail=chain[0].tail,
        head=chain[-1].head,
        seconds=sum(street.seconds for street in chain),
        capacity=min(street.capacity for street in chain),
        sources=tuple(source for street in chain for source in street.sources),
    )
