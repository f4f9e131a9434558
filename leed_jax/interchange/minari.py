"""Demonstrations to and from Minari datasets in a folder that the user names; no network.

What is in them stands in `minari_layout`.
"""

import dataclasses
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leed_jax import specs, versions
from leed_jax.demonstrations import Demonstrations
from leed_jax.interchange import minari_layout
from leed_jax.interchange.arrays import build
from leed_jax.types import ArrayEnv, EnvSpec, HasArrayEnv

HEADER = "leed_jax"
"""Entry of the metadata with specification, measures and provenance, as JSON."""
FORMAT_VERSION = 1


def save_minari(
    demos: Demonstrations,
    root: str | os.PathLike[str],
    dataset_id: str,
    *,
    author: str | None = None,
    description: str | None = None,
) -> Path:
    """Writes demonstrations as a Minari dataset (HDF5), and returns its folder.

    With ``MINARI_DATASETS_PATH=root``, ``minari.load_dataset(dataset_id)`` reads it. The folder
    appears whole or not at all.

    Args:
      demos: to be written.
      root: folder of local datasets, made where it is missing.
      dataset_id: ``name-v0``, or ``folder/name-v0``.
      author: for the metadata.
      description: for the metadata; by default says what the demonstrations are.

    Raises:
      ImportError: Minari is not installed; the message names the extra.
      FileExistsError: there is such a dataset.
      ValueError: no such id is possible, or an agent's name cannot name a group of HDF5.
    """
    _minari()
    storage_module = importlib.import_module("minari.dataset.minari_storage")
    spec = demos.spec
    wrong = [name for name in spec.agents if "/" in name or name in ("", ".", "..")]
    if wrong:
        raise ValueError(f"agents {wrong}: HDF5 has no such names of groups")
    folder = _folder(root, dataset_id)
    if folder.exists():
        raise FileExistsError(f"there is a dataset at {folder}")
    observation_space, action_space = minari_layout.spaces(spec)
    header = {
        "version": FORMAT_VERSION,
        "spec": spec._asdict(),
        "measures": dict(demos.measures),
        "provenance": dict(demos.provenance),
        "returns": np.asarray(demos.arrays.returns).tolist(),
    }
    metadata: dict[str, Any] = {
        "dataset_id": dataset_id,
        "minari_version": versions.installed("minari"),
        "algorithm_name": str(demos.provenance.get("model", demos.provenance.get("source", ""))),
        "description": description or str(demos),
        HEADER: json.dumps(header),
    }
    if author is not None:
        metadata["author"] = {author}
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
    try:
        storage = storage_module.MinariStorage.new(partial, observation_space, action_space)
        storage.update_metadata(metadata)
        storage.update_episodes(minari_layout.buffers(demos))
        partial.chmod(0o755)  # mkdtemp keeps other users out
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load_minari(
    scenario: HasArrayEnv | ArrayEnv, root: str | os.PathLike[str], dataset_id: str
) -> Demonstrations:
    """Demonstrations from a Minari dataset, this package's or another's.

    The dataset's spaces are dictionaries by agents' names; of an environment with one agent they
    may be that agent's own. Actions are discrete, or vectors that are scaled from the space's
    bounds to [-1, 1]. Without ``infos["agent_reward"]`` every agent gets the N-th part of the
    dataset's reward, so that team returns are the dataset's.

    Of this package's own datasets all that is inside the episodes comes back to the last bit.

    Args:
      scenario: that the dataset is of, or its `ArrayEnv`.
      root: folder of local datasets.
      dataset_id: as in `save_minari`.

    Raises:
      ImportError: Minari is not installed; the message names the extra.
      FileNotFoundError: there is no such dataset.
      ValueError: it does not fit the environment; the message names the field and what was allowed.
    """
    minari = _minari()
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    folder = _folder(root, dataset_id)
    if not (folder / "metadata.json").is_file():
        raise FileNotFoundError(f"no Minari dataset at {folder}")
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    # Without its spaces Minari would make the environment that the file names.
    for name in ("observation_space", "action_space"):
        if not isinstance(metadata.get(name), str):
            raise ValueError(f"{folder}: its metadata have no {name}")
    header = _header(metadata, env.spec, folder)
    dataset = minari.MinariDataset(folder)
    fields: dict[str, list[dict[str, Any]]] = {}
    for episode in dataset.iterate_episodes():
        for name, values in minari_layout.episode_fields(episode, dataset, env.spec).items():
            fields.setdefault(name, []).append(values)
    if not fields:
        raise ValueError(f"{folder} holds no episode")
    count = len(fields["actions"])
    partly = [name for name, values in fields.items() if len(values) != count]
    if partly:
        raise ValueError(f"{folder}: only some episodes have the infos {partly}")
    try:
        # Of our own a policy may have asked for more than the bounds; the environment clipped it.
        bounded = HEADER not in metadata
        measures, provenance = header["measures"], header["provenance"]
        demos = build(env.spec, fields, None, measures, provenance, bounded=bounded)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    # Sums depend on the order of adding: those that were written, unless rewards were changed.
    written = header.get("returns", np.zeros(0, np.float32))
    summed = np.asarray(demos.arrays.returns)
    if written.shape != summed.shape or not np.allclose(written, summed, rtol=1e-4, atol=1e-4):
        return demos
    return dataclasses.replace(demos, arrays=demos.arrays._replace(returns=written))


def _minari() -> Any:
    """The package, imported only here."""
    try:
        importlib.import_module("h5py")
        return importlib.import_module("minari")
    except ImportError as error:
        raise ImportError(
            f"Minari datasets need the extra: pip install 'leed_jax[data]' ({error})"
        ) from error


def _folder(root: str | os.PathLike[str], dataset_id: str) -> Path:
    """Where Minari keeps a dataset."""
    parts = dataset_id.split("/")
    plain = all(part and part.replace("-", "_").isidentifier() for part in parts)
    number = parts[-1].rpartition("-v")[2]
    if not plain or "-v" not in parts[-1] or not number.isdecimal():
        raise ValueError(
            f"dataset_id must be letters, digits, - and _, and end with -v and a number, such as "
            f"spread/hand-v0; got {dataset_id!r}"
        )
    # Minari measures what it wrote by a path that it joins to itself: relative ones do not exist.
    return Path(root).absolute() / dataset_id / "data"


def _header(metadata: Mapping[str, Any], spec: EnvSpec, folder: Path) -> dict[str, Any]:
    """Measures, provenance and returns; of others' datasets, where they come from."""
    if HEADER not in metadata:
        origin = {"source": "minari", "dataset_id": str(metadata.get("dataset_id", ""))}
        origin |= {name: metadata[name] for name in ("author", "description") if name in metadata}
        return {"measures": {}, "provenance": origin}
    try:
        header = json.loads(metadata[HEADER])
        if not isinstance(header, dict) or header.get("version") != FORMAT_VERSION:
            raise ValueError(f"must be an object of version {FORMAT_VERSION}")
        found = EnvSpec(**specs.read(header.get("spec"))._asdict())
        measures, provenance = header.get("measures"), header.get("provenance")
        if not isinstance(measures, dict) or not isinstance(provenance, dict):
            raise ValueError("measures and provenance must be objects")
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder}: metadata.{HEADER}: {str(error)[:300]}") from None
    found.require(spec, str(folder))
    return {**header, "returns": _returns(header.get("returns"))}


def _returns(given: Any) -> np.ndarray:
    """A table of numbers from JSON; empty if it is none."""
    try:
        return np.array(given, np.float32)
    except (ValueError, TypeError):
        return np.zeros(0, np.float32)
