"""The doctor finds what is missing, says what to do, and never shows a key."""

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import pytest
from packaging.requirements import Requirement

from leed_jax import commands, doctor, versions
from leed_jax.doctor import Check
from leed_jax.generation import llm

INSTALLED = {"numpy": "2.3.1", "litellm": "1.82.7", "jax": "0.10.2", "minari": None}


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed, as far as these tests go."""
    monkeypatch.setattr(versions, "installed", INSTALLED.get)


@pytest.mark.parametrize(
    ("wanted", "status", "found"),
    [
        ("numpy>=2.1", "ok", "2.3.1"),
        ("numpy>=2.4", "wrong", "2.3.1, needed is >=2.4"),
        ("litellm>=1.80,!=1.82.7", "wrong", "1.82.7, needed is !=1.82.7,>=1.80"),
        ("minari>=0.5", "wrong", "not installed"),
    ],
)
def test_packages_are_held_against_their_bounds(packages, wanted, status, found):
    check = doctor.package(Requirement(wanted))
    assert (check.status, check.found) == (status, found)
    assert check.remedy.startswith("pip install '") == (status == "wrong")


def test_a_missing_extra_is_a_note_that_names_it(packages):
    lacking = doctor.extra("data", [Requirement("minari[hdf5]>=0.5.4"), Requirement("jax>=0.10")])
    assert lacking == Check(
        "extra data", "note", "minari not installed", "pip install 'leed_jax[data]'"
    )
    assert doctor.extra("tpu", [Requirement("jax>=0.10")]).status == "ok"


def test_keys_are_named_and_never_shown():
    found = doctor.keys({"OPENAI_API_KEY": "sk-secret", "GROQ_API_KEY": " ", "PATH": "/bin"})
    assert found == Check("API keys", "ok", "OPENAI_API_KEY")
    none = doctor.keys({"GROQ_API_KEY": ""})
    assert none.status == "note" and "model=replay" in none.remedy


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    assert doctor.cache(tmp_path / "new" / "folder") == Check(
        "compilation cache", "ok", str(tmp_path / "new" / "folder")
    )
    (tmp_path / "file").write_text("")
    lacking = doctor.cache(tmp_path / "file" / "folder")
    assert lacking.status == "note" and "JAX_COMPILATION_CACHE_DIR" in lacking.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_idle_accelerator_is_pointed_at(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(doctor, "ACCELERATORS", {"cuda": (str(tmp_path / "gpu"),)})
    assert doctor.device().status == "ok"
    (tmp_path / "gpu").write_text("")
    found = doctor.device()
    assert found.status == "note" and found.remedy == "pip install 'leed_jax[cuda]'"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # by the user's own wish
    assert doctor.device().status == "ok"


def test_a_device_that_fails_is_one_line(monkeypatch):
    def fail() -> Sequence[Any]:
        raise RuntimeError("Unable to initialize backend 'cuda':\nno driver")

    monkeypatch.setattr(jax, "devices", fail)
    assert doctor.device().found == "Unable to initialize backend 'cuda': no driver"


def test_litellm_that_cannot_be_imported_is_told(monkeypatch):
    def fail() -> None:
        raise ImportError("no module named tokenizers")

    monkeypatch.setattr(llm, "load", fail)
    found = doctor.litellm()
    assert found.status == "wrong" and "no module named tokenizers" in found.found


def test_requirements_of_a_checkout_and_of_an_installed_package_are_the_same(monkeypatch):
    def missing(_: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    needed, extras = doctor.requirements()
    assert {"jax", "litellm", "packaging"} <= {each.name for each in needed}
    assert {each.name for each in extras["logging"]} == {"tensorboardx", "wandb"}
    lines = [str(each) for each in needed]
    lines += [f'{each}; extra == "{name}"' for name, all_of in extras.items() for each in all_of]
    found = {"Provides-Extra": list(extras)}

    class Metadata:
        def get_all(self, name: str) -> list[str]:
            return found[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: Metadata())
    again, others = doctor.requirements()
    assert again == needed
    for name, all_of in extras.items():
        assert {each.name for each in others[name]} == {each.name for each in all_of}


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("note", 0), ("wrong", 1)])
def test_the_command_ends_with_what_it_found(status, code, monkeypatch, capsys):
    checks = [Check("python", "ok", "3.11"), Check("jax", status, "0.1", "pip install 'jax>=9'")]
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    assert commands.main(["doctor"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ok", "python", "3.11"]
    assert lines[2].strip() == "pip install 'jax>=9'"
    assert lines[-1] == ("1 to be mended." if code else "Everything that is needed is there.")


def test_here_everything_is_examined(monkeypatch, tmp_path):
    monkeypatch.setattr(llm, "load", lambda: None)  # takes seconds
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    found = {check.name: check for check in doctor.examine()}
    assert {"python", "jax", "device", "API keys", "extra logging"} <= set(found)
    assert not [check for check in found.values() if check.status == "wrong"]
    assert not any("planted-secret" in part for check in found.values() for part in check)
    assert "extra dev" not in found and Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).is_dir()
