"""Files appear whole or not at all."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from leed_jax import files


def test_text_and_bytes_are_written_and_folders_made(tmp_path: Path) -> None:
    files.write(tmp_path / "deep" / "text", "é")
    files.write(tmp_path / "bytes", b"x")
    assert (tmp_path / "deep" / "text").read_bytes() == "é".encode()
    assert (tmp_path / "bytes").read_bytes() == b"x"


def test_a_write_that_fails_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    files.write(path, "before")

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        files.write(path, "after")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_name_of_the_file_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "kept.json"
    files.write(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        files.write(path, "new")
    said = files.in_words(caught.value)
    assert said == f"No space left on device: '{path}' (the disk is full: free some space)"
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_errors_without_a_number_are_told_as_they_are_on_one_line() -> None:
    assert files.in_words(FileExistsError("there is\none already")) == "there is one already"
    unknown = OSError(errno.EPIPE, "Broken pipe")
    assert files.in_words(unknown) == "Broken pipe"
