"""What a run begins with that is in files: demonstrations, and teams to go on from.

Files change and move. A run knows theirs by the SHA-256 of what is in them, and keeps copies in its
folder, so that it goes on, and is repeated, with the same ones or not at all.
"""

import dataclasses
import hashlib
from pathlib import Path

from leed_jax import checkpoint, demonstrations, files, interchange
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import devices
from leed_jax.optimization.results import TrainResult
from leed_jax.run_config import RunConfig
from leed_jax.types import ArrayEnv


def known(config: RunConfig, env: ArrayEnv) -> RunConfig:
    """The configuration with the check sums of the files that it names.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: one cannot be read, or is of another environment; names the field.
    """
    found = {}
    if config.demonstrations is not None and config.demonstrations_sha256 is None:
        read = interchange.read_demonstrations(env, config.demonstrations)
        found["demonstrations_sha256"] = read.content_hash
    if config.initial is not None and config.initial_sha256 is None:
        checkpoint.load_result(config.initial).spec.require(env.spec, "initial")
        found["initial_sha256"] = _sha256(_parts(config.initial)[1])
    return dataclasses.replace(config, **found)


def kept_demonstrations(config: RunConfig, env: ArrayEnv, path: Path) -> Demonstrations | None:
    """Those in the run's folder; None where there are none yet.

    Raises:
      ValueError: they cannot be read, are of another environment, or other ones than the
        configuration says.
    """
    if not path.exists():
        return None
    found = demonstrations.load(path)
    demonstrations.require_match(found, env.spec)
    _require("demonstrations", path, found.content_hash, config.demonstrations_sha256)
    return found


def given_demonstrations(config: RunConfig, env: ArrayEnv) -> Demonstrations | None:
    """Those in the file that the configuration names; None where it names none.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as of `kept_demonstrations`.
    """
    if config.demonstrations is None:
        return None
    found = interchange.read_demonstrations(env, config.demonstrations)
    wanted = config.demonstrations_sha256
    _require("demonstrations", config.demonstrations, found.content_hash, wanted)
    return found


def initial(config: RunConfig, folder: Path) -> TrainResult | None:
    """The teams to go on from, kept in ``folder`` from the first call on; None: there are none.

    Of several processes the first reads them, for all.

    Args:
      config: of the run.
      folder: of the run; for processes behind the first, any of their own.

    Raises:
      FileNotFoundError: there are no such files.
      ValueError: they cannot be read, or are other ones than the configuration says.
    """
    if config.initial is None:
        return None
    kept = folder / "initial"
    first = devices.first_process()
    if first and not all(part.exists() for part in _parts(kept)):
        source = _parts(config.initial)
        _require("initial", config.initial, _sha256(source[1]), config.initial_sha256)
        for part, copy in zip(source, _parts(kept), strict=True):
            files.write(copy, part.read_bytes())
    if devices.several_processes():
        for part in _parts(kept):
            content = devices.share(part.read_bytes() if first else None)
            if not first:
                part.write_bytes(content)
    _require("initial", kept, _sha256(_parts(kept)[1]), config.initial_sha256)
    return checkpoint.load_result(kept)


def _parts(team: Path) -> tuple[Path, ...]:
    """The files of a team: card and parameters."""
    return tuple(team.with_suffix(suffix) for suffix in (".json", ".safetensors"))


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"initial: no file {path}")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _require(name: str, place: Path, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        raise ValueError(
            f"{name}: {place} has the SHA-256 {found}, the run is one with {wanted}: put the "
            "former file there again, or begin another run"
        )
