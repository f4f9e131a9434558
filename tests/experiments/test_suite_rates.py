"""Seconds side by side: what they make of published cells, and that they can be measured."""

import json

import numpy as np
import pytest
import rich.console
import suite_folders

from experiments import suite_figures, suite_rates, suite_report, suite_results, suites
from experiments import suite_tables as tables
from experiments.suite_rates import Rate

SPREAD, SMAX = suite_folders.TASKS
RATES = {"leed": 0.5, "ippo": 0.25, "bc": 0.001}


def by_hand(rates):
    methods = {name: Rate(each, 1.0)._asdict() for name, each in rates.items()}
    return json.dumps({"tasks": {SPREAD: {"methods": methods}}})


@pytest.fixture
def root(tmp_path):
    suite_folders.paper(tmp_path)
    suite_rates.path(tmp_path, "paper").write_text(by_hand(RATES))
    return tmp_path


def test_seconds_of_cells_are_those_side_by_side(root):
    found = suite_results.load(root, "paper")
    assert {each.task for each in found if each.side_by_side} == {SPREAD}
    first = dict(
        zip(tables.efficiency(found).header, tables.efficiency(found).rows[0], strict=True)
    )
    # LEED is above -52 from 100 steps on, 50 seconds; two answers came before. IPPO takes 400
    # steps of a quarter of a second.
    expected = 2 * suite_results.ANSWER_SECONDS + 50
    assert float(first["LEED's seconds"]) == expected and float(first["its seconds"]) == 100
    assert (
        first["of its seconds"] == f"{expected / 100:.3f}"
        and first["without the model's seconds"] == "0.500"
    )


def test_seconds_per_step_are_a_seed_s_however_they_were_taken(root):
    measured = suite_results.find(suite_results.load(root, "paper"), SPREAD, "leed")
    suite_rates.path(root, "paper").unlink()
    taken = suite_results.find(suite_results.load(root, "paper"), SPREAD, "leed")
    assert measured is not None and taken is not None
    assert suite_figures.rate(measured) == pytest.approx(0.5e6)
    steps = taken.env_steps * len(taken.final)
    assert suite_figures.rate(taken) == pytest.approx(1e6 * taken.train_seconds / steps)


def test_methods_without_steps_are_timed_by_their_updates(root):
    bc = suite_results.find(suite_results.load(root, "paper"), SPREAD, "bc")
    assert bc is not None
    # Of evaluations at the same step the last one counts; behind it are three updates, each of
    # which would have been 64 environments x 128 steps.
    np.testing.assert_allclose(bc.seconds.x, [24.576])


def test_two_stages_are_the_sum_of_what_they_are_made_of():
    rates = {name: Rate(each, 1.0) for name, each in RATES.items()}
    assert suite_rates.spent(rates, "bc_ppo", 100, 1000) == pytest.approx(25 + 1)
    assert suite_rates.spent(rates, "leed", 100, 0) == pytest.approx(50)
    assert suite_rates.spent(rates, "qmix", 100, 0) is None
    assert suite_rates.spent({"ippo": rates["ippo"]}, "bc_ppo", 100, 1000) is None


@pytest.mark.slow
def test_the_page_says_whose_seconds_they_are(root):
    assert "at different times" in suite_report.on_page("", _page(root))
    path = suite_rates.path(root, "paper")
    both = json.loads(path.read_text())
    both["tasks"][SMAX] = both["tasks"][SPREAD]
    path.write_text(json.dumps(both))
    assert "experiments.suite_rates" in _page(root)


def _page(root):
    page = root / "page.md"
    page.write_text("")
    suite_report.write(root, page)
    return page.read_text()


def test_other_files_are_refused_by_name(root):
    suite_rates.path(root, "paper").write_text("{}")
    with pytest.raises(ValueError, match=r"rates.json: not a file of rates"):
        suite_rates.load(root, "paper")
    assert suite_rates.load(root, "scalability") == {}


@pytest.mark.slow
def test_measured_tasks_are_kept_and_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(suite_rates, "ROUND_SECONDS", 0.01)
    console = rich.console.Console(quiet=True)
    name = "simple_spread_N_3"
    (tmp_path / "smoke").mkdir()
    path = suite_rates.run("smoke", tmp_path, name, console)
    before = path.read_text()
    found = suite_rates.load(tmp_path, "smoke")
    wanted = {cell.method for cell in suites.cells("smoke", name)}
    assert set(found[SPREAD]) == wanted
    assert all(each.seconds_per_step > 0 < each.compile_seconds for each in found[SPREAD].values())
    assert suite_rates.run("smoke", tmp_path, name, console).read_text() == before
