"""The notebooks in demos/: their form, the outputs they are shipped with, and that they run."""

import base64
import fnmatch
import importlib.util
import io
import os
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="the extra dev is not installed")
pytest.importorskip("nbclient", reason="the extra dev is not installed")

DEMOS = Path(__file__).parents[1] / "demos"
NOTEBOOKS = sorted(DEMOS.glob("*.ipynb"))
REPOSITORY = "leed-jax/leed_jax"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
COLAB = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/demos"
INSTALL = f'''\
import glob
import importlib.util
import shutil

if importlib.util.find_spec("leed_jax") is None:  # as on Colab
    tpu = glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")
    extra = "[cuda]" if shutil.which("nvidia-smi") else "[tpu]" if tpu else ""
    %pip install -q "leed_jax{{extra}} @ git+https://github.com/{REPOSITORY}"'''
MAX_BYTES = 1_500_000
MACHINE = re.compile(r"(?<![\w./:~-])/(home|tmp|root|work|opt|usr|var|Users|private|content)/")
"""An absolute path: of no use to anybody else."""
COMPLAINT = re.compile(r"\w*Warning: |Traceback \(most recent")
BUSY_SECONDS = 1200
"""A single cell may take: far more than it does, for machines with other things to do."""

of_every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def runner() -> Any:
    """The program that runs notebooks, which lies beside them."""
    found = importlib.util.spec_from_file_location("execute", DEMOS / "execute.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def read(path: Path) -> Any:
    """The notebook, not upgraded to a newer format."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code(notebook: Any) -> list[Any]:
    """Its cells with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> Iterator[Any]:
    """Of all cells."""
    for cell in code(notebook):
        yield from cell.outputs


def said(output: Any) -> str:
    """All that an output says in words."""
    if output.output_type == "stream":
        return output.text
    return "\n".join(
        text for kind, text in output.get("data", {}).items() if kind.startswith("text/")
    )


def pictures(notebook: Any) -> list[bytes]:
    """PNGs and GIFs among the outputs."""
    return [
        base64.b64decode(data)
        for output in outputs(notebook)
        for kind, data in output.get("data", {}).items()
        if kind.startswith("image/")
    ]


def check_outputs(notebook: Any) -> None:
    """Every cell ran, once and in order; nothing complained; there is something to look at."""
    assert [cell.execution_count for cell in code(notebook)] == [
        number for number, _ in enumerate(code(notebook), 1)
    ]
    for output in outputs(notebook):
        assert output.output_type != "error", output
        assert output.get("name") != "stderr", output.text
        assert not MACHINE.search(said(output)), said(output)
        assert not COMPLAINT.search(said(output)), said(output)
    shown = pictures(notebook)
    assert shown
    for picture in shown:
        with Image.open(io.BytesIO(picture)) as image:
            image.load()
            extrema = image.convert("L").getextrema()
        assert extrema[0] != extrema[1], "a picture of one colour shows nothing"


def test_there_are_notebooks_and_the_list_names_them_all() -> None:
    listed = re.findall(r"\((\d\d_\w+\.ipynb)\)", (DEMOS / "README.md").read_text("utf-8"))
    assert listed == [path.name for path in NOTEBOOKS] != []


@of_every_notebook
def test_its_form_is_that_of_the_others(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert path.stat().st_size <= MAX_BYTES
    assert notebook.metadata.kernelspec == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    title = notebook.cells[0]
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    badges = re.findall(rf"^{re.escape(BADGE)}\((.*)\)$", title.source, re.MULTILINE)
    assert badges == [f"{COLAB}/{path.name}"]
    assert code(notebook)[0].source == INSTALL
    ids = [cell.id for cell in notebook.cells]
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", name) for name in ids), ids
    assert all(cell.source.strip() for cell in notebook.cells)


@pytest.mark.parametrize(
    ("there", "found", "installed"),
    [
        (True, "nvidia-smi", []),
        (False, "", ["leed_jax"]),
        (False, "nvidia-smi", ["leed_jax[cuda]"]),
        (False, "/dev/accel0", ["leed_jax[tpu]"]),
        (False, "/dev/vfio/0", ["leed_jax[tpu]"]),
        (False, "/dev/vfio/vfio", ["leed_jax"]),
    ],
)
def test_what_the_first_cell_installs(
    there: bool,
    found: str,
    installed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    # A shell names its module in sys.modules, and would put its own in place of __main__.
    cells = types.ModuleType("cells")
    monkeypatch.setitem(sys.modules, "cells", cells)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if there else None)
    monkeypatch.setattr("shutil.which", lambda name: name if name == found else None)
    monkeypatch.setattr("glob.glob", lambda pattern: fnmatch.filter([found], pattern))
    asked: list[str] = []
    shell = InteractiveShell(
        user_module=cells,
        ipython_dir=str(tmp_path),
        config=Config({"HistoryManager": {"enabled": False}}),
    )
    shell.magics_manager.magics["line"]["pip"] = asked.append
    shell.run_cell(INSTALL).raise_error()
    ending = f' @ git+https://github.com/{REPOSITORY}"'
    assert asked == [f'install -q "{name}{ending}' for name in installed]


@of_every_notebook
def test_one_variable_of_the_environment_makes_it_small(path: Path) -> None:
    text = "\n".join(cell.source for cell in code(read(path)))
    asked = re.findall(r"os\.(?:environ\.get\(|getenv\()\"(\w+)\"", text)
    assert asked == ["LEED_DEMO"]


@of_every_notebook
def test_it_is_shipped_with_the_outputs_of_a_run(path: Path) -> None:
    check_outputs(read(path))


@pytest.mark.parametrize(
    ("spoilt", "what"),
    [
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}, "error"),
        ({"output_type": "stream", "name": "stderr", "text": "so what"}, "so what"),
        ({"output_type": "stream", "name": "stdout", "text": "in /home/me/a.gif"}, "/home/me"),
        ({"output_type": "stream", "name": "stdout", "text": "DeprecationWarning: no"}, "Warning"),
    ],
)
def test_what_should_not_be_in_outputs_is_found(spoilt: dict[str, Any], what: str) -> None:
    notebook = read(NOTEBOOKS[0])
    check_outputs(notebook)
    code(notebook)[1].outputs = [nbformat.from_dict(spoilt)]
    with pytest.raises(AssertionError, match=what):
        check_outputs(notebook)


def test_cells_that_did_not_run_and_notebooks_without_pictures_are_found() -> None:
    notebook = read(NOTEBOOKS[0])
    code(notebook)[1].execution_count = None
    with pytest.raises(AssertionError, match="None"):
        check_outputs(notebook)
    notebook = read(NOTEBOOKS[0])
    for cell in code(notebook):
        cell.outputs = []
    with pytest.raises(AssertionError):
        check_outputs(notebook)


@pytest.mark.notebooks
def test_a_cell_that_fails_ends_the_run_and_no_key_is_handed_on(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    path = tmp_path / "a.ipynb"
    asks = "import os\nprint([n for n in ('OPENAI_API_KEY', 'LEED_DEMO') if n in os.environ])"
    env = {**os.environ, "OPENAI_API_KEY": "none", "LEED_DEMO": "small"}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(asks)])
    nbformat.write(notebook, path)
    (output,) = outputs(runner().execute(path, tmp_path, env=env))
    assert output.text == "['LEED_DEMO']\n"
    notebook.cells.append(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(notebook, path)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        runner().execute(path, tmp_path, env=env)


@pytest.mark.notebooks
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_in_the_small_size(path: Path, tmp_path: Path) -> None:
    env = {**os.environ, "LEED_DEMO": "small"}
    check_outputs(runner().execute(path, tmp_path, env=env, timeout=BUSY_SECONDS))
