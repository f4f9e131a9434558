"""What maps do not say about roads, assumed: capacity, delay at junctions, missing speeds.

The same constants are behind the shipped networks of Berlin and Luxembourg. None of them is
measured; ``docs/road-networks.md`` says how well they hold in SUMO.
"""

from collections.abc import Mapping

SATURATION_FLOW: Mapping[str, float] = {
    "motorway": 2000.0,
    "trunk": 2000.0,
    "primary": 1800.0,
    "secondary": 1800.0,
    "tertiary": 1600.0,
    "unclassified": 1400.0,
    "residential": 1200.0,
    "living_street": 600.0,
    "service": 600.0,
    "track": 600.0,
}
"""Vehicles per hour and lane while nothing stops them, by OpenStreetMap's class of road."""
SPEED_LIMIT: Mapping[str, float] = {
    "motorway": 120.0,
    "trunk": 100.0,
    "primary": 50.0,
    "secondary": 50.0,
    "tertiary": 50.0,
    "unclassified": 50.0,
    "residential": 30.0,
    "living_street": 10.0,
    "service": 20.0,
    "track": 20.0,
}
"""Kilometres per hour where a map gives no limit."""
OTHER_ROAD = "unclassified"
"""The class of a road whose class is unknown."""
GREEN_SHARE = 0.45
"""Part of the time that a signal shows green."""
SIGNAL_DELAY = 15.0
"""Mean seconds lost at a signal without other traffic."""
JUNCTION_DELAY = 3.0
"""Mean seconds lost at another junction."""


def road_class(name: str) -> str:
    """A class of `SATURATION_FLOW`: ramps are roads of what they lead to."""
    base = name.removesuffix("_link")
    return base if base in SATURATION_FLOW else OTHER_ROAD


def capacity(road: str, lanes: float, signal: bool) -> float:
    """Vehicles per hour.

    Args:
      road: class, a key of `SATURATION_FLOW`.
      lanes: in one direction.
      signal: whether the road ends at a traffic light.
    """
    return SATURATION_FLOW[road] * lanes * (GREEN_SHARE if signal else 1.0)


def control_delay(signal: bool, junction: bool) -> float:
    """Mean seconds lost at the end of a road, which is a signal, another junction, or neither."""
    if signal:
        return SIGNAL_DELAY
    return JUNCTION_DELAY if junction else 0.0
