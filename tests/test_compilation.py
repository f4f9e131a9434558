"""The compilation cache of commands: where it lies, that it is hit, and that it can be off."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from leed_jax import compilation

PROGRAM = """
import sys
import jax
import jax.numpy as jnp
from leed_jax import compilation

assert not jax.config.jax_compilation_cache_dir, "importing the package must not enable it"
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
jax.jit(lambda x: x + 1)(jnp.ones(3))
compilation.announce_cache(*sys.argv[1:])
jax.jit(lambda x: jnp.sort(x) @ x)(jnp.ones(7)).block_until_ready()
print(sum(event == "/jax/compilation_cache/cache_hits" for event in seen))
"""


def in_a_new_process(home: Path, *arguments: str) -> tuple[int, str]:
    """Hits of the cache in a process of its own, and what it said on stderr."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("JAX_")}
    environment = kept | {
        "XDG_CACHE_HOME": str(home),
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return int(done.stdout), done.stderr


def programs(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*-cache")}


def test_the_second_process_loads_what_the_first_compiled_and_off_keeps_nothing(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "leed_jax" / "compilation"
    hits, said = in_a_new_process(tmp_path)
    assert hits == 0 and said == f"compilation cache: {folder}\n"
    kept = programs(folder)
    assert kept
    hits, _ = in_a_new_process(tmp_path)
    assert hits == len(kept) and programs(folder) == kept
    hits, said = in_a_new_process(tmp_path / "off", "off")
    assert (hits, said) == (0, "") and not (tmp_path / "off").exists()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What would be set, instead of setting it for the whole test session."""
    found: dict[str, object] = {}
    monkeypatch.setattr(jax.config, "update", found.__setitem__)
    monkeypatch.setattr(compilation.compilation_cache, "reset_cache", lambda: None)
    return found


def test_the_users_own_folder_and_threshold_come_first(
    settings: dict[str, object], tmp_path: Path
) -> None:
    # Both are set for the test session, in conftest.py.
    folder = compilation.enable_cache()
    assert folder == Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert settings == {
        "jax_enable_compilation_cache": True,
        "jax_compilation_cache_dir": str(folder),
    }
    assert compilation.enable_cache(tmp_path / "mine") == tmp_path / "mine"
    assert settings["jax_compilation_cache_dir"] == str(tmp_path / "mine")


def test_without_a_threshold_of_the_users_small_programs_are_kept_too(
    settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    compilation.enable_cache(tmp_path)
    assert settings["jax_persistent_cache_min_compile_time_secs"] == compilation.MIN_SECONDS


def test_a_folder_that_cannot_be_written_is_one_line_and_no_failure(
    settings: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="compilation cache: none"):
        assert compilation.enable_cache(tmp_path / "file" / "cache") is None
    assert settings == {"jax_enable_compilation_cache": False}
    compilation.announce_cache(tmp_path / "file" / "cache")
    said = capsys.readouterr().err
    assert said.startswith("compilation cache: none, ") and said.count("\n") == 1
