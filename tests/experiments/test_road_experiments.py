"""Speed, scaling, routes and loads of road scenarios, on the smallest networks there are."""

import io
import json
from typing import Any

import jax
import numpy as np
import pytest
import rich.console
from PIL import Image

import leed_jax as leed
from experiments import road_loads, road_routes, road_scaling, road_speed, sumo_check
from leed_jax import checkpoint, execution
from leed_jax.environments import road as environment
from leed_jax.environments.road_settings import RoadSettings
from leed_jax.optimization import networks
from leed_jax.road import fleets, routes, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

OPTIONS = {"num_agents": 3, "demand": 12.0, "window": 60.0}


def words(table, width=200):
    written = io.StringIO()
    rich.console.Console(width=width, file=written).print(table)
    return " ".join(written.getvalue().split())


@pytest.fixture(scope="module")
def scenario():
    return leed.make("road/ow", **OPTIONS)


@pytest.fixture(scope="module")
def env(scenario):
    return road_routes.environment_of(scenario.options, scenario.name)


def follow(number, agents):
    told = leed.AgentPlan((leed.Instruction("FollowRoute", {"route": number}),))
    return dict.fromkeys(agents, told)


@pytest.fixture(scope="module")
def plan(scenario):
    return follow(2, scenario.env.spec.agents)


@pytest.fixture(scope="module")
def policy(scenario, plan):
    return execution.as_policy(execution.make_expert(scenario, plan))


# ------------------------------------------------------------------------------ routes


def test_the_environment_of_a_scenario_is_rebuilt_from_its_options(scenario, env):
    assert env.array_env.spec == scenario.env.spec
    assert env.fleet.demand == 12.0
    with pytest.raises(ValueError, match="road/<network>, got 'mpe/simple_spread'"):
        road_routes.environment_of({}, "mpe/simple_spread")


def test_driven_routes_are_those_that_the_plan_names(env, policy):
    listed = routes.choices(env.network, env.fleet).of(env.fleet)
    wanted = [choice[min(1, len(choice) - 1)] for choice in listed]
    assert road_routes.driven_routes(env, policy) == wanted


def test_a_route_cut_off_by_the_time_limit_goes_on_the_fastest_way(env, policy):
    whole = road_routes.driven_routes(env, policy)
    settings = RoadSettings(horizon=1)
    short = environment.make(env.network, env.fleet, settings)
    for vehicle, route in enumerate(road_routes.driven_routes(short, policy)):
        assert env.network.tail[route[0]] == env.fleet.origin[vehicle]
        assert env.network.head[route[-1]] == env.fleet.destination[vehicle]
        assert (env.network.head[list(route[:-1])] == env.network.tail[list(route[1:])]).all()
        # Departures are spread over a minute, a step of this network: who is late decides nothing.
        if env.fleet.departure[vehicle] == 0:
            assert route[0] == whole[vehicle][0]


@pytest.fixture(scope="module")
def results(scenario, plan, tmp_path_factory):
    """A results folder with the files that routes are read from; its team is not trained."""
    folder = tmp_path_factory.mktemp("results")
    spec, config = scenario.env.spec, leed.TrainConfig()
    keys = jax.random.split(jax.random.key(0), 2)
    line: dict[str, Any] = {"env_steps": 0, "updates": 0, "seconds": 0.0, "success": {}}
    line["agent_return"] = [0.0] * spec.num_agents
    team = leed.TrainResult(
        method="ippo",
        config=config,
        spec=spec,
        seeds=(0, 1),
        params={"actor": jax.jit(jax.vmap(networks.make_actor(config.network, spec).init))(keys)},
        history=[line | {"seed": seed, "team_return": seed} for seed in (0, 1)],
        env_steps=0,
        train_seconds=1.0,
        compile_seconds=1.0,
        peak_memory_mb=1.0,
        diverged={},
    )
    checkpoint.save_result(team, folder / "run" / "checkpoints" / "ippo")
    told = {"scenario": {"name": scenario.name, "options": scenario.options}}
    (folder / "run" / "summary.json").write_text(json.dumps(told))
    leed.demonstrate(scenario, plan, num_episodes=1).save(folder / "run" / "demonstrations.npz")
    return folder


def test_the_routes_of_a_run_are_written_as_the_check_in_sumo_reads_them(
    results, env, policy, tmp_path
):
    path = tmp_path / "routes.json"
    arguments = ["--name", "run", "--results", str(results), "--methods", "ippo", "plan"]
    road_routes.main([*arguments, "--references", "ff", "--json", str(path)])
    found = sumo_check.read_plans(path)
    assert set(found) == {env.fleet.name}
    assert set(found[env.fleet.name]) == {"ippo", "plan", "ff"}
    driven = [list(route) for route in road_routes.driven_routes(env, policy)]
    assert found[env.fleet.name]["plan"] == driven
    for route, goal in zip(found[env.fleet.name]["ippo"], env.fleet.destination, strict=True):
        assert env.network.head[route[-1]] == goal


def test_what_is_not_there_is_said(results, tmp_path, capsys):
    for name, method in (("none", "ippo"), ("run", "leed")):
        given = ["--name", name, "--results", str(results), "--methods", method]
        with pytest.raises(SystemExit):
            road_routes.main([*given, "--json", str(tmp_path / "routes.json")])
        told = capsys.readouterr().err
        assert "No such file" in told or f"no file {results / name}" in told
    given = ["--name", "run", "run", "--results", str(results), "--methods", "plan"]
    with pytest.raises(SystemExit):
        road_routes.main([*given, "--json", str(tmp_path / "routes.json")])
    assert "two runs have the fleet" in capsys.readouterr().err


# ------------------------------------------------------------------------------ loads


@pytest.fixture(scope="module")
def chain():
    """Two links in a row of 10 s each at 3,600 cars an hour, and two cars that leave together."""
    network = RoadNetwork(
        name="chain",
        nodes=("a", "b", "c"),
        position=np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]),
        tail=np.array([0, 1]),
        head=np.array([1, 2]),
        free_flow_time=np.array([10.0, 10.0]),
        capacity=np.array([3600.0, 3600.0]),
        coefficient=np.array([0.0, 0.0]),
        demand=Demand(np.array([0]), np.array([2]), np.array([1.0])),
        geographic=False,
    )
    fleet = Fleet("both", np.array([0, 0]), np.array([2, 2]), np.zeros(2), 1.0, 0.0)
    return environment.make(network, fleet, seconds={"ff": 30.0, "so": 10.0})


def test_loads_worked_by_hand(chain):
    load = road_loads.of_routes(chain, {"all": [(0, 1), (0, 1)]})["all"]
    # Nothing slows them down: 20 s each, half way between 30 and 10.
    assert (load.seconds, load.score) == (20.0, 0.5)
    # Ten cars are on a link at capacity (one a second for 10 s); at most two are.
    np.testing.assert_allclose(load.peak_occupancy, [0.2, 0.2])
    np.testing.assert_allclose(load.vehicle_seconds, [20.0, 20.0])


def test_who_does_not_arrive_has_no_mean(chain):
    loads = road_loads.of_routes(chain, {"lost": [(0, 1), (0,)]})
    assert np.isinf(loads["lost"].seconds)
    assert road_loads.as_json(chain, loads)["plans"]["lost"]["mean_seconds"] is None
    assert "not all arrive" in road_loads.figure(chain, loads).axes[0].get_title()


def test_maps_share_one_scale_and_name_seconds_and_score(chain):
    plans = {"ff": [(0, 1), (0, 1)], "leed": [(0, 1), (0, 1)]}
    drawn = road_loads.figure(chain, road_loads.of_routes(chain, plans), "vehicle_seconds")
    titles = [axes.get_title() for axes in drawn.axes[:2]]
    assert titles == ["free flow\n20.0 s, score 0.50", "LEED\n20.0 s, score 0.50"]
    scales = {axes.collections[1].get_clim() for axes in drawn.axes[:2]}
    assert len(scales) == 1
    assert scales.pop()[1] == pytest.approx(20.0)


def test_the_command_draws_a_fleet_that_is_shipped(tmp_path):
    fleet = fleets.read_shipped("berlin_adlershof")["hub3_n16_s0"]
    network = shipped.load("berlin_adlershof")
    first = [list(choice[0]) for choice in routes.choices(network, fleet).of(fleet)]
    plans, shown, loads = (tmp_path / name for name in ("plans.json", "maps.png", "loads.json"))
    plans.write_text(json.dumps({fleet.name: {"mine": first}}))
    given = ["--fleet", fleet.name, "--routes", str(plans), "--references", "ff"]
    road_loads.main([*given, "--figure", str(shown), "--json", str(loads)])
    with Image.open(shown) as image:
        assert image.width > image.height
    found = json.loads(loads.read_text())
    assert list(found["plans"]) == ["ff", "mine"]
    assert found["plans"]["ff"]["score"] == pytest.approx(0, abs=0.01)
    assert len(found["links"]) == len(found["plans"]["mine"]["vehicle_seconds"])


def test_wrong_loads_are_refused(tmp_path, capsys):
    plans = tmp_path / "plans.json"
    plans.write_text(json.dumps({"hub3_n16_s0": {"short": [[0]]}}))
    for given, message in (
        (["--fleet", "hub3_n1_s0"], "no fleet 'hub3_n1_s0'"),
        (["--fleet", "hub3_n16_s0", "--routes", str(plans)], "short: must have 16 routes"),
    ):
        with pytest.raises(SystemExit):
            road_loads.main([*given, "--figure", str(tmp_path / "maps.png")])
        assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------ speed


@pytest.mark.slow
def test_speed_is_measured_for_both_parts(monkeypatch):
    monkeypatch.setattr(road_speed, "COMPILATIONS", 1)
    config = road_speed.SpeedConfig(
        "ow", 4, num_envs=(2,), steps=3, repeats=2, small_team=2, kind="table"
    )
    found = road_speed.measure(config)
    assert [row["part"] for row in found["rows"]] == ["traffic only", "full step"]
    for row in found["rows"]:
        assert row["agent_steps_per_second"] == 2 * 4 * 3 / min(row["seconds"])
    times = found["compile"]
    assert times["ratio"] == times["seconds"] / times["small_team_seconds"]
    shown = words(road_speed.table(found))
    assert "impossible one counts as the fastest way on" in shown
    json.dumps(found)


def test_a_timed_program_is_the_environment_itself():
    config = road_speed.SpeedConfig("ow", 4, kind="table")
    env = road_speed.make_environment(config, 4)
    program, _, arguments = road_speed.compiled(env, 2, 3, full=True)
    state, time_step = program(*arguments)
    keys = jax.random.split(arguments[-1], 3)
    wanted = arguments[0]
    step = jax.jit(jax.vmap(env.step, (None, 0, 0)))
    for key in keys:
        action = jax.random.randint(key, (2, 4), 0, env.network.out_degree)
        wanted, seen = step(key, wanted, action)
    np.testing.assert_array_equal(state.traffic.place, wanted.traffic.place)
    np.testing.assert_allclose(time_step.observation, seen.observation, atol=1e-6)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="steps must be at least 1"):
        road_speed.measure(road_speed.SpeedConfig("ow", steps=0))
    with pytest.raises(ValueError, match="num_envs"):
        road_speed.measure(road_speed.SpeedConfig("ow", num_envs=()))


# ------------------------------------------------------------------------------ scaling


def row(num_agents, method, cost, score=None):
    return {
        "num_agents": num_agents,
        "method": method,
        "env_steps_per_second": 1 / cost,
        "agent_steps_per_second": num_agents / cost,
        "arrays_bytes_per_agent": 1000.0,
        "score": score,
        **dict.fromkeys(road_scaling.COSTS, cost),
    }


def test_growth_is_the_exponent_from_one_size_to_the_next():
    rows = [row(8, "leed", 1.0), row(32, "leed", 4.0), row(128, "leed", 8.0)]
    assert road_scaling.growth(rows, "compile_seconds") == pytest.approx([1.0, 0.5])
    assert road_scaling.growth(rows[:1], "compile_seconds") == []


def test_a_measured_row_has_all_costs():
    given = "--network ow --demand 8 --window 60 --horizon 8 --num-envs 2 --rollout-steps 8"
    options = road_scaling._parser().parse_args(
        [*given.split(), "--updates", "1", "--demonstrations", "1"]
    )
    found = road_scaling.measure(options, 2, "bc")
    for cost in road_scaling.COSTS:
        assert found[cost] > 0
    assert found["env_steps_per_second"] == pytest.approx(1 / found["seconds_per_env_step"])
    assert found["agent_steps_per_second"] == pytest.approx(2 * found["env_steps_per_second"])
    assert found["arrays_bytes"]["demonstrations"] > 0
    assert found["score"] is None
    # There are neither references nor answers for it.
    assert road_scaling.score(options, 2, "leed") is None


def test_the_command_measures_every_combination_and_draws_it(tmp_path, monkeypatch, capsys):
    asked = []

    def measured(arguments, num_agents, method):
        asked.append((num_agents, method))
        reached = {"iqm": 0.5, "low": 0.4, "high": 0.6} if num_agents == 8 else None
        return row(num_agents, method, num_agents / 8, reached)

    monkeypatch.setattr(road_scaling, "in_own_process", measured)
    figure, raw = tmp_path / "scaling.png", tmp_path / "scaling.json"
    road_scaling.main(["--num-agents", "8", "16", "--figure", str(figure), "--json", str(raw)])
    assert asked == [(8, "leed"), (8, "ippo"), (16, "leed"), (16, "ippo")]
    found = json.loads(raw.read_text())
    assert found["growth"]["ippo"]["compile_seconds"] == pytest.approx([1.0])
    shown = words(road_scaling.table(found))
    assert "0.50 [0.40, 0.60]" in shown
    assert "timing only" in shown
    with Image.open(figure) as image:
        assert min(image.size) > 300
    capsys.readouterr()


def test_a_process_that_fails_is_named(monkeypatch):
    class Failed:
        returncode = 3

    monkeypatch.setattr(road_scaling.subprocess, "run", lambda *_, **__: Failed)
    with pytest.raises(RuntimeError, match="leed with 8 agents failed: 3"):
        road_scaling.in_own_process([], 8, "leed")
