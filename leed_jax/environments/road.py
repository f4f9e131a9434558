"""Vehicles that find their way through a congested road network, as an `ArrayEnv`.

Every agent is a vehicle (a platoon of ``w`` real ones). At a node it chooses the next link; on a
link it drives at the link's speed, which falls with the number of vehicles on it
(`leed_jax.road.traffic`). There is no waiting and no U-turn. All agents move in one set of array
operations, so that the cost of compiling does not depend on their number.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from leed_jax.environments import road_observation, road_tables
from leed_jax.environments.road_settings import RoadSettings
from leed_jax.environments.road_tables import Tables
from leed_jax.road import fleets, traffic
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork
from leed_jax.road.traffic import Flow, Rules, Traffic
from leed_jax.types import ArrayEnv, EnvSpec, Measure, TimeStep

MAX_HORIZON = 600
HORIZON_FACTOR = 6
"""A horizon is the window and so many times the longest free-flow time, if not given."""
ROWS_FACTOR = 1.3
"""Rows of a rollout kept for decisions, relative to what the longest trip needs at free flow."""


class RoadState(NamedTuple):
    """Vehicles on the road and where they are going."""

    traffic: Traffic
    zone: Int[Array, "N"]
    """Index of the destination in `Tables.zones`."""
    departure: Int[Array, "N"]
    """Step."""
    free_time: Float[Array, "N"]
    """Free-flow seconds of the whole trip."""


@dataclass(frozen=True, eq=False)
class RoadEnvironment:
    """A network with a fleet on it; `make` builds it, `array_env` is what the trainer sees.

    Its functions are pure; they serve one environment.
    """

    network: RoadNetwork
    fleet: Fleet
    settings: RoadSettings
    rules: Rules
    tables: Tables
    horizon: int
    time_scale: float
    """Seconds: mean free-flow time of a trip; unit of observed times and of team rewards."""
    decision_share: float
    rows: Int[np.ndarray, "R"]
    """Rows of the network's demand that sampled trips are drawn from."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds per vehicle of the references, where they are known."""

    @functools.cached_property
    def array_env(self) -> ArrayEnv:
        """The environment as the trainer sees it."""
        count, width = self.fleet.num_vehicles, self.network.out_degree
        size = road_observation.size(width)
        size += self.network.num_links if self.settings.info == "network" else 0
        fixed = self.settings.trips == "fixed"
        return ArrayEnv(
            reset=self.reset,
            step=self.step,
            spec=EnvSpec(
                name=f"road/{self.network.name}",
                agents=tuple(f"vehicle_{index}" for index in range(count)),
                observation_sizes=(size,) * count,
                action_sizes=(width,) * count,
                horizon=self.horizon,
                decision_share=self.decision_share,
            ),
            measures=self.measures(),
            scored_reset=self.scored_reset if fixed else None,
            scored_starts=1 if fixed else None,
        )

    def scored_reset(self, key: Key[Array, ""]) -> tuple[RoadState, TimeStep]:
        """All vehicles at their origins; the fleet's own departures."""
        del key
        origin, destination = (
            jnp.asarray(nodes, jnp.int32) for nodes in (self.fleet.origin, self.fleet.destination)
        )
        return self._begin(origin, jnp.searchsorted(self.tables.zones, destination), self._steps())

    def reset(self, key: Key[Array, ""]) -> tuple[RoadState, TimeStep]:
        """The same with departures shifted at random, or with other trips altogether."""
        count = self.fleet.num_vehicles
        if self.settings.trips == "fixed":
            state, time_step = self.scored_reset(key)
            most = self.settings.departure_jitter
            if most == 0:
                return state, time_step
            shift = jax.random.randint(key, (count,), -most, most + 1)
            state = state._replace(departure=jnp.maximum(state.departure + shift, 0))
            return state, self._time_step(state, jnp.zeros(count))
        demand, last = self.network.demand, int(self.fleet.window // self.rules.time_step)
        row_key, time_key = jax.random.split(key)
        share = jnp.asarray(np.log(demand.trips[self.rows]), jnp.float32)
        row = jax.random.categorical(row_key, share, shape=(count,))
        zone = np.searchsorted(np.asarray(self.tables.zones), demand.destination[self.rows])
        origin = jnp.asarray(demand.origin[self.rows], jnp.int32)[row]
        departure = jax.random.randint(time_key, (count,), 0, last + 1)
        return self._begin(origin, jnp.asarray(zone)[row], departure)

    def step(
        self, key: Key[Array, ""], state: RoadState, action: Int[Array, "N"]
    ) -> tuple[RoadState, TimeStep]:
        """One time step; an impossible action counts as the fastest way on at free flow."""
        del key
        after, flow = self.move(state, action)
        return after, self._time_step(after, self._reward(state, after, flow))

    def move(self, state: RoadState, action: Int[Array, "N"]) -> tuple[RoadState, Flow]:
        """The traffic of a step, without rewards and observations."""
        tables, now = self.tables, state.traffic
        chosen = tables.roads.next_link[now.place, action]
        possible = (chosen >= 0) & jnp.isfinite(tables.entering[chosen, state.zone])
        chosen = jnp.where(possible, chosen, tables.fastest[now.place, state.zone])
        target = tables.zones[state.zone]
        moved, flow = traffic.advance(
            tables.roads, self.rules, now, chosen, state.departure, target
        )
        return state._replace(traffic=moved), flow

    def travel_seconds(self, state: RoadState) -> Float[Array, "N"]:
        """Seconds since departure until arrival.

        Of a vehicle under way: until now, and then at free flow to its destination.
        """
        now, rules = state.traffic, self.rules
        begun, clock = (
            steps.astype(jnp.float32) * rules.time_step for steps in (state.departure, now.step)
        )
        clock = jnp.maximum(clock, begun) - now.credit
        togo = now.remaining + self.tables.onward[now.place, state.zone]
        return jnp.where(now.arrival >= 0, now.arrival, clock + togo) - begun

    def measures(self) -> tuple[Measure, ...]:
        """Success metrics; ``score`` where the references are known."""
        found = [
            Measure(
                "travel_seconds",
                lambda state: self.travel_seconds(state).mean(),
                "last",
                "mean travel time per vehicle, seconds; low is good",
            ),
            Measure(
                "arrived",
                lambda state: (state.traffic.arrival >= 0).mean(),
                "last",
                "share of vehicles that arrived before the time limit; 1 is best",
            ),
        ]
        if {"ff", "so"} <= set(self.seconds):
            slow, fast = self.seconds["ff"], self.seconds["so"]
            found.append(
                Measure(
                    "score",
                    lambda state: (slow - self.travel_seconds(state).mean()) / (slow - fast),
                    "last",
                    "0: all on their shortest ways, 1: the best known plan",
                )
            )
        return tuple(found)

    # ------------------------------------------------------------------------------ parts

    def _steps(self) -> Int[Array, "N"]:
        return jnp.asarray(np.rint(self.fleet.departure / self.rules.time_step), jnp.int32)

    def _begin(
        self, origin: Int[Array, "N"], zone: Int[Array, "N"], departure: Int[Array, "N"]
    ) -> tuple[RoadState, TimeStep]:
        begun = traffic.start(self.tables.roads, self.rules, origin)
        zone = zone.astype(jnp.int32)
        state = RoadState(begun, zone, departure, self.tables.onward[begun.place, zone])
        return state, self._time_step(state, jnp.zeros(origin.shape))

    def _reward(self, before: RoadState, after: RoadState, flow: Flow) -> Float[Array, "N"]:
        settings, rules = self.settings, self.rules
        old, new = before.traffic, after.traffic
        moving = traffic.active(old, before.departure)
        arrived = moving & (new.arrival >= 0)
        begins = old.step.astype(jnp.float32) * rules.time_step
        passed = jnp.where(arrived, new.arrival - begins, rules.time_step)
        passed = jnp.where(moving, passed, 0.0)
        share = settings.shared
        if share:
            # One unit for all, so that the sum over agents is the total time that is scored.
            passed = passed / self.time_scale
            reward = -(1 - share) * passed - share * passed.mean()
        else:
            reward = -passed / before.free_time
        if settings.reward == "tolled":
            entering = traffic.deciding(old, before.departure)
            link = jnp.where(entering, new.place, 0)
            delay = self.tables.roads.free_flow_time[link] * (1 / flow.speed[link] - 1)
            reward = reward - jnp.where(entering, rules.power * delay / before.free_time, 0.0)
        return reward + settings.arrival_bonus * arrived.astype(jnp.float32)

    def _time_step(self, state: RoadState, reward: Float[Array, "N"]) -> TimeStep:
        now = state.traffic
        arrived = now.arrival >= 0
        # Where others' travel times are paid for, an arrived vehicle's return goes on.
        terminated = arrived.all() & jnp.ones_like(arrived) if self.settings.shared else arrived
        observation, mask, occupied = road_observation.observe(
            self.tables, self.rules, self.horizon, self.time_scale, state
        )
        if self.settings.info == "network":
            everywhere = jnp.broadcast_to(occupied, (len(arrived), *occupied.shape))
            observation = jnp.concatenate([observation, everywhere], axis=1)
        return TimeStep(
            observation=observation,
            reward=reward,
            terminated=terminated,
            truncated=(now.step >= self.horizon) & ~arrived.all(),
            action_mask=mask,
            decision=traffic.deciding(now, state.departure),
            global_state=occupied,
        )


def make(
    network: RoadNetwork,
    fleet: Fleet,
    settings: RoadSettings | None = None,
    *,
    kind: str = "table",
    seconds: Mapping[str, float] | None = None,
) -> RoadEnvironment:
    """The environment.

    Args:
      network: where.
      fleet: who; for sampled trips it gives number, platoon, window and kappa.
      settings: rewards, observations, episodes.
      kind: rows of demand that sampled trips are drawn from, see `fleets.make`.
      seconds: mean seconds per vehicle of the references "ff" and "so"; with them there is a
        measure ``score`` = (ff - seconds) / (ff - so).

    Raises:
      ValueError: a vehicle cannot reach its destination; sampled trips without demand.
    """
    settings = RoadSettings() if settings is None else settings
    fleets.require_reachable(network, fleet)
    rules = traffic.rules(network, settings.congestion)
    demand = network.demand
    if settings.trips == "sampled":
        rows = fleets.demand_rows(network, kind)
        origins, ends, weight = demand.origin[rows], demand.destination[rows], demand.trips[rows]
    else:
        rows = np.arange(0)
        origins, ends, weight = fleet.origin, fleet.destination, np.ones(fleet.num_vehicles)
    zones, zone = np.unique(ends, return_inverse=True)
    tables = road_tables.build(network, fleet, zones)
    free = np.asarray(tables.onward)[network.num_links + origins, zone]
    longest = fleet.window + HORIZON_FACTOR * free.max()
    horizon = min(MAX_HORIZON, math.ceil(longest / rules.time_step))
    # A vehicle decides once per link, in an episode that lasts at least until all could be there.
    shortest = (fleet.window + free.max()) / rules.time_step
    share = ROWS_FACTOR * (_fastest_links(tables, network, origins, zone).max() + 1) / shortest
    return RoadEnvironment(
        network=network,
        fleet=fleet,
        settings=settings,
        rules=rules,
        tables=tables,
        horizon=settings.horizon or horizon,
        time_scale=float(np.average(free, weights=weight)),
        decision_share=float(min(share, 1.0)),
        rows=rows,
        seconds=dict(seconds or {}),
    )


def _fastest_links(
    tables: Tables, network: RoadNetwork, origins: Int[np.ndarray, "R"], zone: Int[np.ndarray, "R"]
) -> Int[np.ndarray, "R"]:
    """Number of links of every trip's fastest route at free flow."""
    fastest, goals = np.asarray(tables.fastest), np.asarray(tables.zones)[zone]
    place, count = network.num_links + origins, np.zeros(len(origins), int)
    node = origins
    while (node != goals).any():
        under_way = node != goals
        place = np.where(under_way, fastest[place, zone], place)
        node = np.where(under_way, network.head[np.minimum(place, network.num_links - 1)], node)
        count += under_way
    return count
