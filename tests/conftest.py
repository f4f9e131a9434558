"""What holds for the whole test session: device, compilation cache, and checked shapes."""

import gc
import getpass
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before jax is imported. Who wants to test on a GPU or elsewhere says so in the environment.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(tempfile.gettempdir()) / f"leed_jax-compilation-cache-{getpass.getuser()}"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# Compiling is most of what these tests do: a small training takes 19 s of processor time with XLA's
# optimisations, 10 s without, and 5 s with its older way of writing fused loops as well. Set to 0,
# the tests check the programs that users run.
if os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") == "1":
    # A flag that XLA does not know ends the process; an extra option that it does not know is none.
    flags = "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    flags += " --xla_cpu_parallel_codegen_split_count=1"
    given = os.environ.get("XLA_FLAGS", "")
    if flags not in given:  # as in a process that another one of these tests has started
        os.environ["XLA_FLAGS"] = f"{flags} {given}".strip()
os.environ.setdefault("MPLBACKEND", "Agg")
# Where Python is told to write no bytecode, as in many containers, every process of these tests
# compiles the sources of JAX again, which takes longer than most tests: written elsewhere, then.
if sys.dont_write_bytecode and sys.pycache_prefix is None:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = f"{os.environ['JAX_COMPILATION_CACHE_DIR']}-bytecode"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

import jax
import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

# Time limits fail on busy machines; in CI the same examples every time.
settings.register_profile(
    "leed_jax",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("leed_jax")

# Every annotation of a shape or type in the package is checked at every call of the session.
jaxtyping.install_import_hook("leed_jax", "checking.typechecker")


def pytest_collection_finish() -> None:
    """What is there now stays: no garbage is looked for in it, and seldom elsewhere.

    Tracing and compiling a training takes a seventh less of processor time by that.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


# Not for the whole session: JaxMARL's environments raise under both.
@pytest.fixture
def strict_dtypes() -> Iterator[None]:
    """Dtypes are not promoted silently."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def strict_promotion(strict_dtypes: None) -> Iterator[None]:
    """Neither dtypes nor ranks are promoted silently."""
    with jax.numpy_rank_promotion("raise"):
        yield
