"""Instructions for vehicles as next-link tables: what each command means on the road."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments.road import RoadEnvironment, RoadState
from leed_jax.road import drive, paths, traffic
from leed_jax.road.network import RoadNetwork
from leed_jax.road.routes import Choices
from leed_jax.scenarios import Controls, Program

MOVE_TO, AVOID_LINK, FOLLOW_ROUTE = range(3)
BUSIEST = 24
"""Roads that can be avoided: those with the most vehicles if all drive their fastest routes."""
CLOSED = 1e7
"""Seconds; an avoided road is used only where there is no other way."""


class Target(NamedTuple):
    """Where every vehicle is sent in this step."""

    link: Int[Array, "N"]
    """The link it is on, or takes now."""
    slot: Int[Array, "N"]
    """Action that takes it."""
    finished: Bool[Array, "N"]
    """A move ends with the link that leads to its intersection: the next one is in force there."""


def busiest_links(fleet_routes: list[list[tuple[int, ...]]]) -> list[int]:
    """Links that most vehicles would use on their fastest routes, busiest first."""
    users = np.bincount([link for routes in fleet_routes for link in routes[0]])
    order = np.argsort(-users, kind="stable")
    return [int(link) for link in order[:BUSIEST] if users[link] > 0]


def make(
    env: RoadEnvironment,
    choices: Choices,
    nodes: Int[np.ndarray, "M"],
    avoidable: list[int],
) -> Controls:
    """Controls of `MoveTo`, `AvoidLink` and `FollowRoute`.

    Args:
      env: the environment.
      choices: routes of the fleet.
      nodes: intersections that can be moved to, in the order of the command's options.
      avoidable: links that can be avoided, in the order of the command's options.
    """
    tables, network, fleet = env.tables, env.network, env.fleet
    links = network.num_links
    zones = np.asarray(tables.zones)
    toward = jnp.asarray(paths.ways(network, nodes).first, jnp.int32)
    around = np.stack(
        [paths.ways(network, zones, _closed(network, link)).first for link in avoidable], axis=1
    )
    around = jnp.asarray(around, jnp.int32)
    own = choices.of(fleet)
    most = max(len(routes) for routes in own)
    flat = [routes[min(k, len(routes) - 1)] for routes in own for k in range(most)]
    listed = jnp.asarray(drive.pad(flat)).reshape(len(own), most, -1)
    goals, origin = jnp.asarray(nodes, jnp.int32), jnp.asarray(fleet.origin, jnp.int32) + links
    vehicles = jnp.arange(len(own))

    def resolve(
        state: RoadState, program: Program, been: Bool[Array, "N"]
    ) -> tuple[Target, Bool[Array, "N"]]:
        place, zone = state.traffic.place, state.zone
        argument = program.arguments[:, 0]
        fastest = tables.fastest[place, zone]
        goal = jnp.minimum(argument, len(nodes) - 1)
        move = toward[place, goal]
        # The last move stays in force once it is done: from there on to the destination.
        been = (been & ~program.started) | (tables.node[place] == goals[goal])
        move = jnp.where(been | (move < 0), fastest, move)
        route = listed[vehicles, jnp.minimum(argument, most - 1)]
        here = route == place[:, None]
        following = jnp.take_along_axis(
            jnp.pad(route, ((0, 0), (0, 1)), constant_values=-1),
            here.argmax(1, keepdims=True) + 1,
            axis=1,
        )[:, 0]
        following = jnp.where(here.any(1), following, -1)
        following = jnp.where(place == origin, route[:, 0], following)
        following = jnp.where(following < 0, fastest, following)
        avoiding = around[place, jnp.minimum(argument, len(avoidable) - 1), zone]
        deciding = traffic.deciding(state.traffic, state.departure)
        link = jnp.stack([move, avoiding, following])[program.op, vehicles]
        slot = (tables.roads.next_link[place] == link[:, None]).argmax(1)
        finished = deciding & (program.op == MOVE_TO) & (tables.roads.head[link] == goals[goal])
        return Target(
            link=jnp.where(deciding, link, place),
            slot=jnp.where(deciding, slot, 0).astype(jnp.int32),
            finished=finished,
        ), been | finished

    def passed(state: RoadState, program: Program) -> Bool[Array, "N"]:
        """A move to where the vehicle stands has nothing to do."""
        goal = goals[jnp.minimum(program.arguments[:, 0], len(nodes) - 1)]
        there = tables.node[state.traffic.place] == goal
        return there & (state.traffic.remaining <= 0) & (program.op == MOVE_TO)

    def act(target: Target, state: RoadState, vehicle: Int[Array, ""]) -> tuple[Array, Array]:
        del state, vehicle
        return target.slot, target.finished

    return Controls(
        init=lambda state: jnp.zeros(len(own), bool),
        resolve=resolve,
        controllers=(act, act, act),
        passed=passed,
    )


def _closed(network: RoadNetwork, link: int) -> Float[np.ndarray, "L"]:
    """Seconds of every link with one of them closed."""
    times = network.free_flow_time.copy()
    times[link] = CLOSED
    return times
