"""``road/<network>``: vehicles that share a congested road network (LEED's own task)."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from leed_jax.environments import road as environment
from leed_jax.environments.road import RoadState
from leed_jax.environments.road_settings import RoadSettings
from leed_jax.episodes import Episodes
from leed_jax.road import fleets, routes, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork
from leed_jax.scenarios import Judgement, Scenario, Threshold
from leed_jax.scenarios.road import controls as control
from leed_jax.scenarios.road import drawing, words
from leed_jax.scenarios.road.controls import Target

NAMES = tuple(f"road/{name}" for name in shipped.SHIPPED)

DEFAULTS: Mapping[str, dict[str, Any]] = {
    "ow": {"num_agents": 8, "platoon": 4.0, "kind": "table", "seconds_per_agent": 37.5},
    # Its jams are forty times the free-flow time: six times that would end before any arrival.
    "braess": {
        "num_agents": 4,
        "platoon": 1000.0,
        "kind": "table",
        "seconds_per_agent": 0.0,
        "horizon": 200,
    },
    "berlin_adlershof": {"num_agents": 16, "platoon": 4.0, "kind": "hub3"},
    "luxembourg_main": {"num_agents": 64, "platoon": 8.0, "kind": "hub3"},
    "luxembourg_full": {"num_agents": 64, "platoon": 8.0, "kind": "hub3"},
}
"""Platoons so small that none jams a road by itself: alone everybody takes at most 1.2 times the
free-flow time."""
WINDOWS = ((32, 3.75), (10**9, 4.6875))
"""Seconds of departures per vehicle, up to so many vehicles: 60 s for 16, 300 s for 64."""
SHOWN_COUNTS = 4
"""The prompt tells what a road takes with 1, 2, ... so many vehicles on it."""
THRESHOLD = Threshold("score", 0.9, "nine tenths of the way from free-flow routes to the best plan")


def make(
    name: str,
    *,
    num_agents: int | None = None,
    demand: float | None = None,
    window: float | None = None,
    kind: str | None = None,
    seed: int = 0,
    kappa: float = 1.0,
    reward: Literal["own", "team", "mix", "tolled"] = "own",
    team_share: float = 0.5,
    arrival_bonus: float = 0.0,
    trips: Literal["fixed", "sampled"] = "fixed",
    departure_jitter: int = 2,
    horizon: int | None = None,
    congestion: Literal["bpr", "queue"] = "bpr",
    info: Literal["local", "network"] = "local",
) -> Scenario:
    """The scenario on a shipped network; `on_network` takes any other.

    Args:
      name: ``road/<network>``.
      num_agents: N, vehicles.
      demand: real vehicles that they stand for together; 4 per vehicle on berlin_adlershof.
      window: seconds within which all depart.
      kind: of fleet, "table", "pairs<k>" or "hub<k>" (`fleets.make`).
      seed: draws the fleet.
      kappa: factor on all capacities; only demand / kappa matters.
      reward: "own", "team", "mix" or "tolled"; this and the rest as in `RoadSettings`.
      team_share: of the team's reward in "mix".
      arrival_bonus: paid on arrival.
      trips: "fixed", or "sampled" on every reset (for training only, see `on_network`).
      departure_jitter: steps.
      horizon: steps.
      congestion: "bpr" or "queue".
      info: "local", or "network" to observe all links.

    Raises:
      ValueError: an option out of range; names it.
    """
    network = shipped.load(name.removeprefix("road/"))
    facts = {"seconds_per_agent": None, "horizon": None, **DEFAULTS[network.name]}
    count = facts["num_agents"] if num_agents is None else num_agents
    per_agent = facts["seconds_per_agent"]
    if per_agent is None:
        per_agent = next(seconds for most, seconds in WINDOWS if count <= most)
    kind = facts["kind"] if kind is None else kind
    fleet = fleets.make(
        network,
        kind,
        count,
        demand=facts["platoon"] * count if demand is None else demand,
        window=per_agent * count if window is None else window,
        seed=seed,
        kappa=kappa,
    )
    horizon = facts["horizon"] if horizon is None else horizon
    settings = RoadSettings(
        reward, team_share, arrival_bonus, trips, departure_jitter, horizon, congestion, info
    )
    return on_network(network, fleet, settings, kind=kind, seed=seed)


def on_network(
    network: RoadNetwork,
    fleet: Fleet,
    settings: RoadSettings | None = None,
    *,
    kind: str = "table",
    seed: int = 0,
    seconds: Mapping[str, float] | None = None,
) -> Scenario:
    """The scenario for any network and fleet.

    With sampled trips it can be trained on, without demonstrations. Asking for plans or carrying
    one out raises ``ValueError``: they are for given vehicles.

    Args:
      network: where.
      fleet: who, when, and how many real vehicles an agent stands for.
      settings: rewards, observations, episodes.
      kind: of the fleet, for the scenario's options, and for sampled trips.
      seed: of the fleet, for the scenario's options.
      seconds: mean seconds of the references "ff" and "so" (`leed_jax.road.references`), for the
        measure ``score``; shipped fleets have theirs.

    Raises:
      ValueError: the fleet does not fit the network.
    """
    settings = RoadSettings() if settings is None else settings
    # The references are of this fleet under BPR; sampled trips are others.
    if seconds is None and (settings.congestion, settings.trips) == ("bpr", "fixed"):
        seconds = fleets.known_references(network, fleet)
    env = environment.make(network, fleet, settings, kind=kind, seconds=seconds)
    found = routes.choices(network, fleet, SHOWN_COUNTS)
    names = words.Names(env)
    corridor = found.corridor()
    nodes = np.unique(np.concatenate([network.tail[corridor], network.head[corridor]]))
    avoidable = control.busiest_links(found.of(fleet))
    controls = control.make(env, found, nodes, avoidable)
    describe = partial(words.describe, env, found, names)
    if settings.trips == "sampled":
        controls, describe = controls._replace(init=_refuse), _refuse
    told = {
        "num_agents": fleet.num_vehicles,
        "demand": fleet.demand,
        "window": fleet.window,
        "kind": kind,
        "seed": seed,
        "kappa": fleet.kappa,
        "congestion": settings.congestion,
    }
    every = tuple(env.array_env.spec.agents)

    def speaking_to(agents: tuple[str, ...]) -> Scenario:
        group = [every.index(agent) for agent in agents]
        return Scenario(
            name=f"road/{network.name}",
            options=told
            | {
                "reward": settings.reward,
                "team_share": settings.team_share,
                "arrival_bonus": settings.arrival_bonus,
                "trips": settings.trips,
                "departure_jitter": settings.departure_jitter,
                "horizon": env.horizon,
                "info": settings.info,
            },
            env=env.array_env,
            vocabulary=words.vocabulary(agents, names, nodes, avoidable, env.horizon),
            task=words.task(env, found, names, group),
            describe=lambda state: describe(group),
            controls=controls,
            advice=words.GOALS,
            feedback=lambda states, targets: words.feedback(
                env, found, names, driven_routes(states, targets)
            ),
            draw=lambda axes, state, targets: drawing.draw(env, axes, state),
            threshold=THRESHOLD if "so" in env.seconds else None,
            plan_request=words.PLAN_REQUEST,
            for_agents=speaking_to,
            prompt_options=told,
            judge=_judge,
        )

    return speaking_to(every)


def _refuse(*_: Any) -> Any:
    """In place of what speaks of given vehicles, which sampled trips have none of."""
    raise ValueError(
        "trips='sampled' draws other trips for every episode: they can be trained on but not "
        "instructed, since plans are for given vehicles; use trips='fixed' for plans"
    )


def _judge(played: Episodes) -> Judgement:
    """A plan is worth minus its mean travel time, whatever the learners are paid for."""
    seconds = np.asarray(played.measures["travel_seconds"])
    return Judgement(-seconds, {"mean travel time per vehicle in seconds": seconds})


def driven_routes(states: RoadState, targets: Target) -> list[list[int]]:
    """Links that every vehicle took in the first of K episodes, from [K S ...] arrays."""
    first = jax.tree.map(lambda leaf: np.asarray(leaf)[0], (states, targets))
    now, chosen = first[0].traffic, first[1].link
    clock = np.asarray(now.step)
    begun = (clock[:, None] >= first[0].departure) & (now.arrival < 0)
    # Padding repeats the last step.
    fresh = np.diff(clock, prepend=-1) > 0
    taken = begun & (now.remaining <= 0) & fresh[:, None]
    return [chosen[taken[:, i], i].tolist() for i in range(chosen.shape[1])]
