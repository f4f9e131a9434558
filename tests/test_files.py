"""Files appear whole or not at all."""

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
