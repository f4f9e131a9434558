"""The networks of Transportation Networks for Research, fetched when they are wanted.

They do not come with the package: their collection says what they may be used for (`LICENCE`) but
grants nobody to pass them on. What is fetched is one commit of the collection, checked against
the sizes and SHA-256 sums in ``tntp_manifest.json``.
"""

import difflib
import functools
import hashlib
import http.client
import importlib.resources
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any

from leed_jax.road import tntp
from leed_jax.road.network import RoadNetwork

FOLDER_VARIABLE = "LEED_JAX_DATA"
"""Environment variable that names another folder for fetched networks."""
TIMEOUT = 60.0
"""Seconds without an answer until a download is given up."""
LICENCE = (
    '"All data is currently donated. Data sets are for academic research purposes only. Users are '
    "fully responsible for any results or conclusions obtained by using these data sets. Users "
    "must indicate the source of any dataset they are using in any publication that relies on any "
    'of the datasets". Nothing is said about passing the files on, which is why this package does '
    "not contain them."
)
WARNINGS = {
    "SiouxFalls": '"WARNING: The Sioux-Falls network is not considered as a realistic one." '
    "Its unit of time is 0.01 h, often viewed, and viewed here, as if it were a minute; its "
    "trips are a tenth of daily ones; its coordinates are artificial.",
    "Friedrichshain": "Provided by Rolf Moehring (TU Berlin), Andreas Schulz (MIT) and Nicolas "
    "Stier-Moses (Columbia University) with the assistance of Stefan Gnutzmann (DaimlerChrysler). "
    "Its unit of time is not stated; 3 s is assumed here.",
}


@functools.cache
def manifest() -> dict[str, Any]:
    """Repository, commit, and the files of every network with their sizes and sums."""
    place = importlib.resources.files("leed_jax") / "road" / "data" / "tntp_manifest.json"
    return json.loads(place.read_text(encoding="utf-8"))


def default_folder() -> Path:
    """``$LEED_JAX_DATA``, else ``~/.cache/leed_jax/tntp``."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "leed_jax" / "tntp"


def notice(name: str) -> str:
    """What the owners of a network say about its use."""
    said = f"{name}: from https://github.com/{manifest()['repository']}, whose README says: "
    return said + " ".join([LICENCE, *([WARNINGS[name]] if name in WARNINGS else [])])


def fetch(name: str, folder: str | Path | None = None, url: str | Path | None = None) -> Path:
    """The folder of a network's files, downloaded unless they are there and whole.

    No file appears before all have been checked; the owners' statement is put beside them, in
    ``SOURCE.txt``.

    Args:
      name: of a network of the manifest, such as "SiouxFalls".
      folder: where to put the network's own folder; None: `default_folder`.
      url: a mirror (http or https) or a folder with a copy of the collection, laid out as it is,
        or with the network's files alone; None: GitHub.

    Raises:
      ValueError: no such network, or files that are not the expected ones.
      ConnectionError: nothing could be downloaded; says how to do without.
      FileNotFoundError: the copy lacks a file.
    """
    files = _files(name)
    target = (default_folder() if folder is None else Path(folder)) / name
    if not _faults(target, files):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=target.parent) as made:
        partial = Path(made)
        for path, expected in files.items():
            content = _content(name, path, expected["bytes"], url)
            (partial / PurePosixPath(path).name).write_bytes(content)
        faults = _faults(partial, files)
        if faults:
            raise ValueError(f"{name}: not the expected files, nothing was kept: {faults[0]}")
        (partial / "SOURCE.txt").write_text(notice(name) + "\n", encoding="utf-8")
        # One by one: the folder may hold other files of its owner.
        target.mkdir(exist_ok=True)
        for file in partial.iterdir():
            file.replace(target / file.name)
    return target


def load_tntp(name: str, folder: str | Path | None = None) -> RoadNetwork:
    """A network that was fetched before.

    Args:
      name: of a network of the manifest.
      folder: given to `fetch`; None: `default_folder`.

    Raises:
      FileNotFoundError: it was not fetched.
      ValueError: no such network, or its files have changed.
    """
    files = _files(name)
    place = (default_folder() if folder is None else Path(folder)) / name
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: not there; run `leed road fetch {name}`")
    faults = _faults(place, files)
    if faults:
        raise ValueError(f"{faults[0]}; run `leed road fetch {name}` to have it anew")
    by_kind = {
        path.rpartition("_")[2].removesuffix(".tntp"): place / PurePosixPath(path).name
        for path in files
    }
    assumed = tntp.ASSUMED[name]
    return tntp.read(
        by_kind["net"],
        by_kind["trips"],
        by_kind.get("node"),
        name=name,
        time_unit_seconds=assumed.time_unit_seconds,
        time_step=assumed.time_step,
        geographic=assumed.geographic,
        attribution=tntp.ATTRIBUTION,
    )


def _files(name: str) -> dict[str, dict[str, Any]]:
    """Path in the collection, then size and sum, of every file of a network."""
    networks = manifest()["networks"]
    if name not in networks:
        near = difflib.get_close_matches(name, networks, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no network {name!r} to fetch; there are {', '.join(networks)}{hint}")
    return networks[name]["files"]


def _faults(place: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    """What is missing or different in a folder of fetched files."""
    faults = []
    for path, expected in files.items():
        file = place / PurePosixPath(path).name
        if not file.is_file():
            faults.append(f"{file}: missing")
        elif file.stat().st_size != expected["bytes"]:
            faults.append(f"{file}: {file.stat().st_size} bytes instead of {expected['bytes']}")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != expected["sha256"]:
            faults.append(f"{file}: wrong SHA-256 sum")
    return faults


def _content(name: str, path: str, size: int, url: str | Path | None) -> bytes:
    """A file of the collection, of which at most one byte too many is read."""
    facts = manifest()
    github = f"https://raw.githubusercontent.com/{facts['repository']}/{facts['commit']}"
    base = github if url is None else str(url)
    if "://" not in base:
        choices = (Path(base) / path, Path(base) / PurePosixPath(path).name)
        found = [choice for choice in choices if choice.is_file()]
        if not found:
            raise FileNotFoundError(f"{choices[0]}: no such file")
        with found[0].open("rb") as file:
            return file.read(size + 1)
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"url must begin with http:// or https:// or be a folder, got {base!r}")
    try:
        with urllib.request.urlopen(f"{base.rstrip('/')}/{path}", timeout=TIMEOUT) as answer:
            return answer.read(size + 1)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise ConnectionError(
            f"{base}/{path}: {error}. Without a network: copy the folder "
            f"{PurePosixPath(path).parent} of https://github.com/{facts['repository']} at commit "
            f"{facts['commit']} to this machine and run `leed road fetch {name} --from FOLDER`"
        ) from error
