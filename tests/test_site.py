"""The documentation's site: it builds without a warning, and holds every setting and name."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pages
import pytest
from PIL import Image

import leed_jax as leed
from leed_jax.config import ValueBasedConfig
from leed_jax.run_config import RunConfig

TOOLS = pages.DOCS / "tools"
MAX_PICTURE_BYTES = 300_000


def module(name: str) -> Any:
    """One of the tools that write parts of the site."""
    found = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert found is not None and found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


reference = module("config_reference")


def test_the_reference_has_every_setting_with_its_default() -> None:
    page = reference.page()
    classes = [RunConfig, leed.TrainConfig, leed.NetworkConfig, leed.ExpertConfig]
    classes += [ValueBasedConfig, leed.GenerationConfig]
    for cls in classes:
        for field in dataclasses.fields(cls):
            assert f"{{ #{cls.__name__}.{field.name} }}" in page
    assert "**`rollout_steps`**{ #TrainConfig.rollout_steps } · `int` · default `128`" in page
    assert "default `field" not in page
    assert "steps_per_update" not in page


def test_its_python_runs_and_angle_brackets_are_no_html() -> None:
    names = pages.run(reference.page(), "configuration.md", {}, {})
    assert names["longer"].num_envs == 128
    assert names["longer"].total_steps == 2_000_000
    outside = re.sub(r"`[^`]*`", "", reference.page())
    assert "<" not in outside and "files:&lt;folder>" in outside


def test_a_setting_without_words_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text('class C:\n    a: int = 1\n    """One."""\n    b: int = 2\n')
    with pytest.raises(ValueError, match=r"C\.b has no docstring"):
        reference.settings(path, "C")
    path.write_text('class C:\n    a: int = field(default=3)\n    """One\n    line."""\n')
    assert reference.settings(path, "C") == [("a", "int", "3", "One line.")]
    with pytest.raises(ValueError, match="no class D"):
        reference.settings(path, "D")


def test_the_page_of_names_has_all_public_ones_once() -> None:
    text = (pages.DOCS / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: leed_jax\.(\w+)$", text, re.MULTILINE)) == sorted(leed.__all__)


def test_every_page_is_in_the_navigation() -> None:
    text = (pages.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w-]+\.md)$", text, re.MULTILINE)
    there = {path.name for path in pages.DOCS.glob("*.md")} | pages.GENERATED
    assert sorted(listed) == sorted(there)


def test_pictures_are_small() -> None:
    found = sorted((pages.DOCS / "images").glob("*.gif"))
    assert {path.stem for path in found} == {
        name.replace("/", "_") for name in module("pictures").SHOWN
    }
    assert all(path.stat().st_size <= MAX_PICTURE_BYTES for path in found)


def test_a_picture_is_made_smaller_and_takes_as_long(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (100, 50), (shade, 0, 0)) for shade in range(0, 250, 25)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=50)
    module("pictures").shrink(tmp_path / "a.gif", tmp_path / "b.gif", frames=5, width=40)
    with Image.open(tmp_path / "b.gif") as image:
        assert image.size == (40, 20)
        assert image.n_frames == 5  # pyright: ignore[reportAttributeAccessIssue]
        assert image.info["duration"] == 100  # 5 times 100 ms as 10 times 50


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """In a process of its own, for mkdocs changes what the session's modules log."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the extra docs is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    api = (tmp_path / "api.html").read_text(encoding="utf-8")
    assert all(f'id="leed_jax.{name}"' in api for name in leed.__all__)
    assert "demonstrations; needed by methods with an expert term" in api
    configuration = (tmp_path / "configuration.html").read_text(encoding="utf-8")
    assert 'id="ExpertConfig.weight"' in configuration
    assert (tmp_path / "files" / "demos" / "own_scenario.py").is_file()
    own = (tmp_path / "your-own-scenario.html").read_text(encoding="utf-8")
    assert 'href="files/demos/own_scenario.py"' in own
    assert not (tmp_path / "tools").exists()
    loaded = re.findall(r'(?:src|<link[^>]*href)="(https?://[^"]+)"', own)
    assert not loaded, "nothing is loaded from elsewhere"
