"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

PARTIAL = re.compile(r"\.[0-9a-f]{8}\.partial$")
"""At the end of the names of files that are being written."""
_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota is used up: free some space",
    errno.EFBIG: "files may not become so large here",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "not allowed: choose another folder, or change its permissions",
    errno.EPERM: "not allowed: choose another folder, or change its permissions",
    errno.ENOENT: "it is missing: was it moved or deleted?",
    errno.ENOTDIR: "a part of the path is a file: choose another folder",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
    errno.EIO: "the disk failed",
}


def in_words(error: OSError) -> str:
    """What happened to which file and what can be done, in one line."""
    if error.errno is None or error.strerror is None:
        return " ".join(str(error).split())
    remedy = _REMEDIES.get(error.errno)
    place = "" if error.filename is None else f": {os.fsdecode(error.filename)!r}"
    return " ".join(f"{error.strerror}{place}{f' ({remedy})' if remedy else ''}".split())


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
      OSError: it cannot be written; what was at ``path`` is still there.
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
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):
            error.filename = str(path)  # a full disk is reported without a name
        raise
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
