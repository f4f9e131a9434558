"""Runs the notebooks of this folder from top to bottom and keeps their outputs in the files.

    python demos/execute.py                    # all of them, in their full size
    LEED_DEMO=small python demos/execute.py 01_quickstart

Each runs in an empty folder of its own. A cell that raises an error ends the run, and leaves the
file as it was.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbclient
import nbformat

FOLDER = Path(__file__).parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def execute(
    path: Path, folder: Path, *, env: Mapping[str, str] = os.environ, timeout: int = 1800
) -> nbformat.NotebookNode:
    """A notebook with the outputs of a run.

    Args:
      path: of the notebook, which is not changed.
      folder: the working directory of its cells.
      env: environment variables; ``LEED_DEMO=small`` asks for the small size.
      timeout: seconds that a single cell may take.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell raised an error.
      nbclient.exceptions.CellTimeoutError: a cell took longer.
    """
    notebook = nbformat.read(path, as_version=4)
    # Without keys nobody is asked for money; without a backend figures appear in the notebook.
    env = {
        name: value
        for name, value in env.items()
        if name != "MPLBACKEND" and not name.endswith("_API_KEY")
    }
    # Where the package is not installed, the one beside this folder is meant.
    found = [str(FOLDER.parent), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        # The kernel's own remarks, on transports and debuggers, are not about the notebook.
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute(env=env)
    return tidy(notebook)


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what tells of the machine it ran on, and adjacent prints as one."""
    notebook.metadata["kernelspec"] = dict(KERNEL)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Streams that follow one another under the same name are one."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        name = output.get("name")
        if kept and name is not None and name == kept[-1].get("name"):
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def main() -> None:
    """Executes the notebooks that the command line names."""
    parser = argparse.ArgumentParser(description="Runs notebooks, keeps their outputs.")
    names = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", default=names, metavar="name", help=", ".join(names))
    for name in parser.parse_args().names:
        path = FOLDER / f"{name}.ipynb"
        print(path.name, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder))
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
