"""Imports go one way, and importing the package is light, silent and offline."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import leed_jax

PACKAGE = Path(__file__).parents[1] / "leed_jax"
EXPERIMENTS = PACKAGE.parent / "experiments"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"types", "config", "files", "versions", "archives", "specs", "digests", "quoting"}
WORLD = BASE | {"instructions", "environments", "road", "episodes", "demonstrations"}
ALLOWED = {
    "types": set(),
    "files": set(),
    "archives": set(),
    "specs": set(),
    "quoting": set(),
    "digests": set(),
    "settings": set(),
    "weighting": set(),
    "versions": set(),
    "config": {"types"},
    "statistics": set(),
    "loggers": BASE,
    "displays": set(),
    "console": {"displays"},
    "compilation": set(),
    "instructions": BASE,
    "answers": BASE | {"instructions"},
    "random_plans": BASE | {"instructions"},
    "environments": BASE | {"road"},
    "road": BASE,
    "episodes": BASE,
    "demonstration_arrays": BASE,
    "demonstration_files": BASE | {"demonstration_arrays"},
    "demonstrations": BASE | {"weighting", "demonstration_arrays", "demonstration_files"},
    "scenarios": WORLD,
    "execution": WORLD | {"scenarios"},
    "generation": WORLD | {"answers", "scenarios", "execution", "loggers", "displays"},
    "optimization": BASE
    | {"demonstrations", "episodes", "statistics", "loggers", "console", "displays"},
}
"""What each room may import, besides itself; rooms not listed stand above all of these."""

TOP = {"cli", "commands", "__main__"}
"""Nothing of the package imports these."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Modules that a file imports, anywhere in it: name, line, whether at the top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno, top) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_inside_the_package_go_one_way(path):
    here = room(path)
    for name, line, _ in imported(path):
        package, _, rest = name.partition(".")
        if package == "experiments":
            pytest.fail(f"{path}:{line}: the package imports experiments")
        if package != "leed_jax":
            continue
        there = rest.partition(".")[0]
        if here == "__init__" or there == here or there == "__version__":
            continue
        assert there, f"{path}:{line}: `import leed_jax` inside the package goes in a circle"
        assert there not in TOP or here in TOP, f"{path}:{line}: imports {there}"
        if here in ALLOWED:
            known = ALLOWED[here]
            assert there in known, f"{path}:{line}: {here} imports {there}, not {sorted(known)}"


def test_optimization_sees_no_scenario_no_execution_and_no_generation():
    # It gets arrays and pure functions, handed in at the top.
    assert not ALLOWED["optimization"] & {"scenarios", "execution", "generation", "instructions"}
    assert any(room(path) == "optimization" for path in FILES)


@pytest.mark.parametrize(
    ("package", "place"),
    [("litellm", "generation/llm.py"), ("jaxmarl", "environments/jaxmarl.py")],
)
def test_what_is_slow_to_import_is_imported_in_one_place_when_it_is_needed(package, place):
    found = [
        (str(path.relative_to(PACKAGE)), top)
        for path in FILES
        for name, _, top in imported(path)
        if name.partition(".")[0] == package
    ]
    assert found, f"nothing imports {package}"
    assert {where for where, _ in found} == {place}
    assert not any(top for _, top in found), f"{place} imports {package} at the top level"


OFFLINE = """
import socket

def refuse(*arguments, **options):
    raise AssertionError(f"the network was asked for: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = refuse
socket.getaddrinfo = socket.gethostbyname = refuse

class Refused(socket.socket):
    __init__ = refuse

socket.socket = Refused

import sys
import leed_jax
import leed_jax.logging_backends

for name in leed_jax.__all__:
    getattr(leed_jax, name)
loaded = {"litellm", "openai", "jaxmarl", "matplotlib.pyplot", "sumolib"}
loaded |= {"wandb", "tensorboardX", "tensorboard"}
loaded &= set(sys.modules)
assert not loaded, f"import leed_jax imports {loaded}"
from jax._src import xla_bridge

assert not xla_bridge.backends_are_initialized(), "import leed_jax starts a device"
"""


def test_importing_the_package_is_silent_and_offline_and_leaves_the_slow_ones_out():
    found = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_every_public_name_exists_and_nothing_else_is_promised():
    assert len(set(leed_jax.__all__)) == len(leed_jax.__all__)
    for name in leed_jax.__all__:
        assert getattr(leed_jax, name, None) is not None, name


def undocumented(path: Path) -> Iterator[str]:
    """Public functions and methods of a file without a docstring."""

    def search(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from search(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.FunctionDef) and not (
                node.name.startswith("_") or ast.get_docstring(node)
            ):
                yield f"{path.name}:{node.lineno} {prefix}{node.name}"

    yield from search(ast.parse(path.read_text(encoding="utf-8")).body, "")


def test_every_public_function_says_what_it_returns():
    # ruff asks for this too (D102, D103), but could not spare the tests, whose names say it.
    files = [*FILES, *sorted(EXPERIMENTS.rglob("*.py"))]
    assert [entry for path in files for entry in undocumented(path)] == []
