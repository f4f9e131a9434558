"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path, *, new: bool = False) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` if nothing was raised.

    The folder is made where it is missing. Of several processes that write the same path at the
    same time the last one wins, and each of them wrote a whole file.

    Args:
      path: of the file.
      new: never replace a file that is there.

    Raises:
      FileExistsError: ``new``, and there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for every writer; one that can be guessed could be a link to elsewhere.
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:  # or a power cut leaves the new name with no content
            os.fsync(file.fileno())
        if new:
            _claim(partial, path)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: str | bytes, *, new: bool = False) -> None:
    """Writes text (UTF-8) or bytes; for ``new`` see `whole`."""
    with whole(path, new=new) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def _claim(partial: Path, path: Path) -> None:
    """Gives ``partial`` the name ``path`` too, or raises ``FileExistsError``."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: there is an empty file for a moment
        path.open("xb").close()
