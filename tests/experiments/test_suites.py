"""Suites are data; their cells are run once, kept small, and a failure stops no other."""

import concurrent.futures
import dataclasses
import json
import os
import signal
import sys
import time

import numpy as np
import pytest
import rich.console
import suite_folders

from experiments import suite_cells, suite_costs, suite_runner, suite_tasks, suites
from experiments.suite_cells import Cell
from experiments.suite_runner import SuiteConfig
from leed_jax.config import TrainConfig


@pytest.mark.parametrize("suite", list(suites.SUITES))
def test_all_cells_can_be_run_and_lie_in_folders_of_their_own(suite):
    cells = suites.cells(suite)
    places = [str(cell.place).casefold() for cell in cells]
    assert len(set(places)) == len(places)
    for cell in cells:
        config = suite_cells.config(cell)
        assert config.methods == (cell.method,) and not config.render
        # What is not named is the package's default.
        named = {name.split(".")[1] for name in cell.settings if name.startswith("train.")}
        for field in dataclasses.fields(TrainConfig):
            if field.name not in named:
                assert getattr(config.train, field.name) == getattr(TrainConfig(), field.name)


def test_the_paper_compares_all_methods_with_equal_budgets():
    cells = suites.cells("paper")
    for task in {cell.task for cell in cells}:
        here = [cell for cell in cells if cell.task == task]
        assert {cell.method for cell in here} == set(suites.METHODS)
        ours = [cell for cell in here if cell.method not in suite_tasks.VALUE_BASED]
        assert len({json.dumps({**cell.settings, "methods": 0}) for cell in ours}) == 1
        # Value-based methods have their authors' hyperparameters, and the same budget.
        for cell in here:
            for name in ("scenario", "num_agents", "options", "train.total_steps"):
                assert cell.settings.get(name) == here[0].settings.get(name)
            for name in ("train.eval_every_steps", "train.eval_episodes", "num_demonstrations"):
                assert cell.settings.get(name) == here[0].settings.get(name)
            # Value-based methods may have fewer seeds, where they are slow on two cores.
            assert cell.settings["seeds"] >= 5
        assert len({cell.settings["seeds"] for cell in ours}) == 1


def test_every_ablation_changes_the_default_and_nothing_else():
    cells = suites.cells("ablations")
    usual = {cell.task: cell.settings for cell in cells if cell.variant == "LEED, default"}
    assert set(usual) == {task.name for task in suites.ABLATION_TASKS}
    for cell in cells:
        changed = {n for n, value in cell.settings.items() if usual[cell.task].get(n) != value}
        assert changed == set(suites.ABLATIONS[cell.group][cell.variant])


def test_a_name_that_nothing_has_is_refused():
    with pytest.raises(ValueError, match="paper, smoke"):
        suites.cells("papers")
    with pytest.raises(ValueError, match="'qqq'"):
        suites.cells("paper", "qqq")
    assert {cell.task for cell in suites.cells("paper", "smax")} == {"smax/3m", "smax/2s3z"}
    assert {cell.method for cell in suites.cells("paper", "/bc/")} == {"bc"}
    wrong = Cell("paper", "task", "x", {"methods": ["leed"], "train.gama": 1.0})
    with pytest.raises(ValueError, match=r"paper/task/x: there is no setting train\.gama"):
        suite_cells.config(wrong)


def test_a_published_cell_is_finished_until_its_settings_change(tmp_path):
    task = "smax/3m"
    suite_folders.write(tmp_path, task, "leed")
    same = suite_folders.cell(task, "leed")
    assert suite_cells.state(same, tmp_path) == "finished"
    other = same._replace(settings={**same.settings, "train.gamma": 0.5})
    assert suite_cells.state(other, tmp_path) == "changed"
    assert suite_cells.state(suite_folders.cell(task, "ippo"), tmp_path) == "open"
    # A configuration of before there was some setting has its default.
    path = tmp_path / same.place / "config.json"
    found = json.loads(path.read_text())
    del found["config"]["quality"], found["config"]["train"]["gae_lambda"]
    path.write_text(json.dumps(found))
    assert suite_cells.state(same, tmp_path) == "finished"


def test_a_cell_stays_finished_when_what_its_method_does_not_read_changes(tmp_path):
    # PPO's usual rate, LEED's and BC's is another.
    changes = {
        "num_demonstrations": 7,
        "train.learning_rate": 3e-3,
        "train.expert.weight": 7.0,
        "train.expert.schedule": "cosine",
    }
    task = "smax/3m"
    # Imitation alone has no λ.
    reads = {"leed": list(changes), "ippo": [], "bc": list(changes)[:2]}
    for method, read in reads.items():
        suite_folders.write(tmp_path, task, method)
        cell = suite_folders.cell(task, method)
        for name, value in changes.items():
            other = cell._replace(settings={**cell.settings, name: value})
            wanted = "changed" if name in read else "finished"
            assert suite_cells.state(other, tmp_path) == wanted, (method, name)


def test_thinned_metrics_fit_and_keep_beginning_and_end():
    draw = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)
    lines = [
        {
            "method": "leed", "seed": seed, "env_steps": 8 * t, "updates": t,
            "seconds": 0.12345 * t,
            "team_return": float(draw[seed, t]), "agent_return": [1.0] * 64,
            "success": {"won": 0.1},
            "loss": {"policy": 0.1}, "expert_weight": [1.0, 2.0],
        }
        for t in range(200) for seed in range(3)
    ]  # fmt: skip
    short = [json.loads(line) for line in suite_cells.thinned(lines, 20_000)]
    assert sum(len(json.dumps(line)) + 1 for line in short) <= 20_000
    times = [line["updates"] for line in short if line["seed"] == 1]
    assert times[:4] == [0, 1, 2, 3] and times[-1] == 199 and times == sorted(set(times))
    assert 20 < len(times) < 200
    for line in short:
        assert np.float32(line["team_return"]) == draw[line["seed"], line["updates"]]
        assert line["expert_weight"] == 1.5
    assert len(suite_cells.thinned(lines, 10**9)) == 600


def test_estimates_use_the_nearest_measurement():
    cell = suites.cells("paper", "simple_spread_N_6/ippo")[0]
    steps = 5 * 1_000_000
    known = [
        suite_costs.Rate("mpe/simple_spread", 3, False, "ippo", 50_000.0),
        suite_costs.Rate("mpe/simple_spread", 3, True, "ippo", 1.0),
        suite_costs.Rate("road/ow", 6, False, "ippo", 9.0),
    ]
    train = suite_cells.config(cell).train
    evaluations = 1 + train.num_updates / train.updates_per_eval
    watched = 5 * evaluations * 128 * 26 * suite_costs.EVALUATION
    # Twice as many agents take twice as long.
    expected = suite_costs.START + (steps + watched) / 25_000
    assert suite_costs.seconds(cell, known) == pytest.approx(expected)
    exact = [*known, suite_costs.Rate("mpe/simple_spread", 6, False, "ippo", 10_000.0)]
    expected = suite_costs.START + (steps + watched) / 10_000
    assert suite_costs.seconds(cell, exact) == pytest.approx(expected)


def test_both_spellings_of_the_command_line():
    config = suite_runner.parse(["suite=paper", "--dry-run", "only=smax", "budget_hours=2.5"])
    assert config == suite_runner.parse(
        ["--suite", "paper", "--dry-run", "--only", "smax", "--budget-hours", "2.5"]
    )
    assert suite_runner.asked(["suite=paper"]) and suite_runner.asked(["--suite", "paper"])
    assert not suite_runner.asked(["scenario=suite", "methods=leed"])


def test_failures_stop_no_other_and_are_tried_again(tmp_path, monkeypatch, capsys):
    started = []

    def process(cell, config):
        started.append(cell.variant)
        if len(started) == 1:
            return "Traceback\nMemoryError: not enough"
        suite_cells.fail(cell, config.folder, "of an earlier time")
        return _finish(cell, config)

    def _finish(cell, config):
        folder = config.folder / cell.place
        folder.mkdir(parents=True, exist_ok=True)
        about = {"config": dataclasses.asdict(suite_cells.config(cell)), "cell": cell.describe()}
        (folder / "config.json").write_text(json.dumps(about, default=str))
        summary = {"scenario": {"name": "x"}, "methods": {}}
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / suite_cells.FAILURE).unlink(missing_ok=True)

    monkeypatch.setattr(suite_runner, "_process", process)
    arguments = ["suite=smoke", f"folder={tmp_path}", "--only", "simple_spread"]
    assert suite_runner.main(arguments) == 1
    assert started == ["leed", "ippo", "bc"]
    printed = capsys.readouterr().out
    assert "MemoryError: not enough" in printed and "2 of 3 cells finished" in printed
    (failed,) = suite_cells.failures(tmp_path, "smoke")
    assert failed[0].variant == "leed"
    assert suite_runner.main(arguments) == 0
    assert started == ["leed", "ippo", "bc", "leed"]
    assert suite_cells.failures(tmp_path, "smoke") == []


def test_nothing_is_begun_that_does_not_fit_into_the_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite_runner, "_process", lambda *_: pytest.fail("begun"))
    config = SuiteConfig("smoke", folder=tmp_path, budget_hours=0.001)
    assert suite_runner.run(config, rich.console.Console()) == []
    assert capsys.readouterr().out.count("no time for") == len(suites.cells("smoke"))


def test_a_process_that_fails_leaves_its_last_words(tmp_path):
    broken = Cell("smoke", "task", "x", {"methods": ["leed"], "scenario": "no/such"})
    config = SuiteConfig("smoke", folder=tmp_path / "kept", work=tmp_path / "work")
    error = suite_runner._process(broken, config)
    assert error is not None and "no scenario 'no/such'" in error
    assert (tmp_path / "work" / "smoke" / "task" / "x.log").read_text().strip()


def test_a_process_that_is_killed_is_said_to_be(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 10 % done\nkill -KILL $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    config = SuiteConfig("smoke", folder=tmp_path / "kept", work=tmp_path / "work")
    error = suite_runner._process(suites.cells("smoke")[0], config)
    assert error is not None and error.startswith("10 % done")
    assert error.splitlines()[-1].startswith("killed, as systems do when memory runs out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_a_suite_ends_its_cell_which_has_not_failed(number, tmp_path, monkeypatch, capsys):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def end() -> None:
        while not suite_runner._RUNNING:
            time.sleep(0.01)
        (child,) = suite_runner._RUNNING
        os.kill(os.getpid(), number)
        if number == signal.SIGINT:  # from a terminal it reaches both
            suite_runner._STOPPED.wait(30)
            child.send_signal(number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kept = signal.getsignal(signal.SIGTERM)
    arguments = ["suite=smoke", f"folder={tmp_path / 'kept'}", f"work={tmp_path / 'work'}"]
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            pool.submit(end)
            with pytest.raises(SystemExit, match=str(128 + number)):
                suite_runner.main(arguments)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == kept
    finally:
        signal.signal(signal.SIGINT, before)
    assert not suite_runner._RUNNING
    first = suites.cells("smoke")[0].place
    assert f"stopped: {first}" in capsys.readouterr().out
    assert len(list((tmp_path / "work").rglob("*.log"))) == 1  # no other was begun
    assert suite_cells.failures(tmp_path / "kept", "smoke") == []


@pytest.mark.slow
def test_the_smoke_suite_runs_and_a_cell_of_it_runs_again_bit_for_bit(tmp_path):
    from experiments import rerun, suite_report

    published = tmp_path / "docs" / "results" / "suites"
    arguments = ["suite=smoke", f"folder={published}", f"work={tmp_path / 'work'}"]
    assert suite_runner.main(arguments) == 0
    cells = suite_cells.load_all(published, "smoke")
    assert len(cells) == len(suites.cells("smoke"))
    page = tmp_path / "docs" / "benchmarks.md"
    page.write_text("# By hand\n")
    suite_report.write(published, page)
    assert page.read_text().startswith("# By hand\n")
    found = rerun.rerun(published / suites.cells("smoke", "N_3/leed")[0].place, tmp_path / "again")
    assert found.same_place and found.compared > 0 and found.differences == [] and found.good
