"""The tables of docs/scenarios.md: measured once, written between their marks."""

import json

import pytest

from experiments import scenario_table

NAME = "mpe/simple"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    path, page = folder / "rows.json", folder / "page.md"
    page.write_text(f"before\n{scenario_table.START}old{scenario_table.END}\nafter\n")
    arguments = ["--json", str(path), "--page", str(page), "--names", NAME, "--episodes", "32"]
    scenario_table.main(arguments)
    return path, page, arguments


def test_a_row_holds_what_was_played_and_what_the_scenario_asks_for(measured):
    row = json.loads(measured[0].read_text())["rows"][NAME]
    assert (row["agents"], row["action_sizes"], row["horizon"]) == (1, [5], 26)
    assert not (row["masks"] or row["decisions"] or row["continuous"] or row["ends_early"])
    assert not row["transcript"] and "recorded_plan" not in row
    # Every step costs the squared distance, so nothing reaches 0.
    assert row["random_plans"]["mean"] < 0 and row["random_actions"]["error"] > 0


def test_the_page_gets_the_tables_and_keeps_the_rest(measured):
    text = measured[1].read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("| `mpe/simple` | ") == 2


def test_what_is_in_the_file_is_not_played_again(measured, monkeypatch):
    path, _, arguments = measured
    before = path.read_text()
    monkeypatch.setattr(scenario_table, "measure", lambda *_, **__: pytest.fail("played again"))
    scenario_table.main(arguments)
    assert path.read_text() == before


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="the page must hold <!-- table -->"):
        scenario_table.on_page("no marks", "tables")
