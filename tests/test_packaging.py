"""What is said about the package elsewhere is what it is; `.ci/wheel` builds and tries it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import leed_jax
from leed_jax import commands

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_one_version_everywhere():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == leed_jax.__version__ == cited["version"]
    assert PROJECT["license"] == cited["license"]


def test_the_paper_is_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    (paper,) = cited["references"]
    assert paper["url"].endswith("2509.14680") and "LEED" in paper["title"]
    assert all(set(author) == {"given-names", "family-names"} for author in paper["authors"])


def test_every_promised_extra_is_there():
    wanted = {"cuda", "tpu", "logging", "data", "baselines", "road", "docs", "dev", "experiments"}
    assert wanted <= set(EXTRAS)
    assert EXTRAS["cuda"] == ["jax[cuda12]>=0.10"] and EXTRAS["tpu"] == ["jax[tpu]>=0.10"]


def test_dependencies_have_lower_bounds_and_no_caps():
    found = {each.name: each for each in map(Requirement, PROJECT["dependencies"])}
    for each in found.values():
        operators = {one.operator for one in each.specifier}
        assert ">=" in operators and not operators & {"<", "<=", "==", "~="}, each
    refused = found["litellm"].specifier
    assert not refused.contains("1.82.7") and not refused.contains("1.82.8")


def test_the_script_is_there():
    module, _, function = PROJECT["scripts"]["leed"].partition(":")
    assert (module, getattr(commands, function)) == (commands.__name__, commands.main)


def dockerfile() -> list[list[str]]:
    """Instructions, word by word."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_made_of_files_and_extras_that_exist():
    lines = dockerfile()
    copied = [path for word, *paths in lines if word == "COPY" for path in paths[:-1]]
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied and all((ROOT / path).exists() and f"!{path}" in kept for path in copied)
    (given,) = [words[1] for words in lines if words[0] == "ARG" and words[1].startswith("EXTRAS")]
    assert set(given.partition("=")[2].split(",")) <= set(EXTRAS)
    (base,) = [words[1] for words in lines if words[0] == "FROM"]
    version = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert version is not None
    assert f"Programming Language :: Python :: 3.{version[1]}" in PROJECT["classifiers"]
    assert ["ENTRYPOINT", '["leed"]'] in lines and ["USER", "$USER_ID"] in lines


@pytest.mark.parametrize("path", ["py.typed", "road/data/tntp_manifest.json", "transcripts"])
def test_data_lie_inside_the_package(path):
    # All that lies there goes into the wheel; `.ci/wheel` looks for it in an installed one.
    assert (ROOT / "leed_jax" / path).exists()
