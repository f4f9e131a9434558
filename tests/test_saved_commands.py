"""`leed evaluate` and `leed render`, on teams in run folders and elsewhere."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import line_world
import numpy as np
import pytest
import tiny_training
from PIL import Image

from leed_jax import checkpoint, commands, loggers, scenarios
from leed_jax.optimization.results import evaluate
from leed_jax.run_config import RunConfig


@pytest.fixture(scope="module", autouse=True)
def made() -> Iterator[list[tuple[str, dict[str, object]]]]:
    """What is asked for in place of a scenario; the toy world is what comes."""
    asked: list[tuple[str, dict[str, object]]] = []

    def make(name: str, **options: object) -> scenarios.Scenario:
        asked.append((name, options))
        return tiny_training.scenario()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenarios, "make", make)
        yield asked


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a run leaves it, with the same team under two names."""
    folder = tmp_path_factory.mktemp("results") / "toy"
    config = RunConfig(scenario="toy/line", options={"start": "3"}, methods=("leed", "ippo"))
    written = {**dataclasses.asdict(config), "results": str(config.results)}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": loggers.jsonable(written)}))
    for method in ("ippo", "leed"):
        result = dataclasses.replace(tiny_training.result(), method=method)
        checkpoint.save_result(result, folder / "checkpoints" / method)
    tiny_training.demos().save(folder / "demonstrations.npz")
    return folder


def frames(path: Path) -> tuple[int, int]:
    """Their number and width."""
    with Image.open(path) as image:
        return image.n_frames, image.width  # pyright: ignore[reportAttributeAccessIssue]


def test_all_methods_of_a_run_are_evaluated_in_its_order(run, made, tmp_path, capsys):
    file = tmp_path / "found.json"
    assert commands.main(["evaluate", str(run), "--episodes", "4", "--json", str(file)]) == 0
    assert made[-1] == ("toy/line", {"start": 3})
    printed = [line for line in capsys.readouterr().out.splitlines() if "greedy" in line]
    assert printed == [f"{method}, 4 greedy episodes per seed" for method in ("leed", "ippo")]
    wanted = evaluate(tiny_training.scenario(), tiny_training.result(), num_episodes=4)
    for found in json.loads(file.read_text()):
        np.testing.assert_array_equal(
            np.float32(found["agent_return"]), np.float32(wanted.agent_return)
        )
        assert (found["seeds"], found["episodes"]) == ([3, 5], 4)
        np.testing.assert_allclose(found["team_return"], wanted.team_return, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_one_team_can_be_named_by_any_of_its_files(run, suffix, capsys):
    path = f"{run / 'checkpoints' / 'ippo'}{suffix}"
    assert commands.main(["evaluate", path, "--episodes", "4"]) == 0
    assert capsys.readouterr().out.startswith("ippo, 4 greedy episodes per seed\n")


def test_a_team_outside_of_a_run_is_of_the_scenario_that_its_file_names(made, tmp_path):
    checkpoint.save_result(tiny_training.result(), tmp_path / "mine")
    assert commands.main(["evaluate", str(tmp_path / "mine"), "--episodes", "4"]) == 0
    assert made[-1] == (tiny_training.result().spec.name, {})
    given = ["--scenario", "toy/other", "--num-agents", "2", "--options", "start", "5"]
    assert commands.main(["evaluate", str(tmp_path / "mine"), "--episodes", "4", *given]) == 0
    assert made[-1] == ("toy/other", {"num_agents": 2, "start": 5})


def test_a_run_is_drawn_with_its_plan_and_all_methods(run, tmp_path, capsys):
    alone, together = tmp_path / "leed.gif", tmp_path / "new" / "all.gif"
    assert commands.main(["render", str(run / "checkpoints" / "leed"), str(alone)]) == 0
    assert commands.main(["render", str(run), str(together)]) == 0
    assert capsys.readouterr().out == f"{alone}\n{together}\n"
    assert frames(alone)[0] == frames(together)[0] == line_world.HORIZON
    assert frames(together)[1] > 2.5 * frames(alone)[1]  # a plan and two teams


def test_demonstrations_are_drawn_by_their_plan(run, tmp_path):
    path = tmp_path / "plan.gif"
    assert commands.main(["render", str(run / "demonstrations.npz"), str(path)]) == 0
    assert frames(path)[0] == line_world.HORIZON


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "{run}", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["evaluate", "{tmp}"], "holds no trained team: no checkpoints/<method>.json"),
        (["evaluate", "{tmp}/nothing"], "no saved team, which are two files"),
        (["evaluate", "{run}", "--options", "start"], "names and values in turn, got start"),
        (["render", "{run}", "{tmp}/x.png"], "out must end in .gif"),
        (["render", "{run}", "{tmp}/x.gif", "--fps", "0"], "fps must be in 1..50, got 0"),
        (["render", "{run}", "{tmp}/x.gif", "--start", "-1"], "--start must be at least 0"),
        (["render", "{tmp}/nothing.npz", "{tmp}/x.gif"], "nothing.npz: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, arguments, message, tmp_path, capsys):
    given = [argument.format(run=run, tmp=tmp_path) for argument in arguments]
    assert commands.main(given) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("leed: ") and message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "x.gif").exists()
