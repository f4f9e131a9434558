"""The checkpoints of a whole run, call by call: which calls are finished, and what is to go on."""

from typing import Any, NamedTuple

import jax

from leed_jax import loggers
from leed_jax.optimization import checkpoints, leaves, runs
from leed_jax.optimization.books import Books


class Call(NamedTuple):
    """What became of the members of one call of the compiled programs."""

    books: Books
    params: Any
    """Leading axes of members and agents."""


class Unfinished(NamedTuple):
    """A call that goes on from a checkpoint."""

    state: Any
    alive: Any
    updates: int
    books: Books


class Saving:
    """What there is of a run, and where the rest of it goes.

    Every call has a folder of its own, named by its number; the last call that there is anything
    of may be unfinished, those before it are not.
    """

    def __init__(self, settings: runs.Checkpointing, described: dict[str, Any]) -> None:
        """Looks for something to resume.

        Args:
          settings: where, and whether it is to be resumed.
          described: what is to be trained, from `runs.describe`.

        Raises:
          FileExistsError: there is something that is not to be resumed.
          ValueError: what there is is of another run.
        """
        self.settings, self.described = settings, described
        found = runs.by_first(lambda: runs.opened(settings, described))
        self.record = None if found is None else runs.Record(*found)
        self._stores: dict[int, checkpoints.Store] = {}
        self._saved: checkpoints.Saved | None = None
        self._shapes: Any = None
        self._position = None if self.record is None else self.record.position

    def begin(self, at_once: int, metrics: loggers.MetricsWriter | None) -> None:
        """Writes down what the run is, unless it goes on.

        Args:
          at_once: members that train side by side.
          metrics: what the run writes, if anything.
        """
        if self.record is not None:
            return
        record = runs.Record(at_once, None if metrics is None else metrics.position)
        runs.by_first(lambda: runs.write(self.settings, self.described, record))

    def store(self, call: int) -> checkpoints.Store:
        """The checkpoints of a call, counted from 0."""
        if call not in self._stores:
            folder = self.settings.folder / f"call-{call + 1}"
            self._stores[call] = checkpoints.Store(folder, self.settings, self.described)
        return self._stores[call]

    def finished(self, shapes: Any, updates: int, calls: int) -> list[Call]:
        """The calls that are finished, with parameters as arrays of this process.

        Args:
          shapes: of the states of one call.
          updates: of a finished call.
          calls: in all.

        Raises:
          ValueError: a checkpoint is of another run or another kind of state, or all are damaged.
        """
        found = []
        if self.record is None:
            return found
        self._shapes = _tree(shapes)
        wanted, of_params = leaves.forms(self._shapes), {"state": {"params": shapes.params}}
        for call in range(calls):
            self._saved = self.store(call).newest(wanted)
            if self._saved is None or self._saved.updates < updates:
                return found
            books = Books.from_json(self._saved.books)
            tree = leaves.placed(self._saved.arrays, of_params, None)
            found.append(Call(books, tree["state"]["params"]))
            self._position, self._saved = books.position, None
        return found

    def unfinished(self, shardings: Any) -> Unfinished | None:
        """The call behind those that are `finished`, if there is a checkpoint of it; once.

        Args:
          shardings: of states, and of who is alive, on a mesh; None: without one.
        """
        saved, self._saved = self._saved, None
        if saved is None:
            return None
        places = None if shardings is None else _tree(*shardings)
        tree = leaves.placed(saved.arrays, self._shapes, places)
        books = Books.from_json(saved.books)
        return Unfinished(tree["state"], tree["alive"], saved.updates, books)

    def first_books(self) -> Books:
        """Of a call that begins."""
        return Books(position=self._position)


def _tree(state: Any, alive: Any = None) -> dict[str, Any]:
    """What a checkpoint holds; by default shapes, of which all members' leading axis tells."""
    if alive is None:
        count = jax.tree.leaves(state)[0].shape[0]
        alive = jax.ShapeDtypeStruct((count,), bool)
    return {"state": state, "alive": alive}
