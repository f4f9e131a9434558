"""The recorded answers for road networks: they replay, and are as good as the docs say."""

import pytest

from leed_jax import scenarios
from leed_jax.generation import generate_plans, records, transcripts
from leed_jax.road import fleets, shipped

# Score of the best round, (ff - seconds) / (ff - so), as the documentation quotes it.
BERLIN = {
    (16, 0): 0.979,
    (16, 1): 0.992,
    (16, 2): 0.991,
    (32, 0): 0.990,
    (32, 1): 0.976,
    (32, 2): 0.955,
    (64, 0): 0.998,
    (64, 1): 0.977,
    (64, 2): 0.996,
}
OW = ((8, 0), (16, 0))
# Seconds per vehicle; asked once.
LARGE = {(128, 0): 175.0, (512, 0): 230.6}
SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in BERLIN if case != (16, 0)]


def test_every_shipped_file_is_listed_here():
    for name, cases in (("road/berlin_adlershof", [*BERLIN, *LARGE]), ("road/ow", OW)):
        files = [file.name for file in transcripts.shipped(name).iterdir()]
        assert len(files) == len(cases)
        for count, seed in cases:
            assert any(f"num_agents-{count}_seed-{seed}_" in file for file in files)


@pytest.mark.parametrize(("num_agents", "seed"), [(16, 0), *SLOW])
def test_answers_for_berlin_replay_without_drift_and_are_as_good_as_promised(num_agents, seed):
    scenario = scenarios.make("road/berlin_adlershof", num_agents=num_agents, seed=seed)
    generated = generate_plans(scenario)
    assert len(generated.rounds) == 2 and generated.ended == ()
    assert all(played.rejection is None for played in generated.rounds)
    network = shipped.load("berlin_adlershof")
    fleet = fleets.read_shipped(network.name)[f"hub3_n{num_agents}_s{seed}"]
    known = fleets.known_references(network, fleet)
    assert known is not None
    score = (known["ff"] + generated.team_return) / (known["ff"] - known["so"])
    assert score == pytest.approx(BERLIN[num_agents, seed], abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("num_agents", "seed"), LARGE)
def test_answers_for_large_fleets_replay_without_drift(num_agents, seed):
    scenario = scenarios.make("road/berlin_adlershof", num_agents=num_agents, seed=seed)
    generated = generate_plans(scenario)
    assert [played.rejection for played in generated.rounds] == [None]
    assert -generated.team_return == pytest.approx(LARGE[num_agents, seed], rel=0.005)


@pytest.mark.parametrize(
    ("num_agents", "seed"), [OW[0], pytest.param(*OW[1], marks=pytest.mark.slow)]
)
def test_answers_for_ow_replay_and_beat_the_fastest_routes(num_agents, seed):
    scenario = scenarios.make("road/ow", num_agents=num_agents, seed=seed)
    generated = generate_plans(scenario)
    assert all(played.rejection is None for played in generated.rounds)
    everybody_first = {8: 2404, 16: 2823}[num_agents]
    assert -generated.team_return < everybody_first


def test_the_same_answers_serve_another_reward_and_horizon():
    options = {"reward": "team", "departure_jitter": 0, "horizon": 150}
    own = scenarios.make("road/berlin_adlershof")
    other = scenarios.make("road/berlin_adlershof", **options)
    assert records.specification(own, "relational", "learnable") == records.specification(
        other, "relational", "learnable"
    )
