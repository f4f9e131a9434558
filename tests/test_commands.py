"""The command `leed`: what it prints, where, and with which exit status."""

import json
import sys
import types
from pathlib import Path

import pytest

import leed_jax.road
from leed_jax import cli, commands, compilation
from leed_jax.generation import GenerationError
from leed_jax.road import fetch, shipped
from leed_jax.road.fleets import Fleet
from leed_jax.road.network import RoadNetwork


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Fleet]]:
    """A stand-in for the search: seconds that are round numbers; the second seed never settles."""
    calls: list[tuple[str, Fleet]] = []

    def references(network: RoadNetwork, fleet: Fleet) -> types.SimpleNamespace:
        calls.append((network.name, fleet))
        return types.SimpleNamespace(
            lb=90.0, so=100.0, ue=105.0, nav=120.0, ff=150.0, ue_settled=len(calls) != 2
        )

    module = types.ModuleType("leed_jax.road.references")
    module.references = references  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "leed_jax.road.references", module)
    monkeypatch.setattr(leed_jax.road, "references", module, raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["run", "road"]),
        (["road"], ["list", "fetch", "reference"]),
    ],
)
def test_alone_it_prints_help(arguments, words, capsys):
    assert commands.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: leed")
    assert all(word in printed for word in words)


def test_a_wrong_word_is_answered_with_the_right_ones(capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.main(["road", "fly"])
    assert "'list', 'fetch', 'reference'" in capsys.readouterr().err


# ------------------------------------------------------------------------------ run


@pytest.fixture(autouse=True)
def cached(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Where programs are to be kept; here the settings of the test session stay."""
    folders: list[str | None] = []
    monkeypatch.setattr(compilation, "announce_cache", folders.append)
    return folders


def test_run_keeps_compiled_programs_where_it_is_told(cached, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "run", lambda config: with_summary(tmp_path))
    commands.main(["run"])
    commands.main(["run", "--compilation-cache", "off"])
    assert cached == [None, "off"]


def with_summary(folder: Path) -> Path:
    """A run's folder with what a table needs."""
    method = {"seeds": 2, "team_return": {"iqm": -20.5, "low": -22.0, "high": -19.0}}
    summary = {"scenario": {"name": "toy/line"}, "methods": {"leed": method}}
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_run_passes_the_rest_on(monkeypatch, capsys, tmp_path):
    given = []
    folder = with_summary(tmp_path / "a-run")
    monkeypatch.setattr(cli, "run", lambda config: given.append(config) or folder)
    assert commands.main(["run", "--seeds", "2", "train.num_envs=8"]) == 0
    assert (given[0].seeds, given[0].train.num_envs) == (2, 8)
    said = capsys.readouterr()
    assert said.out == f"{folder}\n"  # for scripts
    assert "LEED" in said.err and "-20.50" in said.err and "[-22.00, -19.00]" in said.err
    assert said.err.endswith(f"python -m experiments.report {folder}\n")


@pytest.mark.parametrize("error", [GenerationError, ValueError, FileExistsError])
def test_a_run_that_cannot_be_is_one_line(error, monkeypatch, capsys):
    def refuse(config: cli.RunConfig) -> Path:
        raise error("first line\nsecond line")

    monkeypatch.setattr(cli, "run", refuse)
    assert commands.main(["run"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"leed: {error.__name__}: first line second line\n"


# ------------------------------------------------------------------------------ road


def test_list_names_all_networks_and_where_they_are(tmp_path, capsys):
    (tmp_path / "EMA").mkdir()
    assert commands.main(["road", "list", "--folder", str(tmp_path)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:5] == ["network", "nodes", "links", "trips/h", "how"]
    found = {row.split()[0]: row.split()[1:] for row in rows}
    assert set(found) == {*shipped.SHIPPED, *fetch.manifest()["networks"]}
    assert found["berlin_adlershof"][:4] == ["70", "202", "6,000", "shipped"]
    assert found["EMA"][:4] == ["74", "258", "65,576", "fetched"]
    assert found["SiouxFalls"][3:5] == ["to", "fetch"]


def test_fetch_tells_the_place_and_the_owners_statement(monkeypatch, tmp_path, capsys):
    calls = []

    def stand_in(*arguments: object) -> Path:
        calls.append(arguments)
        return tmp_path / "SiouxFalls"

    monkeypatch.setattr(fetch, "fetch", stand_in)
    assert commands.main(["road", "fetch", "SiouxFalls", "--folder", str(tmp_path)]) == 0
    assert calls == [("SiouxFalls", tmp_path, None)]
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'SiouxFalls'}\n"
    assert "academic research purposes only" in printed.err
    assert "not considered as a realistic one" in printed.err


def test_fetch_of_an_unknown_network_is_one_line(tmp_path, capsys):
    assert commands.main(["road", "fetch", "Atlantis", "--folder", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("leed: ValueError: no network 'Atlantis' to fetch; there are Si")
    assert printed.err.count("\n") == 1


def test_reference_prints_a_table_and_writes_a_file(asked, tmp_path, capsys):
    file = tmp_path / "folder" / "found.json"
    arguments = ["road", "reference", "berlin_adlershof", "--kind", "hub2", "--num-agents", "4"]
    arguments += ["--demand", "20", "--window", "30", "--kappa", "2", "--seed", "3", "5"]
    assert commands.main([*arguments, "--json", str(file)]) == 0
    fleets = [fleet for _, fleet in asked]
    assert [fleet.name for fleet in fleets] == ["hub2_n4_s3", "hub2_n4_s5"]
    assert (fleets[0].platoon, fleets[0].window, fleets[0].kappa) == (5.0, 30.0, 2.0)
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()[:3]] == [
        ["seed", "lb", "so", "ue", "nav", "ff", "ff/so", "ue/so"],
        ["3", "90.0", "100.0", "105.0", "120.0", "150.0", "1.500", "1.050"],
        ["5", "90.0", "100.0", "105.0*", "120.0", "150.0", "1.500", "1.050"],
    ]
    assert printed.out.splitlines()[3] == "* had not settled: not an equilibrium"
    assert "berlin_adlershof hub2_n4_s5 (2/2)" in printed.err
    first, second = json.loads(file.read_text())
    assert first["mean_seconds"] == {"lb": 90, "so": 100, "ue": 105, "nav": 120, "ff": 150}
    assert (first["seed"], first["ue_settled"], second["ue_settled"]) == (3, True, False)


def test_reference_of_a_folder_of_ones_own(asked, tmp_path, capsys):
    folder = tmp_path / "town"
    folder.mkdir()
    for file in ("nodes.csv", "links.csv", "od.csv"):
        content = (shipped.data_folder("braess") / file).read_text(encoding="utf-8")
        (folder / file).write_text(content)
    assert commands.main(["road", "reference", str(folder), "--kind", "table"]) == 0
    assert asked[0][0] == "town"
    assert "settled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["atlantis"], "no network and no folder 'atlantis'; there are ow, braess"),
        (["berlin_adlerhof"], "did you mean berlin_adlershof?"),
        (["ow", "--kind", "star"], "kind must be table, pairs<k> or hub<k>, got 'star'"),
        (["ow", "--demand", "-1"], "demand must be at least"),
        (["ow", "--kappa", "0"], "kappa must be positive, got 0.0"),
        (["SiouxFalls", "--folder", "{tmp_path}"], "run `leed road fetch SiouxFalls`"),
    ],
)
def test_an_error_of_the_user_is_one_line(asked, arguments, message, tmp_path, capsys):
    given = [argument.format(tmp_path=tmp_path) for argument in arguments]
    assert commands.main(["road", "reference", *given]) == 1
    printed = capsys.readouterr()
    assert message in printed.err.splitlines()[-1]
    assert "Traceback" not in printed.err
    assert asked == []
