"""The first example of README.md runs as it stands there, but shorter."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
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
