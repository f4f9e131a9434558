"""Demonstrations from a file or folder, whichever of the known forms it has."""

import os
from pathlib import Path
from typing import Any

from leed_jax import archives, demonstrations
from leed_jax.demonstrations import Demonstrations
from leed_jax.interchange.arrays import demonstrations_from_arrays
from leed_jax.interchange.minari import load_minari
from leed_jax.types import ArrayEnv, HasArrayEnv

NEEDED = ("observations", "actions")
OPTIONAL = ("rewards", "lengths", "valid", "action_mask")
"""Members of a file of plain arrays, named as the arguments of `demonstrations_from_arrays`."""


def read_demonstrations(
    scenario: HasArrayEnv | ArrayEnv, path: str | os.PathLike[str]
) -> Demonstrations:
    """Demonstrations of an environment, in any of the forms that they are kept in.

    - A ``.npz`` that `Demonstrations.save` wrote, or the folder of a run, which holds one.
    - A ``.npz`` of plain padded arrays with agents side by side, ``np.savez(path,
      observations=..., actions=...)``, and if there are such ``rewards``, ``lengths``, ``valid``
      and ``action_mask``, as `demonstrations_from_arrays` takes them.
    - A Minari dataset: its folder, ``<root>/<name>-v<number>``.

    Args:
      scenario: that they are of, or its `ArrayEnv`.
      path: of the file or folder.

    Raises:
      FileNotFoundError: there is no such file.
      ImportError: Minari is not installed; the message names the extra.
      ValueError: none of these forms, damaged, or of another environment; names the field.
    """
    place = Path(path)
    if (place / "demonstrations.npz").is_file():
        place = place / "demonstrations.npz"
    if place.is_dir():
        if not (place / "data" / "metadata.json").is_file():
            raise ValueError(
                f"{place}: neither the folder of a run (no demonstrations.npz in it) nor a Minari "
                "dataset (no data/metadata.json)"
            )
        return load_minari(scenario, place.resolve().parent, place.resolve().name)
    if not place.exists():
        raise FileNotFoundError(f"no demonstrations at {place}")
    members = archives.listed(place)
    if "header" in members:
        found = demonstrations.load(place)
        env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
        demonstrations.require_match(found, env.spec)
        return found
    return _plain(scenario, place, members)


def _plain(
    scenario: HasArrayEnv | ArrayEnv, place: Path, members: tuple[str, ...]
) -> Demonstrations:
    """From arrays that stand in a file by themselves."""
    missing = [name for name in NEEDED if name not in members]
    unknown = [name for name in members if name not in (*NEEDED, *OPTIONAL)]
    if missing or unknown:
        raise ValueError(
            f"{place}: neither what Demonstrations.save writes (no header) nor plain arrays: they "
            f"are {', '.join(NEEDED)} and perhaps {', '.join(OPTIONAL)}, it has "
            f"{', '.join(map(ascii, members))[:200]}"
        )
    arrays: dict[str, Any] = archives.read(place, members, None)
    try:
        return demonstrations_from_arrays(scenario, **arrays, provenance={"source": "arrays"})
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
