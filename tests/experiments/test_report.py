"""A results folder becomes figures, a report and a marl-eval file, from its three files alone."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rich.console
from PIL import Image

from experiments import figures, marl_eval, report
from experiments import results as folders
from leed_jax import loggers

METHODS = {"leed": -32.0, "ippo": -45.0, "mappo": -38.0, "bc": -41.0}
SUCCESS = ("landmarks_covered", "landmark_distance", "collisions_per_agent")
SEEDS, EVALUATIONS, EVERY = 5, 8, 50_000


def metrics_lines(methods=METHODS, seeds=SEEDS, evaluations=EVALUATIONS):
    """Saturating learning curves with noise; BC is evaluated once."""
    draw = np.random.default_rng(0)
    for method, best in methods.items():
        for index in range(1 if method == "bc" else evaluations):
            for seed in range(seeds):
                steps = 0 if method == "bc" else EVERY * (index + 1)
                share = 1.0 if method == "bc" else 1 - np.exp(-steps / 120_000)
                level = share + 0.05 * draw.normal()
                yield {
                    "method": method,
                    "seed": seed,
                    "env_steps": steps,
                    "updates": steps // 8192,
                    "seconds": 4.0 + steps / 30_000,
                    "team_return": -90 + (90 + best) * level,
                    "agent_return": [(-90 + (90 + best) * level) / 3] * 3,
                    "success": {
                        "landmarks_covered": 0.8 * level,
                        "landmark_distance": 1 - 0.7 * level,
                        "collisions_per_agent": 3 - 2 * level,
                    },
                    "loss": {"policy": 0.1},
                    "expert_weight": [0.5] * 3,
                }


def interval(value):
    return {"iqm": value, "low": value - 1.25, "high": value + 1}


def summary(methods=METHODS):
    return {
        "scenario": {"name": "mpe/simple_spread", "options": {"num_agents": 3}},
        "device": "cpu",
        "date": "2026-01-02",
        "command": "python -m experiments.run",
        "versions": {"jax": "0.10.2"},
        "llm": {
            "source": "replay",
            "model": "provider/model",
            "calls": 3,
            "prompt_tokens": 4321,
            "completion_tokens": 210,
            "cost_usd": None,
            "seconds": 12.5,
        },
        "demonstrations": {
            "episodes": 256,
            "steps": 6656,
            "team_return_mean": -28.4,
            "success": dict(zip(SUCCESS, (0.93, 0.31, 1.2), strict=True)),
        },
        "threshold": {"metric": "team_return", "value": -40.0, "why": "halfway"},
        "methods": {
            name: {
                "seeds": SEEDS,
                "env_steps": 0 if name == "bc" else EVERY * EVALUATIONS,
                "team_return": interval(best),
                "success": {key: interval(0.5) for key in SUCCESS},
                "steps_to_threshold": 150_000 if name == "leed" else None,
                "seconds_to_threshold": 9.25 if name == "leed" else None,
                "env_steps_per_second": 31_234.5,
                "agent_steps_per_second": 93_703.5,
                "compile_seconds": 3.75,
                "peak_memory_mb": None,
            }
            for name, best in methods.items()
        },
    }


def make_folder(path: Path, lines=None, **changes) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"seeds": SEEDS, "train": {"gamma": 0.99}}))
    (path / "summary.json").write_text(json.dumps({**summary(), **changes}))
    with loggers.MetricsWriter(path / "metrics.jsonl") as writer:
        for line in metrics_lines() if lines is None else lines:
            writer.write(line)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = make_folder(tmp_path_factory.mktemp("results") / "spread")
    Image.new("RGB", (2, 2)).save(path / "leed_and_ippo.gif")
    report.write(path)
    return path


def test_the_report_holds_every_number_and_picture(folder):
    text = (folder / "report.md").read_text()
    for part in (
        "# mpe/simple_spread (num_agents=3)",
        "- device: cpu",
        "- command: `python -m experiments.run`",
        "| LEED | 5 | -32.00 [-33.25, -31.00] |",
        "| demonstrations | - | -28.40 | 0.930 | 0.310 | 1.20 |",
        "| LEED | 400,000 | 150,000 | 9.25 | 31,234 | 93,704 | 3.75 | - |",
        "| IPPO | 400,000 | - | - |",
        "Threshold: team return -40.00 (halfway). Methods that use the demonstrations have spent "
        "6,656 environment steps",
        "- model: provider/model",
        "- prompt tokens: 4,321",
        "- cost: unknown",
        "- episodes: 256",
        "](learning_curves.png)",
        "](wall_clock.png)",
        "![leed and ippo](leed_and_ippo.gif)",
        '"gamma": 0.99',
    ):
        assert part in text, part
    for name in ("learning_curves.png", "wall_clock.png"):
        with Image.open(folder / name) as image:
            assert min(image.size) > 500


def test_a_method_looks_the_same_whoever_is_beside_it():
    assert figures.style("ippo", ["ippo"]) == figures.style("ippo", ["leed", "other", "ippo"])
    methods = ["leed", "leed_constant", "leed_cosine", "ippo"]
    assert len({figures.style(method, methods) for method in methods}) == 4


def test_panels_show_demonstrations_threshold_and_a_band_for_bc(folder):
    figure = figures.learning_curves(folders.load(folder))
    panels = figure.axes
    assert len(panels) == 1 + len(SUCCESS)
    names = panels[0].get_legend_handles_labels()[1]
    bc = "BC (final, no environment steps)"
    assert names == ["LEED", "IPPO", "MAPPO", bc, "demonstrations (mean)", "threshold"]
    assert "threshold" not in panels[1].get_legend_handles_labels()[1]
    levels = {line.get_label(): line.get_ydata() for line in panels[0].lines}
    assert list(np.unique(np.asarray(levels["demonstrations (mean)"]))) == [-28.4]
    assert len(np.asarray(levels["LEED"])) == EVALUATIONS


def test_curves_take_steps_that_all_seeds_have_and_the_later_of_two_lines(tmp_path):
    lines = [
        {"method": "leed", "seed": seed, "env_steps": steps, "seconds": steps + seed,
         "team_return": value, "success": {}}
        for seed, steps, value in [(0, 10, 1.0), (0, 20, 2.0), (1, 10, 3.0), (0, 10, 5.0)]
    ]  # fmt: skip
    results = folders.load(make_folder(tmp_path / "torn", lines))
    found = folders.curve(results, "leed", "team_return", "seconds")
    assert found.x.tolist() == [10.5]
    assert found.values.tolist() == [[5.0], [3.0]]


def test_a_diverged_seed_is_left_out_and_said(tmp_path):
    lines = list(metrics_lines())
    for line in lines:
        if line["method"] == "leed" and line["seed"] == 1:
            line["team_return"] = float("nan")
    path = make_folder(tmp_path / "diverged", lines)
    report.write(path)
    assert "LEED: 1 of the seeds diverged" in (path / "report.md").read_text()
    names = figures.learning_curves(folders.load(path)).axes[0].get_legend_handles_labels()[1]
    assert names[0] == "LEED (1 of 5 seeds diverged)"


def test_a_run_without_llm_demonstrations_or_threshold_has_a_report(tmp_path):
    path = tmp_path / "bare"
    lines = list(metrics_lines({"ippo": -45.0}, seeds=1, evaluations=1))
    methods = summary({"ippo": -45.0})["methods"]
    make_folder(path, lines, llm=None, demonstrations=None, threshold=None, methods=methods)
    report.write(path)
    text = (path / "report.md").read_text()
    assert "No threshold is set" in text
    assert "## Instructions" not in text
    assert "| demonstrations |" not in text
    assert "## Demonstrations" not in text


def test_marl_eval_layout(folder):
    content = json.loads((folder / "marl_eval.json").read_text())
    algorithms = content["mpe"]["simple_spread-num_agents=3"]
    assert list(algorithms) == list(METHODS)
    seed = algorithms["leed"]["seed_0"]
    assert list(seed) == [*(f"step_{index}" for index in range(EVALUATIONS)), "absolute_metrics"]
    assert seed["step_1"]["step_count"] == 2 * EVERY
    assert set(seed["step_1"]) == {"step_count", "team_return", *SUCCESS}
    last = {key: seed["step_7"][key] for key in ("team_return", *SUCCESS)}
    assert seed["absolute_metrics"] == last
    assert len(last["team_return"]) == 1
    # Equally many steps for all: BC stands where it is.
    bc = algorithms["bc"]["seed_0"]
    assert bc["step_0"] == {**bc["step_7"], "step_count": EVERY}


def test_marl_eval_of_bc_alone_has_one_step(tmp_path):
    methods = summary({"bc": -41.0})["methods"]
    path = make_folder(tmp_path / "bc", list(metrics_lines({"bc": -41.0})), methods=methods)
    layout = marl_eval.layout(folders.load(path))
    seed = layout["mpe"]["simple_spread-num_agents=3"]["bc"]["seed_0"]
    assert seed["step_0"]["step_count"] == 0
    assert set(seed) == {"step_0", "absolute_metrics"}


def test_the_terminal_table_fits_a_hundred_columns_and_keeps_its_brackets(folder):
    console = rich.console.Console(width=100, file=io.StringIO(), record=True)
    console.print(report.table(summary()))
    text = console.export_text()
    for part in ("LEED", "[-33.25, -31.00]", "150,000", "demonstrations", "[s]"):
        assert part in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.12345, "0.123"),
        (-28.4, "-28.40"),
        (3, "3"),
        (31234.5, "31,234"),
        (999.96, "999.96"),
    ],
)
def test_numbers_are_short(value, expected):
    assert report.number(value) == expected


def test_the_command_rebuilds_and_names_what_is_missing(folder, capsys):
    (folder / "report.md").unlink()
    report.main([str(folder)])
    assert (folder / "report.md").exists()
    assert "mpe/simple_spread" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        report.main([str(folder / "nowhere")])
    assert "config.json" in capsys.readouterr().err
