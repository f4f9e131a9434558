"""Routes in SUMO: files and errors without it, and a few cars through Berlin where it is there."""

import importlib.util
import json
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from experiments import sumo_check
from leed_jax.road import fleets, shipped, sumo, sumo_compare
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import Demand, RoadNetwork

needs_sumo = pytest.mark.skipif(
    importlib.util.find_spec("sumo") is None, reason='needs pip install "leed_jax[road]"'
)


def fleet(origin=(0, 0), destination=(2, 2), departure=(10.0, 5.0), platoon=2.0, kappa=1.0):
    return Fleet(
        name="pair",
        origin=np.array(origin),
        destination=np.array(destination),
        departure=np.array(departure),
        platoon=platoon,
        window=60.0,
        kappa=kappa,
    )


@pytest.fixture
def triangle():
    """Links 0: a>b, 1: b>c, 2: a>c, 3: c>a, the first of two SUMO edges."""
    none = np.zeros(0, np.int64)
    return RoadNetwork(
        name="triangle",
        nodes=("a", "b", "c"),
        position=np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]),
        tail=np.array([0, 1, 0, 2]),
        head=np.array([1, 2, 2, 0]),
        free_flow_time=np.full(4, 10.0),
        capacity=np.full(4, 900.0),
        coefficient=np.full(4, 0.15),
        demand=Demand(none, none, np.zeros(0)),
        sumo_edges=(("5", "-6#1"), ("7",), ("8",), ("9",)),
    )


@pytest.fixture(scope="module")
def berlin():
    return shipped.load("berlin_adlershof")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary folders go in this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def stand_in(monkeypatch, folder: Path, script: str) -> Path:
    """A program in SUMO's place; returns a net file for it."""
    program = folder / "bin" / "sumo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sumo, "_program", lambda: program)
    net = folder / "net.xml"
    net.write_text("<net/>")
    return net


# ------------------------------------------------------------------------------------- files


def test_routes_are_written_in_the_order_of_departure_with_the_edges_of_every_link(
    tmp_path, triangle
):
    path = tmp_path / "routes.xml"
    sumo.write_routes(path, triangle, fleet(), [(0, 1), (2,)], 2)
    names = ("id", "edges", "depart")
    rows = ET.parse(path).getroot()
    found = [(row.tag, *(row.get(name) for name in names)) for row in rows]
    assert found == [
        ("route", "vehicle_1", "8", None),
        ("vehicle", "vehicle_1.0", None, "5.00"),
        ("vehicle", "vehicle_1.1", None, "5.00"),
        ("route", "vehicle_0", "5 -6#1 7", None),
        ("vehicle", "vehicle_0.0", None, "10.00"),
        ("vehicle", "vehicle_0.1", None, "10.00"),
    ]


TRIPS = """<tripinfos>
    <tripinfo id="vehicle_1.0" arrival="35.00" duration="30.00" departDelay="0.00"/>
    <tripinfo id="vehicle_1.1" arrival="42.00" duration="33.00" departDelay="4.00"/>
    <tripinfo id="vehicle_0.0" arrival="-1.00" duration="80.00" departDelay="10.00"/>
</tripinfos>"""


def test_cars_that_did_not_arrive_or_never_entered_are_counted_until_the_end(tmp_path):
    path = tmp_path / "trips.xml"
    path.write_text(TRIPS)
    # Platoon 0 departs at 10: one car is under way at 100, one never entered, 90 s both.
    # Platoon 1: 30 s, and 33 s behind a wait of 4 s.
    seconds, not_arrived, not_entered = sumo.read_trips(path, fleet(), 2, 100.0)
    np.testing.assert_array_equal(seconds, [90.0, 33.5])
    assert (not_arrived, not_entered) == (2, 1)


def test_every_seed_is_one_run_and_nothing_is_left_behind(
    tmp_path, monkeypatch, triangle, temporary
):
    statistics = '<statistics><teleports total="3" jam="3"/></statistics>'
    net = stand_in(
        monkeypatch,
        tmp_path,
        f"echo \"$@\" >> {tmp_path}/asked\necho '{TRIPS}' > trips.xml\n"
        f"echo '{statistics}' > statistics.xml",
    )
    found = sumo.drive(triangle, fleet(), [(0, 1), (2,)], seeds=(4, 7), net_file=net, end=100.0)
    assert (found.seeds, found.cars) == ((4, 7), 2)
    np.testing.assert_array_equal(found.seconds, [[90.0, 33.5], [90.0, 33.5]])
    np.testing.assert_array_equal(found.mean_seconds, [61.75, 61.75])
    assert found.not_arrived.tolist() == [2, 2]
    assert found.not_entered.tolist() == [1, 1]
    assert found.teleports.tolist() == [3, 3]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split("--seed=")[1].split()[0] for line in asked] == ["4", "7"]
    assert list(temporary.iterdir()) == []


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo \"Error: Vehicle 'vehicle_0.0' has no valid route. No connection between edge "
            "'-6#1' and edge '7'.\" >&2; exit 1",
            r"^vehicle 0: link 1 \(b>c\): SUMO ended with status 1: Error: Vehicle",
        ),
        (
            "echo \"Error: The edge '8' within the route 'vehicle_1' is not known.\" >&2; exit 1",
            r"^vehicle 1: link 2 \(a>c\): SUMO ended with status 1: Error: The edge",
        ),
        ("echo no memory >&2; exit 137", "^SUMO ended with status 137: no memory$"),
        ("sleep 5", "^SUMO took more than 0.2 s$"),
    ],
)
def test_failures_of_sumo_carry_its_message_and_leave_nothing_behind(
    tmp_path, monkeypatch, triangle, temporary, script, message
):
    net = stand_in(monkeypatch, tmp_path, f"exec {script}" if "sleep" in script else script)
    with pytest.raises(sumo.SumoError, match=message):
        sumo.drive(
            triangle,
            fleet(),
            [(0, 1), (2,)],
            net_file=net,
            timeout=0.2 if "sleep" in script else 60.0,
        )
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        ([(0, 1)], "routes must be 2"),
        ([(0, 1), (1,)], r"vehicle 1: link 1 must not follow here; allowed at node a: \[0, 2\]"),
        ([(0, 1), (-1,)], "vehicle 1: link -1 must not follow"),
        ([(0,), (2,)], r"vehicle 0: its route ends with link 0 \(a>b\), not at node c"),
        ([(), (2,)], "vehicle 0: its route ends with no link, not at node c"),
        ([(2, 3, 2), (2,)], "vehicle 0: its route goes on to link 3 from the destination"),
    ],
)
def test_routes_that_do_not_serve_the_fleet_are_refused(triangle, routes, message):
    with pytest.raises(ValueError, match=message):
        sumo.check_routes(triangle, fleet(), routes)


def test_forbidden_turns_are_refused(triangle):
    network = triangle.replace(forbidden=np.array([[0, 1]]))
    with pytest.raises(ValueError, match="vehicle 0: link 1 must not follow here"):
        sumo.check_routes(network, fleet(), [(0, 1), (2,)])


def test_arguments_that_cannot_be_are_refused(triangle):
    routes = [(2,), (2,)]
    with pytest.raises(ValueError, match="seeds must be one or more"):
        sumo.drive(triangle, fleet(), routes, seeds=())
    with pytest.raises(ValueError, match=r"end must come after the last departure, 10 s, got 10"):
        sumo.drive(triangle, fleet(), routes, end=10.0)
    with pytest.raises(ValueError, match="vehicles_per_platoon must be at least 1, got 0"):
        sumo.drive(triangle, fleet(), routes, vehicles_per_platoon=0)
    with pytest.raises(ValueError, match="triangle was not made from a SUMO net"):
        sumo.drive(triangle.replace(sumo_edges=()), fleet(), routes)
    with pytest.raises(ValueError, match="no plan may be called free_flow"):
        sumo_compare.compare(triangle, fleet(), {"free_flow": routes})


def test_without_sumo_the_error_says_what_to_install(monkeypatch, triangle):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "leed_jax\[road\]"'):
        sumo.drive(triangle, fleet(), [(2,), (2,)])


def test_a_net_must_be_given_or_be_the_one_the_network_was_made_from(
    tmp_path, monkeypatch, triangle
):
    stand_in(monkeypatch, tmp_path, "exit 0")
    with pytest.raises(ValueError, match="net_file must be given, except for berlin_adlershof"):
        sumo.drive(triangle, fleet(), [(2,), (2,)])
    berlin = triangle.replace(name="berlin_adlershof")
    with pytest.raises(ValueError, match=r"sha256 must be dcc30bd0.*, got no such file"):
        sumo.drive(berlin, fleet(), [(2,), (2,)])
    net = tmp_path / sumo.NETS["berlin_adlershof"][0]
    net.parent.mkdir(parents=True)
    net.write_text("<net/>")
    with pytest.raises(ValueError, match="is not the SUMO net that berlin_adlershof was made from"):
        sumo.drive(berlin, fleet(), [(2,), (2,)])


def test_only_platoon_over_kappa_matters_to_the_model_and_cars_follow_from_it():
    assert sumo.cars_per_platoon(fleet(platoon=4.0)) == 8
    assert sumo.cars_per_platoon(fleet(platoon=8.0, kappa=2.0)) == 8
    assert sumo.cars_per_platoon(fleet(platoon=4.0), 1.0) == 4
    with pytest.raises(ValueError, match="at least half a car"):
        sumo.cars_per_platoon(fleet(platoon=0.2))


# --------------------------------------------------------------------------------- the command


def row(fleet_name, plan, ratios):
    return sumo_compare.Comparison(
        fleet_name, plan, 8, {1.0: 9.0, 2.0: 7.0}, (5.0,), (0,), (0,), ratios
    )


def test_the_summary_is_the_mean_over_fleets_and_names_the_worst():
    rows = [
        row("f0", "free_flow", (1.0, 1.0)),
        row("f0", "so", (0.7, 0.9)),
        row("f1", "free_flow", (1.0, 1.0)),
        row("f1", "so", (1.1, 1.1)),
        row("f1", "ue", (0.5, 0.5)),
    ]
    found = sumo_check.summarise(rows)
    assert found["so"]["ratio"] == pytest.approx(0.95)
    assert (found["so"]["low"], found["so"]["high"]) == pytest.approx((0.8, 1.1))
    assert (found["so"]["worst_fleet"], found["so"]["fleets"]) == ("f1", 2)
    assert "so: 0.950 of free flow in SUMO (mean of 2 fleets" in sumo_check.words(found)
    assert found["ue"]["worst_ratio"] == 0.5
    assert sumo_check.table(rows).row_count == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "plans.json: not JSON"),
        ("[]", "plans.json: must be"),
        ('{"f": [[1]]}', "plans.json: f: must be"),
        ('{"f": {"so": [1, 2]}}', "plans.json: f: so: must be one list of links per vehicle"),
        ('{"f": {"so": [[1, 2.0]]}}', "plans.json: f: so: must be one list of links per vehicle"),
    ],
)
def test_files_of_plans_are_checked(tmp_path, text, message):
    path = tmp_path / "plans.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        sumo_check.read_plans(path)


def test_the_command_names_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        sumo_check.main(["--fleets", "hub9"])
    assert "no fleet 'hub9'; shipped: hub3_n16_s0" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ in SUMO


def first_two(network: RoadNetwork) -> tuple[Fleet, list[tuple[int, ...]]]:
    """The first two vehicles of a shipped fleet, on free-flow routes."""
    whole = fleets.read_shipped(network.name)["hub3_n16_s0"]
    pair = fleet(whole.origin[:2], whole.destination[:2], (0.0, 10.0), platoon=4.0)
    return pair, sumo_compare.free_flow_routes(network, pair)


@needs_sumo
def test_two_platoons_in_berlin_take_plausible_times_the_same_for_the_same_seed(berlin):
    pair, routes = first_two(berlin)
    found = sumo.drive(berlin, pair, routes, seeds=(0, 1, 0), end=600.0)
    assert found.cars == 4
    assert not found.not_arrived.any() and not found.teleports.any()
    np.testing.assert_array_equal(found.seconds[0], found.seconds[2])
    assert (found.seconds[0] != found.seconds[1]).any()
    # The model's free-flow time holds a delay at every signal, at the last one, too.
    empty = np.array([berlin.free_flow_time[list(route)].sum() for route in routes])
    assert (found.seconds > 0.5 * empty).all() and (found.seconds < 3 * empty).all()


@needs_sumo
def test_two_platoons_do_not_get_through_berlin_in_eleven_seconds(berlin):
    pair, routes = first_two(berlin)
    found = sumo.drive(berlin, pair, routes, seeds=(0,), end=11.0)
    np.testing.assert_array_equal(found.seconds, [[11.0, 1.0]])
    assert found.not_arrived.tolist() == [8]
    assert 0 < found.not_entered[0] < 8


@needs_sumo
def test_sumo_itself_refuses_edges_that_do_not_meet_and_the_error_names_the_link(berlin):
    pair, routes = first_two(berlin)
    edges = list(berlin.sumo_edges)
    second, other = routes[0][1], routes[0][-1]
    edges[second] = edges[other]
    wrong = berlin.replace(sumo_edges=tuple(edges))
    with pytest.raises(sumo.SumoError, match=rf"^vehicle 0: link {second} .*No connection between"):
        sumo.drive(wrong, pair, routes, seeds=(0,))


@needs_sumo
def test_the_command_compares_model_and_sumo(tmp_path, monkeypatch, berlin, capsys):
    pair, routes = first_two(berlin)
    monkeypatch.setattr(fleets, "read_shipped", lambda name: {"pair": pair})
    plans, result = tmp_path / "plans.json", tmp_path / "result.json"
    plans.write_text(json.dumps({"pair": {"same": routes}}))
    sumo_check.main(
        [
            *("--fleets", "pair", "--routes", str(plans), "--seeds", "1"),
            *("--end", "600", "--json", str(result)),
        ]
    )
    assert "same: 1.000 of free flow in SUMO (mean of 1 fleets" in capsys.readouterr().out
    found = json.loads(result.read_text())
    free, same = found["rows"]
    assert (free["plan"], same["plan"], same["cars"]) == ("free_flow", "same", 8)
    assert same["sumo_seconds"] == free["sumo_seconds"] and same["ratios"] == [1.0]
    # Eight cars at kappa 2 are the task's platoons of 4; at kappa 1 they are in each other's way.
    assert same["model_seconds"]["2.0"] < same["model_seconds"]["1.0"]
    assert found["summary"]["same"]["ratio"] == 1.0
