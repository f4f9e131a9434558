"""Fetching: whole or not at all, from a local server or folder, never from the network itself."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from road import tiny_tntp

from leed_jax.road import fetch, tntp

CONTENT = {
    "Tiny-Town/Tiny_net.tntp": tiny_tntp.NET,
    "Tiny-Town/Tiny_trips.tntp": tiny_tntp.TRIPS,
    "Tiny-Town/Tiny_node.tntp": tiny_tntp.NODES,
}
NAMES = {"Tiny_net.tntp", "Tiny_trips.tntp", "Tiny_node.tntp"}


@pytest.fixture(autouse=True)
def tiny_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest with one network; no proxy between the test and its server."""
    files = {
        path: {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())}
        for path, text in CONTENT.items()
    }
    facts: dict[str, Any] = {
        "repository": "nobody/nowhere",
        "commit": "0" * 40,
        "networks": {"Tiny": {"nodes": 4, "links": 6, "trips": 165.5, "files": files}},
    }
    monkeypatch.setattr(fetch, "manifest", lambda: facts)
    monkeypatch.setitem(tntp.ASSUMED, "Tiny", tntp.Assumed(60.0, 12.0, "made up"))  # type: ignore[arg-type]
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A folder laid out as the collection."""
    for path, text in CONTENT.items():
        file = tmp_path / "mirror" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "mirror"


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; counts what it was asked for."""

    folder: Path
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with a file, or 404."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        file = self.server.folder / self.path.lstrip("/")
        self.send_response(200 if file.is_file() else 404)
        self.end_headers()
        if file.is_file():
            self.wfile.write(file.read_bytes())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(mirror: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as served:
        served.folder, served.asked = mirror, []
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_files_are_downloaded_once(server, tmp_path):
    place = fetch.fetch("Tiny", tmp_path / "data", address(server) + "/")
    assert place == tmp_path / "data" / "Tiny"
    assert {file.name for file in place.iterdir()} == NAMES | {"SOURCE.txt"}
    assert (place / "Tiny_net.tntp").read_text() == tiny_tntp.NET
    assert sorted(server.asked) == sorted(f"/{path}" for path in CONTENT)
    assert fetch.fetch("Tiny", tmp_path / "data", address(server)) == place
    assert len(server.asked) == len(CONTENT)
    assert [folder.name for folder in (tmp_path / "data").iterdir()] == ["Tiny"]


def test_what_was_fetched_is_loaded(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv(fetch.FOLDER_VARIABLE, str(tmp_path / "data"))
    with pytest.raises(FileNotFoundError, match="run `leed road fetch Tiny`"):
        fetch.load_tntp("Tiny")
    fetch.fetch("Tiny", url=mirror)
    found = fetch.load_tntp("Tiny")
    assert (found.name, found.num_nodes, found.num_links) == ("Tiny", 4, 6)
    assert (found.time_step, found.free_flow_time[-1]) == (12.0, 120.0)
    assert "academic research" in found.attribution


def test_a_folder_with_the_files_alone_will_do(mirror, tmp_path):
    assert fetch.fetch("Tiny", tmp_path / "data", mirror / "Tiny-Town").is_dir()


def test_a_file_that_is_another_leaves_nothing(server, mirror, tmp_path):
    (mirror / "Tiny-Town/Tiny_node.tntp").write_text(tiny_tntp.NODES.replace("-1.5", "-1.7"))
    with pytest.raises(ValueError, match=r"nothing was kept: .*Tiny_node\.tntp: wrong SHA-256"):
        fetch.fetch("Tiny", tmp_path / "data", address(server))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_longer_file_is_not_read_to_its_end(server, mirror, tmp_path):
    (mirror / "Tiny-Town/Tiny_node.tntp").write_text(tiny_tntp.NODES + "x" * 100)
    size = len(tiny_tntp.NODES)
    with pytest.raises(ValueError, match=f"{size + 1} bytes instead of {size}"):
        fetch.fetch("Tiny", tmp_path / "data", address(server))


def test_a_damaged_file_is_noticed_and_fetched_anew_and_others_are_left_alone(mirror, tmp_path):
    place = fetch.fetch("Tiny", tmp_path / "data", mirror)
    (place / "Tiny_net.tntp").write_text("cut off")
    (place / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"Tiny_net\.tntp: 7 bytes .*; run `leed road fetch Tiny`"):
        fetch.load_tntp("Tiny", tmp_path / "data")
    fetch.fetch("Tiny", tmp_path / "data", mirror)
    assert fetch.load_tntp("Tiny", tmp_path / "data").num_nodes == 4
    assert (place / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("there", [True, False])
def test_without_an_answer_the_error_says_how_to_do_without(server, mirror, tmp_path, there):
    url = address(server)
    if there:
        (mirror / "Tiny-Town/Tiny_trips.tntp").unlink()
    else:
        url = "http://127.0.0.1:1"
    with pytest.raises(ConnectionError) as error:
        fetch.fetch("Tiny", tmp_path / "data", url)
    assert ("404" if there else "refused") in str(error.value)
    assert "copy the folder Tiny-Town of https://github.com/nobody/nowhere" in str(error.value)
    assert "run `leed road fetch Tiny --from FOLDER`" in str(error.value)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_copy_that_lacks_a_file_is_an_error(mirror, tmp_path):
    (mirror / "Tiny-Town/Tiny_net.tntp").unlink()
    with pytest.raises(FileNotFoundError, match=r"Tiny_net\.tntp: no such file"):
        fetch.fetch("Tiny", tmp_path / "data", mirror)


def test_other_kinds_of_address_are_refused(tmp_path):
    with pytest.raises(ValueError, match="url must begin with http:// or https://"):
        fetch.fetch("Tiny", tmp_path / "data", "file:///etc")


def test_an_unknown_name_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(
        ValueError, match="no network 'Tinny' to fetch; there are Tiny; did you mean"
    ):
        fetch.fetch("Tinny", tmp_path)


def test_the_owners_statement_is_told_and_kept(mirror, tmp_path):
    place = fetch.fetch("Tiny", tmp_path / "data", mirror)
    assert "for academic research purposes only" in fetch.notice("Tiny")
    assert (place / "SOURCE.txt").read_text() == fetch.notice("Tiny") + "\n"
    assert "not considered as a realistic one" in fetch.notice("SiouxFalls")
    assert "not considered as a realistic one" not in fetch.notice("Tiny")


def test_the_usual_folder(monkeypatch, tmp_path):
    monkeypatch.delenv(fetch.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.default_folder() == tmp_path / ".cache" / "leed_jax" / "tntp"
