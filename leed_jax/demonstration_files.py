"""Files of demonstrations: ``.npz`` with a versioned JSON header, checked before it is unpacked."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from leed_jax import archives, demonstration_arrays, files, specs
from leed_jax.demonstration_arrays import DemonstrationArrays
from leed_jax.types import EnvSpec

FORMAT_VERSION = 1
MAX_FILE_BYTES = archives.MAX_BYTES
"""Unpacked size above which a file is refused unread."""


class Content(NamedTuple):
    """Of a file: the fields of `demonstrations.Demonstrations`."""

    arrays: DemonstrationArrays
    spec: EnvSpec
    measures: Mapping[str, float]
    provenance: Mapping[str, Any]


def write(
    path: str | os.PathLike[str],
    arrays: DemonstrationArrays,
    spec: EnvSpec,
    measures: Mapping[str, float],
    provenance: Mapping[str, Any],
) -> None:
    """Writes a file that appears whole or not at all (written beside its place, then renamed)."""
    header = {
        "format": "leed_jax.demonstrations",
        "version": FORMAT_VERSION,
        "spec": spec._asdict(),
        "measures": dict(measures),
        "provenance": dict(provenance),
    }
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    members = {name: np.asarray(value) for name, value in arrays._asdict().items()}
    with files.whole(Path(path)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, header=text, **members)


def read(path: str | os.PathLike[str]) -> Content:
    """What `write` wrote; the numbers in the arrays are not checked, their shapes and kinds are.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not such a file, another version, or arrays that contradict the header; the
        message names the field.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no demonstrations at {path}")
    names = ("header", *DemonstrationArrays._fields)

    def fits(forms: Mapping[str, archives.Form], first: bytes) -> None:
        demonstration_arrays.check_forms(forms, _spec(_header(first)["spec"]))

    values = archives.read(Path(path), names, fits, MAX_FILE_BYTES)
    header = _header(values.pop("header").tobytes())
    arrays, spec = DemonstrationArrays(**values), _spec(header["spec"])
    return Content(arrays, spec, header["measures"], header["provenance"])


def _header(text: bytes) -> dict[str, Any]:
    """The entries of a header, those that every version has checked."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"header: is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict) or header.get("format") != "leed_jax.demonstrations":
        raise ValueError("header: not a file of demonstrations")
    version = header.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        said = repr(version)[:40]
        raise ValueError(f"header: version {said}, this package reads {FORMAT_VERSION}")
    for name in ("spec", "measures", "provenance"):
        if not isinstance(header.get(name), dict):
            raise ValueError(f"header: {name} must be a JSON object")
    for name, value in header["measures"].items():
        whole = type(value) is int and abs(value) < 2**53
        if not whole and not isinstance(value, float):
            raise ValueError(f"header: measures.{name[:40]!a} must be a number")
    return header


def _spec(fields: dict[str, Any]) -> EnvSpec:
    """The specification in a header, which may say anything."""
    try:
        return EnvSpec(**specs.read(fields)._asdict())
    except ValueError as error:
        raise ValueError(f"header: {error}") from None
