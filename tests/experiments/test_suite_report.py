"""Tables and figures of suites, from published cells alone: numbers worked by hand."""

import json

import numpy as np
import pytest
import suite_folders
from PIL import Image

from experiments import marl_eval, report, rerun, suite_cells, suite_report, suite_results
from experiments import suite_tables as tables
from leed_jax import loggers

SPREAD, SMAX = suite_folders.TASKS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("docs") / "results" / "suites"
    suite_folders.paper(root)
    for name in ("LEED, default", "visited"):
        group = "methods" if name == "LEED, default" else "labels"
        suite_folders.write(root, SMAX, "leed", "ablations", group, variant=name)
    suite_folders.write(root, SPREAD, "leed", "scalability")
    for name in ("weight 3", suite_report.CHOSEN):
        suite_folders.write(root, SPREAD, "leed", "search", variant=name)
    return root


@pytest.fixture(scope="module")
def found(root):
    return suite_results.load(root, "paper")


def test_cells_come_in_the_order_of_the_suite(found):
    assert [(each.task, each.variant) for each in found] == [
        (task, method) for task in (SPREAD, SMAX) for method in ("leed", "ippo", "bc")
    ]


def test_the_number_of_seeds_is_said_and_where_it_is_another(found):
    assert suite_report.seeds(found[:3]) == "3 seeds"
    assert suite_report.seeds(found) == f"3 seeds ({SMAX}: 2)"
    lost = [*found[:4], found[4]._replace(final=np.zeros(1)), found[5]]
    assert suite_report.seeds(lost) == f"3 seeds ({SMAX}: 2, of which IPPO: 1)"


def test_efficiency_counts_demonstrations_and_answers(found):
    grid = tables.efficiency(found)
    first = dict(zip(grid.header, grid.rows[0], strict=True))
    # IPPO ends at (-50 - 54 - 52) / 3 = -52; LEED is above it from 100 steps on, and 60 steps and
    # two answers came before.
    assert first["best baseline without demonstrations"] == "IPPO -52.00"
    assert first["LEED's steps"] == "160"
    assert first["of its steps"] == "0.400"
    seconds = 2 * suite_results.ANSWER_SECONDS + 10
    assert float(first["LEED's seconds"]) == seconds
    assert first["of its seconds"] == f"{seconds / 40:.3f}"
    assert first["without the model's seconds"] == "0.250"
    second = dict(zip(grid.header, grid.rows[1], strict=True))
    # SMAX is scored by battles won: IPPO's 0.5 at its very end.
    assert second["of its steps to that score"] == "0.400"
    assert tables.medians(grid)[0] == "of its steps: 0.400"


def test_a_cell_without_its_task_s_score_is_no_cell_without_success(root):
    cell = next(each for each in suite_cells.load_all(root, "paper") if each.cell.task == SMAX)
    lines = [{**line, "success": {"lost": 0.0}} for line in cell.metrics]
    with pytest.raises(ValueError, match=r"smax_3m/bc: no won in metrics.jsonl, which has lost"):
        suite_results.outcome(cell._replace(metrics=lines))


def test_what_is_never_reached_makes_the_median_infinite(found):
    poor = [each._replace(steps=each.steps._replace(values=each.steps.values - 1000),
                          seconds=each.seconds._replace(values=each.seconds.values - 1000))
            if each.method == "leed" else each for each in found]  # fmt: skip
    grid = tables.efficiency(poor)
    assert {row[3] for row in grid.rows} == {"not reached"}
    assert tables.medians(grid)[0] == "of its steps: not reached"


def test_aggregates_are_over_shared_tasks_with_equally_many_seeds(found):
    ours, theirs = suite_results.common(found, ["leed", "ippo"])
    assert [len(task) for task in ours] == [2, 2] == [len(task) for task in theirs]
    # -30 and -32 between -83.5 and -23.6.
    np.testing.assert_allclose(ours[0], [53.5 / 59.9, 51.5 / 59.9])
    rows = {row[0]: row for row in tables.aggregates(found).rows}
    assert rows["IPPO"][-1] == "1.00 [1.00, 1.00]"
    assert rows["LEED"][1] == "2" and rows["LEED"][-1] == "-"


def test_scores_below_the_scale_weigh_in_statistics_as_seeds_that_diverged_do(found):
    lost = [
        each._replace(
            final=np.array([-1000.0, np.nan]),
            steps=each.steps._replace(values=each.steps.values - 1000),
        )
        if each.variant == "ippo"
        else each
        for each in found
    ]
    theirs = suite_results.common(lost, ["ippo"])[0]
    assert all(task.tolist() == [0, 0] for task in theirs)
    rows = {row[0]: row for row in tables.aggregates(lost).rows}
    assert [float(cell.split()[0]) for cell in rows["IPPO"][2:5]] == [0, 1, 0]


def test_areas_are_of_normalised_curves(found):
    smax = suite_results.find(found, SMAX, "leed")
    assert smax is not None
    # (0 + 0.5) / 2 * 100 + (0.5 + 0.6) / 2 * 100 + (0.6 + 0.9) / 2 * 200 = 230 over 400.
    np.testing.assert_allclose(smax.area, [0.575, 0.575])


def test_beside_methods_with_demonstrations(found):
    rows = {row[0]: row for row in tables.helped(found).rows}
    assert rows[SMAX][2] == "0.850 (demonstrations)"
    for plan, verdict in ((0.85, "LEED higher"), (0.9, "level"), (0.95, "LEED lower")):
        planned = [each._replace(planned=plan) for each in found]
        shown = {row[0]: row[2] for row in tables.helped(planned).rows}
        assert shown[SMAX] == f"{plan:.3f}: {verdict}"
    assert rows[SMAX][3].startswith("IPPO 0.500") and rows[SMAX][3].endswith("LEED higher")
    assert rows[SPREAD][4].startswith("BC -33.00") and rows[SPREAD][4].endswith("overlaps")


def test_a_diverged_seed_is_named_and_counts_as_random(root):
    cell = suite_cells.load_all(root, "paper")[0]
    lines = [{**line, "team_return": None} if line["seed"] == 0 else line for line in cell.metrics]
    lost = suite_results.outcome(cell._replace(metrics=lines))
    assert np.isnan(lost.final[0]) and lost.normalised[0] == 0.0
    assert tables.finals([lost]).rows[0][-1].endswith("1 diverged")


def test_ablations_begin_with_the_default(root):
    grid = tables.ablation(suite_results.load(root, "ablations"), "labels", "LEED, default")
    assert [row[0] for row in grid.rows] == ["LEED, default", "visited"]
    assert grid.rows[1][1:] == ["0.900 [0.900, 0.900]", "0.575"]


def test_other_settings_stand_beside_the_default_and_the_plan(root, found):
    suite_folders.write(root, SPREAD, "leed", "released", variant="released")
    usual = next(each for each in found if (each.task, each.variant) == (SPREAD, "leed"))
    planned = [each._replace(planned=-1000.0) if each is usual else each for each in found]
    changed = suite_results.load(root, "released")
    grid = tables.beside_default(planned, changed)
    assert grid.header[3] == "LEED, released"
    ((task, score, one, two, plan),) = grid.rows
    assert (task, score) == (SPREAD, "team return") and one == two
    assert plan == "-1,000: LEED higher"
    # Where the defaults were not run.
    ((_, _, one, other, plan),) = tables.beside_default([], changed).rows
    assert one == "-" and other == two and plan.endswith("(demonstrations)")


def test_the_page_keeps_what_is_written_by_hand_and_comes_out_the_same(root, capsys):
    page = root.parents[1] / "benchmarks.md"
    page.write_text("# Benchmarks\n\nBy hand.\n")
    arguments = ["--suites", str(root), "--page", str(page)]
    report.main(arguments)
    text, pictures = page.read_text(), {p: p.read_bytes() for p in root.rglob("*.png")}
    assert text.index(f"| {suite_report.CHOSEN} |") < text.index("| weight 3 |")
    assert text.startswith("# Benchmarks\n\nBy hand.\n\n" + suite_report.BEGIN)
    for part in ("IPPO -52.00", "The suite `ablations`", "(results/suites/paper/steps.png)"):
        assert part in text
    assert {path.name for path in pictures} == {
        "steps.png", "seconds.png", "profile.png", "particles.png"
    }  # fmt: skip
    for path in pictures:
        with Image.open(path) as image:
            assert min(image.size) > 300
    page.write_text(text.replace("By hand.", "By another hand.") + "\nMore by hand.\n")
    report.main(arguments)
    assert page.read_text() == text.replace("By hand.", "By another hand.") + "\nMore by hand.\n"
    assert {p: p.read_bytes() for p in root.rglob("*.png")} == pictures
    capsys.readouterr()


def test_failures_are_on_the_page(root, tmp_path):
    folder = tmp_path / "docs" / "suites"
    suite_folders.write(folder, SMAX, "leed")
    suite_cells.fail(suite_folders.cell(SMAX, "qmix"), folder, "Traceback\nMemoryError: full")
    page = tmp_path / "docs" / "page.md"
    page.write_text("")
    suite_report.write(folder, page)
    assert "- paper/smax_3m/qmix: `MemoryError: full`" in page.read_text()


def test_a_suite_in_the_layout_of_marl_eval(root):
    merged = json.loads(marl_eval.write_suite(root, "paper").read_text())
    assert set(merged) == {"mpe", "smax"} and set(merged["smax"]["3m"]) == {"leed", "ippo", "bc"}
    run = merged["smax"]["3m"]["leed"]["seed_1"]
    assert run["step_3"] == {"step_count": 400, "team_return": [0.9], "won": [0.9]}


def test_a_rerun_is_compared_number_by_number(root, tmp_path):
    published = suite_cells.load(root / suite_folders.cell(SMAX, "leed").place)
    again = tmp_path / "again"
    again.mkdir()
    lines = list(suite_folders.lines(SMAX, "leed"))

    def compare(lines, **about):
        machine = {"device": "toy", "processor": "fast", "versions": {"jax": "1"}, **about}
        (again / "config.json").write_text(json.dumps(machine))
        (again / "summary.json").write_text(json.dumps(published.summary))
        (again / "metrics.jsonl").unlink(missing_ok=True)
        with loggers.MetricsWriter(again / "metrics.jsonl") as writer:
            for line in lines:
                writer.write(line)
        return rerun.compare(published, again)

    same = compare(lines)
    assert same.good and same.same_place and same.compared == 2 * 4 * 2
    lines[3]["success"]["won"] += 1e-6
    other = compare(lines)
    assert other.same_place and not other.good
    assert other.differences == ["seed 0, 400 steps: won was 0.9 and is 0.900001"]
    elsewhere = compare(lines, device="another")
    assert not elsewhere.same_place and elsewhere.good
    assert not compare(lines, processor="faster").same_place
    apart = {"low": 7.0, "high": 8.0, "iqm": 7.5}
    assert not elsewhere._replace(now=apart).good
    assert not compare([]).good
