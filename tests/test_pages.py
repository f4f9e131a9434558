"""Every page of the documentation runs as it stands there, but trains less."""

import json
import re
import shutil
import types
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import pages
import pytest
from PIL import Image

import leed_jax as leed
from leed_jax.config import TrainConfig
from leed_jax.road import osm, shipped

TRANSCRIPTS = Path(leed.__file__).parent / "transcripts"
TINY = (
    "4_000, num_envs=8, rollout_steps=16, eval_episodes=8, "
    "network=leed.NetworkConfig(hidden_sizes=(8,))"
)
# The very program that the learning test in optimization/test_training.py compiles, too.
SHORTER = {"total_steps=200_000": "total_steps=50_000", "seeds=3": "seeds=1"}
OTHERS = {
    "api.md": "is written by mkdocstrings",
    "architecture.md": "no Python",
    "benchmarks.md": "no Python",
    "command-line.md": "no Python",
    "index.md": "compared with README.md",
    "performance.md": "no Python",
    "reliability.md": "no Python",
    "scenarios.md": "no Python",
    "tpu.md": "no Python",
    "your-own-scenario.md": "compared with demos/own_scenario.py",
    "configuration.md": "run in test_site.py",
}
"""Pages of which no test here runs the Python, and why."""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(page: str, shorter: dict[str, str] | None = None, **names: Any) -> dict[str, Any]:
    """The names that a page's blocks leave behind."""
    path = pages.README if page == "README.md" else pages.DOCS / page
    return pages.run(path.read_text(encoding="utf-8"), page, names, shorter or {})


def only_checked(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[mock.MagicMock]:
    """Public functions that are called with what they take, but do nothing."""
    fakes = [mock.create_autospec(getattr(leed, name)) for name in names]
    for name, fake in zip(names, fakes, strict=True):
        monkeypatch.setattr(leed, name, fake)
    return fakes


# ------------------------------------------------------------------------------ page by page


def test_readme_and_index(capsys: Any) -> None:
    text = pages.README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 135, "the README has three screens"
    (only,) = pages.blocks(text, "python")
    index = (pages.DOCS / "index.md").read_text(encoding="utf-8")
    assert [block.text for block in pages.blocks(index, "python")] == [only.text]
    names = pages.run(text, "README.md", {}, SHORTER)
    said = capsys.readouterr().out
    assert "Demonstrations of " in said and "256 episodes, 3 agents" in said
    assert "leed, 512 greedy episodes per seed" in said and "IQM" in said
    with Image.open("spread.gif") as image:
        frames = image.n_frames  # pyright: ignore[reportAttributeAccessIssue]
    assert frames == names["scenario"].env.spec.horizon


def test_concepts(capsys: Any) -> None:
    names = run("concepts.md")
    assert (names["episodes"], names["steps"], names["agents"]) == (64, 26, 3)
    assert "MoveTo" in capsys.readouterr().out


def test_frequent_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    text = (pages.DOCS / "faq.md").read_text(encoding="utf-8")
    shown = [block for block in pages.blocks(text, "text") if pages.ERROR.match(block.text)]
    assert len(shown) == 10
    run("faq.md")


def test_prompts(capsys: Any) -> None:
    shutil.copytree(TRANSCRIPTS, "transcripts")
    names = run("prompts.md")
    assert "MoveTo" in capsys.readouterr().out
    assert names["found"].rounds


def test_what_is_quoted_of_a_conversation_was_said_in_it() -> None:
    text = (pages.DOCS / "prompts.md").read_text(encoding="utf-8")
    recorded = leed.make("mpe/simple_spread", num_agents=3)
    path = TRANSCRIPTS / "mpe_simple_spread" / "num_agents-3_relational_learnable_0.json"
    card = json.loads(path.read_bytes())
    assert card["scenario"]["name"] == recorded.name
    said = [message["content"] for each in card["rounds"] for message in each["prompt"]]
    said += [each["answer"] for each in card["rounds"]]
    quoted = pages.blocks(text, "markdown")
    assert len(quoted) == 3
    for block in quoted:
        anywhere = f"{pages.LEFT_OUT}{block.text.strip()}{pages.LEFT_OUT}"
        assert any(pages.matches(anywhere, each) for each in said), block.text


def test_interchange(capsys: Any) -> None:
    pytest.importorskip("minari", reason="the extra data is not installed")
    names = run("interchange.md")
    said = capsys.readouterr().out
    assert "64 episodes, 2 agents" in said
    assert (names["again"].arrays.action == names["demos"].arrays.action).all()
    # A script that goes to landmarks is far better than standing still.
    found = re.search(r"team return +mean (-[\d.]+)", said)
    assert found is not None and float(found.group(1)) > -60


def test_migration(capsys: Any) -> None:
    """With trajectories as imitation has them: one observation more than actions."""
    steps, size = 5, 4
    one = types.SimpleNamespace(
        obs=jax.numpy.zeros((steps + 1, size)), acts=[0, 1, 2, 3, 4], rews=[0.0] * steps
    )
    names = run("migration.md", trajectories={"agent_0": [one, one]})
    assert names["demos"].num_episodes == 2
    assert names["demos"].arrays.valid.sum() == 2 * steps
    assert names["method"] in leed.METHODS
    text = (pages.DOCS / "migration.md").read_text(encoding="utf-8")
    table = text.split("`leed.TrainConfig`", 1)[1].split("\n\n", 1)[0]
    fields = [re.findall(r"`([a-z_]+)`", row.split("|")[2]) for row in table.splitlines()[2:-2]]
    assert all(hasattr(TrainConfig(), name) for row in fields for name in row)
    assert sum(map(len, fields)) == 13


def test_scaling_calls_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The devices that it speaks of are elsewhere: optimization/test_devices.py trains on them."""
    train, _ = only_checked(monkeypatch, "train", "initialize_processes")
    run("scaling.md", leed=leed, jax=jax, scenario=None, demos=None, config=None)
    assert train.call_count == 4


def test_the_term_of_the_method_s_page_is_as_by_hand() -> None:
    names = run("method.md")
    assert names["method"].uses_expert and names["method"].uses_rollout
    # Ahead by half a nat, and by three: half of one is missing, weighed 1 of 1 + 3.
    log_probs = jax.nn.log_softmax(jnp.array([[1.0, 0.5, 0.0], [3.0, 0.0, 0.0]]))
    rows = leed.losses.ExpertRows(action=jnp.array([0, 0]), weight=jnp.array([1.0, 3.0]))
    predictions = types.SimpleNamespace(expert_policy=types.SimpleNamespace(log_probs=log_probs))
    loss = names["term"].loss(predictions, None, rows, TrainConfig())
    assert float(loss) == pytest.approx(0.5 / 4)


def test_sweeps_calls_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (sweep,) = only_checked(monkeypatch, "sweep")
    sweep.return_value = mock.create_autospec(leed.SweepResult, instance=True)
    run("sweeps.md", leed=leed, scenario=None, demos=None)
    sweep.return_value.best.assert_called_once_with("team_return")


def test_road_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    read = mock.create_autospec(osm.read, return_value=shipped.load("berlin_adlershof"))
    monkeypatch.setattr(osm, "read", read)
    names = run("road-networks.md")
    assert names["town"].demand.trips.sum() == pytest.approx(5000.0)


@pytest.mark.slow  # two programs are compiled
def test_quickstart(capsys: Any) -> None:
    names = run("quickstart.md", SHORTER)
    assert names["action"] in range(5)
    assert "ippo, 512 greedy episodes per seed" in capsys.readouterr().out


@pytest.mark.slow  # three programs are compiled
def test_everyday(tmp_path: Path, capsys: Any) -> None:
    names = run("everyday.md", {"100_000": TINY})
    said = capsys.readouterr().out
    assert "agent_0" in said and "MoveTo landmark_0 0.3 for 10" in said
    assert "a plan and a learner, 64 greedy episodes" in said
    assert names["learner"].spec.agents == ("agent_1",)
    for name in ("timeline.png", "episode.gif", "mixed.gif"):
        with Image.open(tmp_path / name) as image:
            assert image.size[0] > 100


def test_your_own_scenario_shows_what_stands_in_the_file() -> None:
    text = (pages.DOCS / "your-own-scenario.md").read_text(encoding="utf-8")
    code = (pages.ROOT / "demos" / "own_scenario.py").read_text(encoding="utf-8")
    shown = pages.blocks(text, "python")
    assert len(shown) >= 4
    for block in shown:
        assert block.text in code, f"the file no longer has\n{block.text}"


# ------------------------------------------------------------------------------ all pages


def test_every_page_is_run_or_said_to_have_nothing_to_run() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for path in pages.all_pages():
        shown = pages.blocks(path.read_text(encoding="utf-8"), "python")
        is_run = f'run("{path.name}"' in here or path.name == "README.md"
        assert is_run != (path.name in OTHERS), path.name
        if OTHERS.get(path.name) == "no Python":
            assert not shown, path.name


def test_what_pages_link_to_is_there() -> None:
    for page in pages.all_pages():
        links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        missing = [
            link
            for link in links
            if not link.startswith(("http://", "https://"))
            and link not in pages.GENERATED
            and not (page.parent / link).exists()
        ]
        assert not missing, f"{page.name}: {missing}"


def test_an_error_that_reads_otherwise_would_be_found() -> None:
    page = "```python\nint('x')\n```\n\n```text\nValueError: …'x'\n```\n"
    pages.run(page, "page", {}, {})
    with pytest.raises(AssertionError, match="and it is"):
        pages.run(page.replace("'x'\n```\n$", "").replace("…'x'", "…'y'"), "page", {}, {})
    with pytest.raises(AssertionError, match="and it is"):
        pages.run(page.replace("int('x')", "print('fine')"), "page", {}, {})
