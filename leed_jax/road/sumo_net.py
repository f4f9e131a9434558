"""Road networks from SUMO's ``net.xml``; needs the extra ``road`` (sumolib).

Longitude and latitude additionally need pyproj; without it, or in a net without projection,
positions are the net's own metres.
"""

import importlib.util
from pathlib import Path
from typing import Any

from leed_jax.road import assumptions, reduce
from leed_jax.road.network import RoadNetwork
from leed_jax.road.reduce import Street, Turn


def read(net_xml: str | Path, *, name: str, vehicle_class: str = "passenger") -> RoadNetwork:
    """The road network of a SUMO net as one class of vehicles may use it, without demand.

    The largest part strongly connected under the net's connections, without U-turns; nodes
    without choice are merged, and `RoadNetwork.sumo_edges` names the edges behind every link.
    Free-flow time is length / speed limit plus a delay at the end of every edge
    (`assumptions.control_delay`); here a junction is a node from which edges of any kind, paths
    included, lead to two or more other nodes. Capacity is the least among a link's edges
    (`assumptions.capacity`).

    Args:
      net_xml: the file, ``.net.xml`` or ``.net.xml.gz``.
      name: of the network.
      vehicle_class: one of SUMO's, such as "passenger" or "bicycle".

    Raises:
      ImportError: sumolib is not installed.
      FileNotFoundError: no such file.
      ValueError: nothing in the net can be driven to and fro.
    """
    try:
        import sumolib  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            'SUMO networks are read with sumolib: pip install "leed_jax[road]"'
        ) from error
    if not Path(net_xml).is_file():
        raise FileNotFoundError(f"{net_xml}: no such file")
    net = sumolib.net.readNet(str(net_xml))
    edges = [edge for edge in net.getEdges(withInternal=False) if edge.allows(vehicle_class)]
    if not edges:
        raise ValueError(f"{net_xml}: no edge allows {vehicle_class}")
    streets = [_street(edge, vehicle_class) for edge in edges]
    index = {edge.getID(): number for number, edge in enumerate(edges)}
    turns: list[Turn] = [
        (first, index[after.getID()])
        for first, edge in enumerate(edges)
        for after, connections in edge.getOutgoing().items()
        if after.getID() in index and any(_allows(way, vehicle_class) for way in connections)
    ]
    geographic = net.hasGeoProj() and importlib.util.find_spec("pyproj") is not None
    position = {}
    for edge in edges:
        for node in (edge.getFromNode(), edge.getToNode()):
            x, y = node.getCoord()
            position[node.getID()] = net.convertXY2LonLat(x, y) if geographic else (x, y)
    return reduce.to_network(streets, turns, position, name=name, geographic=geographic, sumo=True)


def _street(edge: Any, vehicle_class: str) -> Street:
    """An edge with its assumed capacity and delay."""
    node = edge.getToNode()
    signal = node.getType().startswith("traffic_light")
    junction = len({onward.getToNode().getID() for onward in node.getOutgoing()}) > 1
    road = assumptions.road_class(_highway(edge.getType()))
    lanes = sum(lane.allows(vehicle_class) for lane in edge.getLanes())
    driving = edge.getLength() / edge.getSpeed()
    return Street(
        tail=edge.getFromNode().getID(),
        head=node.getID(),
        seconds=driving + assumptions.control_delay(signal, junction),
        capacity=assumptions.capacity(road, lanes, signal),
        sources=(edge.getID(),),
    )


def _highway(kinds: str) -> str:
    """The class of road in an edge's type, such as ``highway.primary|railway.tram``."""
    for kind in kinds.split("|"):
        if kind.startswith("highway."):
            return kind.removeprefix("highway.")
    return assumptions.OTHER_ROAD


def _allows(connection: Any, vehicle_class: str) -> bool:
    """Whether the lanes at both ends of a connection may be used."""
    ends = connection.getFromLane(), connection.getToLane()
    return all(lane.allows(vehicle_class) for lane in ends)
