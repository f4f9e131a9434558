"""The examples of README.md and of the documentation run as they stand there, but shorter."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import leed_jax as leed
from leed_jax.config import NetworkConfig, TrainConfig

README = Path(__file__).parents[1] / "README.md"
OWN_SCENARIO = README.parent / "demos" / "own_scenario.py"
SHORTER = {
    # The very program that the learning test in optimization/test_training.py compiles, too.
    "total_steps=200_000": "total_steps=50_000",
    "seeds=3": "seeds=1",
}


def first_example(text: str) -> str:
    """The first block of Python in a Markdown text."""
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "there is no block of Python"
    return found.group(1)


def test_the_first_example_of_the_readme_trains_evaluates_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = first_example(README.read_text(encoding="utf-8"))
    for full, short in SHORTER.items():
        assert code.count(full) == 1, f"README.md's first example no longer says {full}"
        code = code.replace(full, short)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, str(README), "exec"), names)
    said = capsys.readouterr().out
    assert "Demonstrations of " in said and "256 episodes, 3 agents" in said
    assert "leed, 512 greedy episodes per seed" in said and "IQM" in said
    with Image.open("spread.gif") as image:
        frames = image.n_frames  # pyright: ignore[reportAttributeAccessIssue]
    assert frames == names["scenario"].env.spec.horizon


def test_the_scenario_of_ones_own_is_instructed_trained_and_drawn(tmp_path: Path) -> None:
    example = runpy.run_path(str(OWN_SCENARIO))
    scenario = example["SCENARIO"]
    pick = leed.Instruction("Pick", {"which": "nearest_free"})
    plan = dict.fromkeys(example["AGENTS"], leed.AgentPlan((pick,), repeat=True))
    demos = leed.demonstrate(scenario, plan, num_episodes=32)
    assert demos.measures["apples"] > 3.5
    config = TrainConfig(
        total_steps=2 * 4 * 8,
        num_envs=4,
        rollout_steps=8,
        num_minibatches=2,
        eval_episodes=2,
        network=NetworkConfig(hidden_sizes=(8,)),
    )
    result = leed.train(scenario, demos, config, seeds=1)
    assert np.isfinite(result.final()).all()
    leed.render(scenario, plan, tmp_path / "orchard.gif")
    assert (tmp_path / "orchard.gif").exists()


def test_the_page_about_it_shows_what_stands_in_the_file() -> None:
    page = README.parent / "docs" / "your-own-scenario.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    code = OWN_SCENARIO.read_text(encoding="utf-8")
    assert len(blocks) >= 4
    for block in blocks:
        assert block in code, (
            f"docs/your-own-scenario.md shows what the file no longer has:\n{block}"
        )


def test_what_the_documentation_links_to_is_there() -> None:
    pages = [README, *sorted((README.parent / "docs").glob("*.md"))]
    for page in pages:
        links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        missing = [
            link
            for link in links
            if not link.startswith(("http://", "https://")) and not (page.parent / link).exists()
        ]
        assert not missing, f"{page.name}: {missing}"
