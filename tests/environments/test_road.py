"""The road environment, worked by hand on a small network, and at random on a city."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from leed_jax.environments import road, road_observation
from leed_jax.environments.road import RoadEnvironment
from leed_jax.environments.road_settings import RoadSettings
from leed_jax.road import fleets, paths, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

KEY = jax.random.key(0)
S, A, B, T = range(4)
SA, AT, SB, BT, AS, AB, TS = range(7)
LINKS = [(S, A, 10), (A, T, 10), (S, B, 15), (B, T, 15), (A, S, 10), (A, B, 5), (T, S, 10)]
"""From s to t by a in 20 s, by b in 30 s; nobody who comes from s may turn from a to b."""
FREE, HEAVY = 0.001, 10.0
"""Platoons: x is next to nothing; x = n on the links of 10 s, as the capacity is one a second.
Two heavy ones on such a link take 10 (1 + 0.15 x 16) = 34 s, one alone 11.5 s."""
BY_A, BY_B = (SA, AT), (SB, BT)
KNOWN = {"ff": 40.0, "so": 20.0}


def network() -> RoadNetwork:
    tail, head, seconds = np.array(LINKS).T
    return RoadNetwork(
        name="small",
        nodes=("s", "a", "b", "t"),
        position=np.array([[0.0, 0], [1, 1], [1, -1], [2, 0]]),
        tail=tail,
        head=head,
        free_flow_time=seconds.astype(float),
        capacity=np.full(7, 3600.0),
        coefficient=np.full(7, 0.15),
        demand=Demand(np.array([S, A, S]), np.array([T, T, B]), np.array([30.0, 10, 20])),
        forbidden=np.array([[SA, AB]]),
        geographic=False,
    )


def make(
    *trips: tuple[int, int, float],
    platoon: float = FREE,
    window: float = 10.0,
    seconds: Any = None,
    **settings: Any,
) -> RoadEnvironment:
    """Vehicles from, to, departing at."""
    origin, destination, departure = np.array(trips or [(S, T, 0.0)] * 2).T
    fleet = Fleet(
        name="hand",
        origin=origin.astype(int),
        destination=destination.astype(int),
        departure=departure.astype(float),
        platoon=platoon,
        window=window,
    )
    return road.make(network(), fleet, RoadSettings(**settings), seconds=seconds)


class Episode(NamedTuple):
    """What came of driving."""

    state: Any
    reward: np.ndarray
    """[S N]."""
    steps: list[Any]
    """Time steps, that of the reset first."""


def drive(env: RoadEnvironment, *routes: Sequence[int], steps: int = 999) -> Episode:
    """Every vehicle on its route, from the scored start to the end or for so many steps."""
    slots = np.asarray(env.tables.roads.next_link)
    step = jax.jit(env.step)
    state, first = jax.jit(env.scored_reset)(KEY)
    seen = [first]
    left = [list(route) for route in routes]
    while not seen[-1].over and len(seen) <= steps:
        action = []
        for i, deciding in enumerate(np.asarray(seen[-1].decision)):
            link = left[i].pop(0) if deciding else None
            row = slots[int(state.traffic.place[i])]
            action.append(0 if link is None else int(np.flatnonzero(row == link)[0]))
        state, after = step(KEY, state, jnp.array(action))
        seen.append(after)
    return Episode(state, np.array([after.reward for after in seen[1:]]), seen)


# ------------------------------------------------------------------------------------- rewards


def test_own_rewards_are_minus_the_travel_time_over_the_free_flow_time():
    env = make((S, T, 0), (S, T, 5), (A, T, 5))
    ended = drive(env, BY_A, BY_B, (AT,))
    # 20 s of 20, from the first step; 30 s of 20 and 10 s of 10 from the second step on.
    expected = np.zeros((7, 3))
    expected[:4, 0] = expected[1:7, 1] = -0.25
    expected[1:3, 2] = -0.5
    np.testing.assert_allclose(ended.reward, expected, atol=1e-5)
    np.testing.assert_allclose(env.travel_seconds(ended.state), [20.0, 30.0, 10.0], atol=1e-4)
    jammed = make((S, T, 0), (S, T, 0), platoon=HEAVY)
    ended = drive(jammed, BY_A, BY_A)  # 34 s on each link, 68 of 20
    np.testing.assert_allclose(ended.reward.sum(0), [-3.4, -3.4], rtol=1e-5)
    np.testing.assert_allclose(jammed.travel_seconds(ended.state), [68.0, 68.0], rtol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_team_rewards_add_up_to_the_total_time(share):
    # Free-flow times 20 s and 10 s: the unit is 15 s. The first takes 30 s by b, the other 10 s.
    env = make((S, T, 0), (A, T, 0), reward="team" if share == 1 else "mix", team_share=share)
    ended = drive(env, BY_B, (AT,))
    assert ended.reward.sum() == pytest.approx(-(30 + 10) / 15, rel=1e-5)
    own = np.array([30.0, 10.0]) / 15
    np.testing.assert_allclose(
        ended.reward.sum(0), -(1 - share) * own - share * own.mean(), rtol=1e-5
    )
    # Nobody's return ends before everybody has arrived: the first's time is the other's, too.
    assert [bool(step.terminated.any()) for step in ended.steps] == [False] * 6 + [True]
    assert ended.steps[-1].terminated.all() and not ended.steps[-1].truncated


def test_the_toll_is_the_delay_that_one_causes_to_others():
    env = make((S, T, 0), (S, T, 0), platoon=HEAVY, reward="tolled")
    ended = drive(env, BY_A, BY_A, steps=8)
    # On entry p (tau - t0) = 4 (34 - 10) = 96 s, over 20 s; and the 5 s of the step, over 20 s.
    np.testing.assert_allclose(ended.reward[0], [-4.8 - 0.25] * 2, rtol=1e-5)
    np.testing.assert_allclose(ended.reward[1:7], -0.25, rtol=1e-5)
    # At 34 s, in the seventh step, both come to a; in the eighth they enter the next link.
    np.testing.assert_allclose(ended.reward[7], [-4.8 - 0.25] * 2, rtol=1e-5)


def test_a_bonus_is_paid_once_on_arrival():
    ended = drive(make((S, T, 0), (A, T, 0), arrival_bonus=2.0), BY_A, (AT,))
    np.testing.assert_allclose(ended.reward[:, 1], [-0.5, -0.5 + 2, 0, 0], atol=1e-5)
    np.testing.assert_allclose(ended.reward[:, 0], [-0.25] * 3 + [-0.25 + 2], atol=1e-5)


# ----------------------------------------------------------------------- decisions and actions


def test_a_vehicle_decides_when_it_has_departed_and_is_at_a_node_and_not_there_yet():
    ended = drive(make((S, T, 0), (S, T, 10)), BY_A, BY_A)
    decision = np.array([step.decision for step in ended.steps])
    # 10 s a link: two steps. The second begins two steps later.
    np.testing.assert_array_equal(np.flatnonzero(decision[:, 0]), [0, 2])
    np.testing.assert_array_equal(np.flatnonzero(decision[:, 1]), [2, 4])
    masks = np.array([step.action_mask for step in ended.steps])
    assert masks[~decision][:, 0].all() and not masks[~decision][:, 1:].any()
    # Own returns end one by one.
    terminated = np.array([step.terminated for step in ended.steps])
    np.testing.assert_array_equal(terminated.sum(0), [3, 1])


def test_forbidden_turns_and_u_turns_are_not_legal_and_count_as_the_fastest_way():
    env = make((S, T, 0), (A, T, 0))
    step = jax.jit(env.step)
    begin, first = jax.jit(env.scored_reset)(KEY)
    # Slots are links in order: s>a, s>b; a>t, a>s, a>b. To start from a everything is allowed.
    np.testing.assert_array_equal(first.action_mask, [[True, True, False], [True] * 3])
    state, after = begin, first
    for _ in range(2):
        state, after = step(KEY, state, jnp.array([0, 2]))
    # From s at a: neither back nor to b. The other came to b, from where only t is left.
    np.testing.assert_array_equal(after.action_mask[0], [True, False, False])
    assert int(state.traffic.place[0]) == SA
    for impossible in (1, 2):
        moved, _ = step(KEY, state, jnp.array([impossible, 0]))
        assert int(moved.traffic.place[0]) == AT
    # A slot that the node does not have.
    moved, _ = step(KEY, begin, jnp.array([2, 0]))
    assert int(moved.traffic.place[0]) == SA


# ------------------------------------------------------------------------------------- the end


def test_at_the_horizon_the_way_that_is_left_counts_at_free_flow():
    env = make((S, T, 0), (S, T, 0), (S, T, 25), platoon=HEAVY, horizon=3, seconds=KNOWN)
    ended = drive(env, BY_A, BY_A, BY_A)
    last = ended.steps[-1]
    assert len(ended.reward) == 3 and last.truncated and not last.terminated.any()
    # 15 s at 1 / 3.4 are 4.412 of the 10 s of the first link: 15 + 5.588 + 10. The third has not
    # departed.
    both = 15 + (10 - 15 / 3.4) + 10
    np.testing.assert_allclose(env.travel_seconds(ended.state), [both, both, 20.0], rtol=1e-5)
    measures = {measure.name: float(measure.read(ended.state)) for measure in env.measures()}
    mean = (2 * both + 20) / 3
    expected = {"travel_seconds": mean, "arrived": 0.0, "score": (40 - mean) / 20}
    assert measures == pytest.approx(expected, rel=1e-5)


def test_the_horizon_is_the_window_and_six_times_the_longest_trip_in_steps():
    # (10 + 6 x 20) / 5.
    assert make((S, T, 0)).array_env.spec.horizon == 26
    assert make((S, T, 0), window=1e5).horizon == road.MAX_HORIZON


def test_on_the_free_flow_routes_the_score_is_nought():
    network = shipped.load("berlin_adlershof")
    fleet = fleets.read_shipped("berlin_adlershof")["hub3_n16_s2"]
    seconds = fleets.known_references(network, fleet)
    env = road.make(network, fleet, seconds=seconds)
    ends = zip(fleet.origin.tolist(), fleet.destination.tolist(), strict=True)
    ended = drive(env, *(paths.shortest_routes(network, *pair, 1)[0] for pair in ends))
    # Shipped as 214.35, and 104.25 for the best plan.
    assert env.travel_seconds(ended.state).mean() == pytest.approx(214.35, abs=0.01)
    score = next(measure for measure in env.measures() if measure.name == "score")
    assert score.read(ended.state) == pytest.approx(0.0, abs=1e-3)
    returns = ended.reward.sum(0) * np.asarray(ended.state.free_time)
    assert returns.mean() == pytest.approx(-214.35, abs=0.01)


# -------------------------------------------------------------------------------------- starts


def test_training_shifts_departures_and_scores_do_not():
    env = make((S, T, 0), (S, T, 5), (S, T, 60), departure_jitter=2)
    keys = jax.random.split(KEY, 200)
    departure = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[0].departure))(keys))
    assert [sorted(set(column)) for column in departure.T.tolist()] == [
        [0, 1, 2], [0, 1, 2, 3], [10, 11, 12, 13, 14],
    ]  # fmt: skip
    first, seen = jax.jit(env.scored_reset)(KEY)
    np.testing.assert_array_equal(first.departure, [0, 1, 12])
    assert not seen.reward.any() and not seen.over
    assert env.array_env.scored_starts == 1 and env.array_env.scored_episodes(9) == 1
    still = make((S, T, 0), (S, T, 5), (S, T, 60), departure_jitter=0)
    np.testing.assert_array_equal(jax.jit(still.reset)(KEY)[0].departure, [0, 1, 12])


def test_sampled_trips_follow_the_demand():
    env = make(*[(S, T, 0.0)] * 8, trips="sampled", window=20.0)
    state = jax.jit(jax.vmap(lambda key: env.reset(key)[0]))(jax.random.split(KEY, 400))
    origin = np.asarray(state.traffic.place) - len(LINKS)
    destination = np.asarray(env.tables.zones)[np.asarray(state.zone)]
    pairs = [(S, T), (A, T), (S, B)]
    count = [int(((origin == start) & (destination == end)).sum()) for start, end in pairs]
    expected = 3200 * np.array([30, 10, 20]) / 60
    assert sum(count) == 3200
    # Chi-squared with two degrees of freedom is above 13.8 once in a thousand draws.
    assert (np.square(count - expected) / expected).sum() < 13.8
    np.testing.assert_array_equal(np.unique(state.departure), np.arange(5))
    np.testing.assert_allclose(np.unique(state.free_time), [10.0, 15.0, 20.0])
    assert env.array_env.scored_reset is None and env.array_env.scored_starts is None


# -------------------------------------------------------------------------------- observations


def test_nobody_sees_where_another_wants_to_go():
    env = make((S, T, 0), (S, T, 0), (S, B, 0), platoon=HEAVY, info="network")
    step = jax.jit(env.step)
    state, _ = jax.jit(env.scored_reset)(KEY)
    state, _ = step(KEY, state, jnp.array([0, 1, 1]))  # the others are on s>b
    elsewhere = state._replace(zone=state.zone.at[1].set(state.zone[2]))
    usual, other = (step(KEY, now, jnp.array([0, 0, 0]))[1] for now in (state, elsewhere))
    seen, perturbed = np.asarray(usual.observation), np.asarray(other.observation)
    np.testing.assert_array_equal(seen[[0, 2]], perturbed[[0, 2]])
    assert (seen[1] != perturbed[1]).any()
    np.testing.assert_array_equal(usual.global_state, other.global_state)


def test_an_observation_by_hand():
    env = make((S, T, 0), (A, T, 0), (A, T, 0), platoon=HEAVY, info="network", horizon=20)
    state, _ = jax.jit(env.scored_reset)(KEY)
    # Both from a: a>t at x = 2. From s by a: 5 of 11.5 s.
    state, after = jax.jit(env.step)(KEY, state, jnp.array([0, 0, 0]))
    own, slots = np.split(np.asarray(after.observation[0]), [road_observation.OWN_FEATURES])
    left = 10 - 5 / 1.15 + 10
    scale = (20 + 10 + 10) / 3
    # Time, time left, to go; not at a node; at a and to t on the map from -1 to 1; departed.
    np.testing.assert_allclose(
        own, [0.05, 0.95, left / scale, 0, 0, 1, 1, 0, 1, 0], rtol=1e-5, atol=1e-6
    )
    slots, everywhere = np.split(slots, [3 * road_observation.SLOT_FEATURES])
    slots = slots.reshape(3, -1)
    mean_link = np.mean([seconds for *_, seconds in LINKS])
    # Of a>t: possible, seconds, best, x = 2, speed 1 / 3.4, capacity, nobody beyond (t>s).
    expected = [1, 10 / mean_link, 0, 2, 1 / 3.4, 1, 0]
    np.testing.assert_allclose(slots[0], expected, rtol=1e-5)
    assert not slots[1:].any(), "neither the way back nor the forbidden turn"
    x = np.zeros(len(LINKS))
    x[SA], x[AT] = 1, 2
    np.testing.assert_allclose(everywhere, x, rtol=1e-5)


@pytest.mark.parametrize("congestion", ["bpr", "queue"])
def test_at_random_in_a_city_all_is_finite_legal_and_compiled_once(congestion):
    network = shipped.load("berlin_adlershof")
    fleet = fleets.make(network, "table", 24, demand=24 * 12.0, window=30.0)
    settings = RoadSettings(congestion=congestion, info="network")
    env = road.make(network, fleet, settings).array_env
    width, links = network.out_degree, network.num_links
    assert env.spec.observation_sizes == (10 + 7 * width + links,) * 24
    traces = []

    def step(key: Any, state: Any, seen: Any) -> Any:
        traces.append(key)
        action = jax.random.categorical(key, jnp.where(seen.action_mask, 0.0, -jnp.inf))
        return env.step(key, state, action)

    step = jax.jit(step)
    state, seen = jax.jit(env.reset)(KEY)
    forbidden = {tuple(turn) for turn in network.forbidden.tolist()}
    turns = paths.next_links(network)
    came_from = np.full(24, -1)
    decisions = 0
    for index in range(60):
        observation = np.asarray(seen.observation)
        assert np.isfinite(observation).all() and np.isfinite(seen.reward).all()
        own, slots, _ = np.split(observation, [10, 10 + 7 * width], axis=1)
        clip = road_observation.CLIP
        assert (own[:, :2] >= 0).all() and (own[:, :2] <= 1).all()
        assert (own[:, 2] >= 0).all() and (own[:, 2] <= clip).all()
        assert (abs(own[:, 4:8]) <= 1).all() and (own[:, 9] >= 0).all()
        assert (slots >= 0).all() and (slots <= clip).all()
        state, seen = step(jax.random.key(index), state, seen)
        place = np.asarray(state.traffic.place)
        for i in np.flatnonzero((place != came_from) & (place < links)):
            before, after = came_from[i], place[i]
            came_from[i] = after
            decisions += 1
            if before >= 0:
                assert after in turns[before] and (before, after) not in forbidden
                # Back only where there is no other way.
                back = network.head[after] == network.tail[before]
                assert not back or (turns[before] >= 0).sum() == 1
    assert decisions > 60 and len(traces) == 1


def test_queues_serve_one_after_another():
    # w / c = 10 s between two exits of a link: s>a is left at 10 and 20 s, a>t at 20 and 30 s.
    env = make((S, T, 0), (S, T, 0), platoon=HEAVY, congestion="queue")
    ended = drive(env, BY_A, BY_A)
    np.testing.assert_allclose(env.travel_seconds(ended.state), [20.0, 30.0], atol=1e-4)
    np.testing.assert_allclose(ended.reward.sum(0), [-1.0, -1.5], atol=1e-5)


@pytest.mark.usefixtures("strict_promotion")
@pytest.mark.parametrize(
    "settings",
    [
        {"reward": "mix", "arrival_bonus": 1.0},
        {"reward": "tolled", "info": "network"},
        {"congestion": "queue"},
        {"trips": "sampled"},
    ],
)
def test_no_dtypes_and_ranks_are_promoted_silently(settings):
    env = make((S, T, 0), (A, T, 0), seconds=KNOWN, **settings)
    state, first = jax.eval_shape(env.reset, KEY)
    after, seen = jax.eval_shape(env.step, KEY, state, jnp.zeros(2, int))
    assert jax.tree.map(jnp.shape, (state, first)) == jax.tree.map(jnp.shape, (after, seen))
    for measure in env.measures():
        assert jax.eval_shape(measure.read, state).shape == ()


def operations(jaxpr: Any) -> int:
    """Of a program, those of the programs inside it included."""
    inner = [value for e in jaxpr.eqns for value in e.params.values() if hasattr(value, "jaxpr")]
    return len(jaxpr.eqns) + sum(operations(value.jaxpr) for value in inner)


def test_the_program_does_not_grow_with_the_number_of_vehicles():
    sizes = []
    for count in (8, 64):
        env = make(*[(S, T, 0.0)] * count, reward="tolled")
        state, _ = jax.eval_shape(env.scored_reset, KEY)
        program = jax.make_jaxpr(env.step)(KEY, state, np.zeros(count, np.int32))
        sizes.append(operations(program.jaxpr))
    assert sizes[0] == sizes[1] > 50


# ---------------------------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"team_share": 1.5}, r"team_share must be in \[0, 1\], got 1.5"),
        ({"arrival_bonus": float("inf")}, "arrival_bonus must be finite, got inf"),
        ({"departure_jitter": -1}, "departure_jitter must be at least 0, got -1"),
        ({"horizon": 0}, "horizon must be positive, got 0"),
        ({"reward": "tolled", "congestion": "queue"}, "'tolled' needs congestion='bpr'"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        RoadSettings(**settings)


def test_a_fleet_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="vehicle 1: destination must be a node of"):
        make((S, T, 0), (S, 9, 0))
    nobody = network().replace(demand=Demand(np.zeros(0, int), np.zeros(0, int), np.zeros(0)))
    fleet = make((S, T, 0)).fleet
    with pytest.raises(ValueError, match="network small has no demand"):
        road.make(nobody, fleet, RoadSettings(trips="sampled"))
    with pytest.raises(ValueError, match="kind must be table"):
        road.make(network(), fleet, RoadSettings(trips="sampled"), kind="all")
    with pytest.raises(ValueError, match="fleet hand: vehicle 0 cannot reach its destination"):
        shut = network().replace(forbidden=np.array([[SA, AT], [SA, AB], [SB, BT]]))
        road.make(shut, dataclasses.replace(fleet, name="hand"))
