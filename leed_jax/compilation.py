"""Compiled programs kept on the disk, so that the second run of a command starts in seconds.

Commands ask for it; importing the package changes nothing.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

OFF = "off"
"""What to give for a folder where nothing is to be kept."""
MIN_SECONDS = 0.1
"""Programs that compile faster are not kept; JAX's own default, 1 s, leaves out the many that a
start is made of."""


def default_folder() -> Path:
    """``$JAX_COMPILATION_CACHE_DIR``, else ``leed_jax/compilation`` in the user's cache folder.

    That is ``$XDG_CACHE_HOME``, or ``~/.cache`` where it is not set.
    """
    given = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "leed_jax" / "compilation"


def enable_cache(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Has JAX keep compiled programs in a folder and look for them there.

    A folder that cannot be written is a warning: the run goes on without.

    Args:
      folder: where; "off" keeps nothing, even where the environment names a folder; None:
        `default_folder`.

    Returns:
      The folder; None where nothing is kept.
    """
    if folder == OFF:
        _set(None)
        return None
    target = default_folder() if folder is None else Path(folder).expanduser()
    try:
        target.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target).close()
    except OSError as error:
        warnings.warn(f"compilation cache: none, {error}", stacklevel=2)
        _set(None)
        return None
    _set(target)
    return target


def announce_cache(folder: str | os.PathLike[str] | None = None) -> None:
    """`enable_cache`, as commands begin: a line on stderr says where programs are kept."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = enable_cache(folder)
    lines = [str(warning.message) for warning in caught]
    if found is not None:
        lines.append(f"compilation cache: {found}")
    for line in lines:
        print(line, file=sys.stderr)


def _set(folder: Path | None) -> None:
    jax.config.update("jax_enable_compilation_cache", folder is not None)
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    # JAX decides once, at the first program it compiles, whether there is a cache.
    compilation_cache.reset_cache()
