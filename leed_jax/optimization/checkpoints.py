"""Checkpoints of teams that train side by side: all that is needed to go on as if never stopped.

A checkpoint is a folder named by its number of updates, written by orbax: the arrays (``state``)
and JSON (``card``) with the books of the loop, a description of the run and a digest of all of it.
The folder appears when it is whole. Arrays are copied to the host at once and written by another
thread, while the next chunk is computed.
"""

import concurrent.futures
import contextlib
import json
import math
import shutil
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from leed_jax.optimization import checkpoint_files, devices, leaves, runs

UNFINISHED = ".orbax-checkpoint-tmp"
"""In the names that orbax gives to folders which it has not finished."""
DISCARDED = ".discarded"
"""At the end of the names of folders that are being deleted."""


class Saved(NamedTuple):
    """A checkpoint that was read."""

    updates: int
    arrays: dict[str, np.ndarray]
    """By the names of `leaves.named`."""
    books: dict[str, Any]
    """Of the loop, as JSON."""


class Store:
    """The checkpoints of one call: written behind the training's back, the last and the best kept.

    Where there are several processes, all of them call it and the first reads and writes. Use as a
    context manager: what is being written is finished when it is left.
    """

    def __init__(
        self, folder: Path, settings: runs.Checkpointing, described: dict[str, Any]
    ) -> None:
        """Opens a folder, which need not be there.

        Args:
          folder: of these checkpoints alone.
          settings: which are kept.
          described: what is trained, from `runs.describe`.
        """
        self.folder, self.settings, self.described = folder, settings, described
        self._writer: concurrent.futures.ThreadPoolExecutor | None = None
        self._pending: concurrent.futures.Future[None] | None = None
        self._scores: dict[int, float] = {}
        self._gather: Any = None

    def __enter__(self) -> "Store":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finishes what is being written; its error is raised unless there is one already."""
        if self._writer is not None:
            self._writer.shutdown(wait=True)
            self._writer = None
        if error is None:
            self.wait()

    # -------------------------------------------------------------------------- writing

    def save(self, updates: int, tree: Any, books: dict[str, Any], score: float) -> None:
        """Copies the arrays to the host, and has them written while the caller goes on.

        Args:
          updates: that were done.
          tree: any pytree of arrays.
          books: JSON, of which NaN and infinity are part.
          score: the higher, the better; NaN: none.

        Raises:
          OSError: the checkpoint before this one could not be written.
        """
        self.wait()
        tree = leaves.raw(tree)
        if devices.several_processes():
            if self._gather is None:
                mesh = jax.tree.leaves(tree)[0].sharding.mesh
                self._gather = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, P()))
            tree = self._gather(tree)
        if not devices.first_process():
            return
        # On a CPU what comes from the device is a view of what the next update writes over.
        arrays = {name: np.array(leaf) for name, leaf in leaves.named(jax.device_get(tree)).items()}
        card = {
            "format": runs.FORMAT,
            "version": runs.VERSION,
            "versions": runs.installed(),
            "run": self.described,
            "updates": updates,
            "score": float(score),
            "arrays": {name: [leaf.shape, str(leaf.dtype)] for name, leaf in arrays.items()},
            "books": books,
        }
        card = json.loads(json.dumps(card))  # nobody changes the books while they are written
        if self._writer is None:
            self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending = self._writer.submit(self._write, updates, arrays, card)

    def wait(self) -> None:
        """Until all is written.

        Raises:
          OSError: it could not be.
        """
        pending, self._pending = self._pending, None
        runs.by_first(lambda: None if pending is None else pending.result())

    def _write(self, updates: int, arrays: dict[str, np.ndarray], card: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp  # takes seconds, and most runs do without

        card["digest"] = checkpoint_files.digest(arrays, card)
        path = self._path(updates)
        # orbax does not write arrays without elements, and needs none: the card has their shapes.
        full = {name: leaf for name, leaf in arrays.items() if leaf.size}
        items = ocp.args.Composite(state=ocp.args.PyTreeSave(full), card=ocp.args.JsonSave(card))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with checkpoint_files.opened() as checkpointer:
                checkpointer.save(path, args=items, force=True)
            self._scores[updates] = card["score"]
            self._discard()
        except Exception as error:  # what is raised over a full disk is not always an OSError
            raise OSError(
                f"checkpoint {path} could not be written: {' '.join(str(error).split())[:300]}; "
                "the ones before it are whole"
            ) from error

    def _discard(self) -> None:
        """Deletes all but the newest and the best."""
        steps = self.steps()
        scores = [(self._scores[step], step) for step in steps if step in self._scores]
        scores = [pair for pair in scores if not math.isnan(pair[0])]
        kept = {*steps[-self.settings.keep :], *[step for _, step in sorted(scores)[-1:]]}
        for step in set(steps) - kept:
            path = self._path(step)
            # Under another name first: a process that is killed leaves no half of a checkpoint.
            _delete(path.rename(path.with_name(path.name + DISCARDED)))

    # -------------------------------------------------------------------------- reading

    def steps(self) -> list[int]:
        """Updates of all checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def newest(self, wanted: dict[str, Any]) -> Saved | None:
        """The newest checkpoint that is whole, with a warning for each that is not; None: none.

        Args:
          wanted: `leaves.forms` of what was saved.

        Raises:
          ValueError: it is of another run, format or kind of state, or all there are are damaged.
        """
        found: dict[str, np.ndarray] = {}

        def read() -> Any:
            saved = self._newest(wanted)
            if saved is None:
                return None
            found.update(saved.arrays)
            return saved.updates, saved.books

        told = runs.by_first(read)
        if told is None:
            return None
        if devices.several_processes():
            for name, form in wanted.items():
                content = devices.share(found[name].tobytes() if name in found else None)
                found[name] = np.frombuffer(content, form.dtype).reshape(form.shape)
        return Saved(told[0], found, told[1])

    def _newest(self, wanted: dict[str, Any]) -> Saved | None:
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if UNFINISHED in path.name or path.name.endswith(DISCARDED):
                    _delete(path)
        newest = None
        steps = self.steps()
        for step in reversed(steps):
            path = self._path(step)
            try:
                with checkpoint_files.opened() as checkpointer:
                    card = checkpoint_files.read_card(checkpointer, path)
                    if newest is None:
                        arrays = checkpoint_files.read_arrays(checkpointer, path, card)
                self._scores[step] = float(card["score"])
            # Whatever orbax, tensorstore and json raise over damaged files.
            except Exception as error:
                told = f"{type(error).__name__} {' '.join(str(error).split())[:200]}"
                warnings.warn(f"checkpoint {path} is damaged: {told}", stacklevel=2)
                continue
            if newest is None:
                runs.require_format(card, path)
                runs.require_same(card["run"], self.described, path)
                checkpoint_files.require_forms(arrays, wanted, path)
                newest = Saved(step, arrays, card["books"])
        if steps and newest is None:
            raise ValueError(
                f"all checkpoints in {self.folder} are damaged; choose another checkpoint_dir to "
                "begin anew"
            )
        return newest

    def _path(self, updates: int) -> Path:
        return self.folder.absolute() / f"{updates:08d}"


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
