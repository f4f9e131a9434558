"""What is installed, what is missing, and what to do about it."""

import importlib.metadata
import os
import platform
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

from leed_jax import compilation, files, run_folder, versions

Status = Literal["ok", "note", "wrong"]
"""A note is something that may be missing."""
KEY = re.compile(r"[A-Z0-9_]+_API_KEY")
"""Names of the environment variables in which providers' keys are."""
ACCELERATORS = {"cuda": ("/dev/nvidia0",), "tpu": ("/dev/accel0", "/dev/vfio/0")}
"""What the system has where there is such a device, by the extra that drives it."""
NOT_TOOLS = ("dev", "docs", "experiments", "cuda", "cuda13", "tpu")
"""Extras that users do without, or that the device speaks for."""


class Check(NamedTuple):
    """One line of the report."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """All checks, quick ones first; nothing is sent and nothing is changed."""
    needed, extras = requirements()
    return [
        python(),
        *(package(each) for each in needed),
        litellm(),
        device(),
        keys(os.environ),
        cache(compilation.default_folder()),
        *(extra(name, each) for name, each in extras.items() if name not in NOT_TOOLS),
    ]


def requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """What this package needs, and what each of its extras does.

    They are read from the installed package, or of a checkout that is not installed from its
    ``pyproject.toml``.
    """
    try:
        lines = importlib.metadata.requires("leed_jax") or []
        named = importlib.metadata.metadata("leed_jax").get_all("Provides-Extra") or []
        everything = [Requirement(line) for line in lines]
        needed = [each for each in everything if _wanted(each, "")]
        others = [each for each in everything if each not in needed]
        return needed, {name: [each for each in others if _wanted(each, name)] for name in named}
    except importlib.metadata.PackageNotFoundError:
        path = Path(__file__).parents[1] / "pyproject.toml"
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        return (
            [Requirement(line) for line in project["dependencies"]],
            {name: [Requirement(line) for line in lines] for name, lines in extras.items()},
        )


def _wanted(each: Requirement, extra: str) -> bool:
    return each.marker is None or each.marker.evaluate({"extra": extra})


def python() -> Check:
    """The interpreter."""
    found = platform.python_version()
    if Version(found) < Version("3.11"):
        return Check("python", "wrong", found, "leed_jax needs Python 3.11 or newer")
    return Check("python", "ok", found)


def package(wanted: Requirement) -> Check:
    """Whether a package is there in a version that will do."""
    found, bounds = versions.installed(wanted.name), str(wanted.specifier)
    remedy = f"pip install '{wanted.name}{bounds}'"
    if found is None:
        return Check(wanted.name, "wrong", "not installed", remedy)
    if not wanted.specifier.contains(found, prereleases=True):
        return Check(wanted.name, "wrong", f"{found}, needed is {bounds}", remedy)
    return Check(wanted.name, "ok", found)


def litellm() -> Check:
    """Whether language models can be asked; recorded answers need none of it."""
    from leed_jax.generation import llm

    try:
        llm.load()
    except Exception as error:  # of whatever it imports
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Check("language models", "wrong", f"litellm: {said}", "pip install -U litellm")
    return Check("language models", "ok", "litellm can be imported")


def device() -> Check:
    """What JAX computes on, and what it could."""
    import jax

    try:
        found = jax.devices()
    except RuntimeError as error:
        said = " ".join(str(error).split())[:200]
        return Check("device", "wrong", said, "JAX_PLATFORMS=cpu does without")
    kind = f"{len(found)} x {found[0].device_kind} ({found[0].platform})"
    if found[0].platform == "cpu" and os.environ.get("JAX_PLATFORMS") != "cpu":
        for name, places in ACCELERATORS.items():
            if any(Path(place).exists() for place in places):
                remedy = f"pip install 'leed_jax[{name}]'"
                return Check("device", "note", f"{kind}, though there is more", remedy)
    return Check("device", "ok", kind)


def keys(environment: Mapping[str, str]) -> Check:
    """Which API keys are set: their names, never what they hold."""
    names = sorted(name for name in environment if KEY.fullmatch(name))
    filled = [name for name in names if environment[name].strip()]
    if filled:
        return Check("API keys", "ok", ", ".join(filled))
    remedy = (
        "recorded answers (model=replay) and a chat window (model=files:<folder>) need none; else "
        "set e.g. OPENAI_API_KEY"
    )
    return Check("API keys", "note", "none is set", remedy)


def cache(folder: Path) -> Check:
    """Whether compiled programs can be kept."""
    try:
        run_folder.require_writable(folder)
    except OSError as error:
        remedy = "set JAX_COMPILATION_CACHE_DIR to a folder that can be written"
        return Check("compilation cache", "note", files.in_words(error), remedy)
    return Check("compilation cache", "ok", str(folder))


def extra(name: str, wanted: Sequence[Requirement]) -> Check:
    """Whether an extra is installed, in versions that will do."""
    here = [each for each in wanted if each.marker is None or _wanted(each, name)]
    found = [package(each) for each in here]
    if all(check.status == "ok" for check in found):
        said = ", ".join(f"{check.name} {check.found}" for check in found)
        return Check(f"extra {name}", "ok", said)
    lacking = ", ".join(f"{check.name} {check.found}" for check in found if check.status != "ok")
    return Check(f"extra {name}", "note", lacking, f"pip install 'leed_jax[{name}]'")
