"""How vehicles move and slow each other down: one step of all vehicles, arrays all the way.

Every vehicle on a link drives at the link's current speed: first in, first out, but for one case
(below). The speed follows from the number of vehicles on the link: with occupancy x = w n / (c t0)
relative to what is there at capacity (Little's law turns the flow of the BPR curve into
vehicles), the speed is f = 1 / (1 + b x^p) of free flow and the travel time t0 / f.

``congestion="queue"`` is a point queue instead: a link is driven in t0 and left at capacity at
the most, in the order of entry: exit = max(entry + t0, last exit + w/c).

Time is continuous across nodes: what is left of a step when a vehicle reaches a node is its
credit on the next link. It is driven at the speed of the following step: who comes to a link in
the very step in which a jam on it ends does not feel it, and can overtake who came less than a
step earlier and did.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.road import paths
from leed_jax.road.network import RoadNetwork

NEVER = -1e9
TOLERANCE = 1e-4
"""Share of a step: with ``<= 0`` float32 and float64 part by whole steps where times tie."""


@dataclass(frozen=True)
class Rules:
    """What is fixed when a simulation is compiled."""

    time_step: float
    """Seconds."""
    power: float
    min_speed: float
    """Share of the free-flow speed that is left in the worst jam."""
    congestion: Literal["bpr", "queue"] = "bpr"

    def __post_init__(self) -> None:
        if self.congestion not in ("bpr", "queue"):
            raise ValueError(f"congestion must be 'bpr' or 'queue', got {self.congestion!r}")
        if not self.time_step > 0:
            raise ValueError(f"time_step must be positive, got {self.time_step}")
        if not 0 < self.min_speed <= 1:
            raise ValueError(f"min_speed must be in (0, 1], got {self.min_speed}")


class Roads(NamedTuple):
    """A network on the device, for vehicles that each stand for ``platoon`` real ones."""

    next_link: Int[Array, "P D"]
    """Slots of every place (`paths.next_links`); -1: not possible."""
    head: Int[Array, "L"]
    free_flow_time: Float[Array, "L"]
    """Seconds."""
    coefficient: Float[Array, "L"]
    occupancy: Float[Array, "L"]
    """x per vehicle on the link, w / (kappa c t0)."""
    headway: Float[Array, "L"]
    """Seconds between two exits at capacity, w / (kappa c); 0 where the link never congests."""


class Traffic(NamedTuple):
    """Where all vehicles are."""

    place: Int[Array, "N"]
    """The link that it is on or came over; L + node before its first one."""
    remaining: Float[Array, "N"]
    """Seconds at free flow (at the queue's pace: seconds) to the end of the link; 0: at a node."""
    credit: Float[Array, "N"]
    """Seconds of a step left over at the last node."""
    arrival: Float[Array, "N"]
    """Seconds since the start; -1: under way."""
    last_exit: Float[Array, "Q"]
    """Per link, when the last vehicle will leave it (queue; else Q = 0)."""
    step: Int[Array, ""]
    """Steps since the start."""


class Flow(NamedTuple):
    """The links in a step."""

    count: Int[Array, "L"]
    """Vehicles on them."""
    speed: Float[Array, "L"]
    """Share of free flow."""


def rules(network: RoadNetwork, congestion: Literal["bpr", "queue"] = "bpr") -> Rules:
    """The network's own step, curve and jam speed."""
    return Rules(network.time_step, network.power, network.min_speed, congestion)


def roads(network: RoadNetwork, platoon: float, kappa: float = 1.0) -> Roads:
    """Arrays of ``network``.

    Args:
      network: checked.
      platoon: w, real vehicles that a vehicle stands for.
      kappa: factor on all capacities; only w / kappa matters.

    Raises:
      ValueError: ``platoon`` or ``kappa`` is not positive.
    """
    for name, value in (("platoon", platoon), ("kappa", kappa)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive, got {value}")
    headway = platoon * 3600.0 / (kappa * network.capacity)
    congests = network.coefficient > 0
    return Roads(
        next_link=jnp.asarray(paths.next_links(network), jnp.int32),
        head=jnp.asarray(network.head, jnp.int32),
        free_flow_time=jnp.asarray(network.free_flow_time, jnp.float32),
        coefficient=jnp.asarray(network.coefficient, jnp.float32),
        occupancy=jnp.asarray(headway / network.free_flow_time, jnp.float32),
        headway=jnp.asarray(np.where(congests, headway, 0.0), jnp.float32),
    )


def start(roads: Roads, rules: Rules, origin: Int[Array, "N"]) -> Traffic:
    """All vehicles at their origins, none departed."""
    links, nothing = roads.head.shape[0], jnp.zeros(origin.shape, jnp.float32)
    queues = links if rules.congestion == "queue" else 0
    return Traffic(
        place=origin.astype(jnp.int32) + links,
        remaining=nothing,
        credit=nothing,
        arrival=nothing - 1.0,
        last_exit=jnp.full(queues, NEVER),
        step=jnp.array(0, jnp.int32),
    )


def active(traffic: Traffic, departure: Int[Array, "N"]) -> Bool[Array, "N"]:
    """Departed and not arrived."""
    return (traffic.step >= departure) & (traffic.arrival < 0)


def deciding(traffic: Traffic, departure: Int[Array, "N"]) -> Bool[Array, "N"]:
    """At a node with a way to go: the vehicle takes a link in this step."""
    return active(traffic, departure) & (traffic.remaining <= 0)


def occupancy(roads: Roads, place: Int[Array, "N"], on: Bool[Array, "N"]) -> Int[Array, "L"]:
    """Vehicles per link."""
    links = roads.head.shape[0]
    empty = jnp.zeros(links, jnp.int32)
    return empty.at[jnp.where(on, place, links)].add(1, mode="drop")


def speed(roads: Roads, rules: Rules, count: Int[Array, "L"]) -> Float[Array, "L"]:
    """Share of the free-flow speed on every link (1 everywhere with queues)."""
    if rules.congestion == "queue":
        return jnp.ones(count.shape, jnp.float32)
    x = count.astype(jnp.float32) * roads.occupancy
    # A whole power is a few products, on the device, too.
    whole = float(rules.power).is_integer()
    steep = x ** int(rules.power) if whole else x**rules.power
    return jnp.maximum(rules.min_speed, 1.0 / (1.0 + roads.coefficient * steep))


def advance(
    roads: Roads,
    rules: Rules,
    traffic: Traffic,
    chosen: Int[Array, "N"],
    departure: Int[Array, "N"],
    destination: Int[Array, "N"],
) -> tuple[Traffic, Flow]:
    """One step.

    Args:
      roads: the network.
      rules: the step's length and the curve.
      traffic: before the step.
      chosen: the link that a vehicle which is `deciding` takes; others' are ignored.
      departure: step in which a vehicle starts.
      destination: node where it arrives.
    """
    moving = active(traffic, departure)
    entering = moving & (traffic.remaining <= 0)
    place = jnp.where(entering, chosen, traffic.place)
    link = jnp.where(moving, place, 0)  # those that have not departed are on no link
    times = roads.free_flow_time[link]
    last_exit = traffic.last_exit
    if rules.congestion == "queue":
        begins = traffic.step.astype(jnp.float32) * rules.time_step
        times, last_exit = _queue(roads, link, entering, begins - traffic.credit, last_exit)
    count = occupancy(roads, place, moving)
    speeds = speed(roads, rules, count)
    own = speeds[link]
    remaining = jnp.where(entering, times, traffic.remaining)
    remaining = remaining - (rules.time_step + traffic.credit) * own
    through = moving & (remaining <= TOLERANCE * rules.time_step)
    left = -remaining / own
    there = through & (roads.head[link] == destination)
    ends = (traffic.step + 1).astype(jnp.float32) * rules.time_step
    return Traffic(
        place=place,
        remaining=jnp.where(moving & ~through, remaining, 0.0),
        credit=jnp.where(through & ~there, left, 0.0),
        arrival=jnp.where(there, ends - left, traffic.arrival),
        last_exit=last_exit,
        step=traffic.step + 1,
    ), Flow(count, speeds)


def _queue(
    roads: Roads,
    link: Int[Array, "N"],
    entering: Bool[Array, "N"],
    entry: Float[Array, "N"],
    last_exit: Float[Array, "L"],
) -> tuple[Float[Array, "N"], Float[Array, "L"]]:
    """Seconds from entry to exit, and every link's last exit.

    Who enters the same link in the same step is served in the order of entry (ties: by number).
    With j earlier ones in this step, exit_j = max(last exit + (j+1) h, max over i <= j of
    (entry_i + t0 + (j - i) h)): a running maximum within the link's group.
    """
    links = last_exit.shape[0]
    group = jnp.where(entering, link, links)
    order = jnp.lexsort((entry, group))
    group, sorted_link = group[order], link[order]
    index = jnp.arange(group.shape[0])
    first = jnp.concatenate([jnp.ones(1, bool), group[1:] != group[:-1]])
    rank = (index - jax.lax.cummax(jnp.where(first, index, 0))).astype(jnp.float32)
    headway = roads.headway[sorted_link]
    earliest = entry[order] + roads.free_flow_time[sorted_link] - rank * headway

    def merge(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        return a[0] | b[0], jnp.where(b[0], b[1], jnp.maximum(a[1], b[1]))

    _, latest = jax.lax.associative_scan(merge, (first, earliest))
    leaves = rank * headway + jnp.maximum(latest, last_exit[sorted_link] + headway)
    last_exit = last_exit.at[group].max(leaves, mode="drop")
    taken = jnp.zeros(entry.shape, jnp.float32).at[order].set(leaves - entry[order])
    return taken, last_exit
