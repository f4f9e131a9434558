"""What a run's ``summary.json`` says: an interface that other programs read; its keys stay."""

import datetime
import hashlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from leed_jax import statistics
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization.results import TrainResult
from leed_jax.scenarios import Scenario
from leed_jax.versions import installed

PACKAGES = ("leed_jax", "jax", "jaxlib", "flax", "optax", "jaxmarl", "litellm", "numpy")
USAGE = (
    *("source", "model", "calls", "prompt_tokens", "completion_tokens"),
    *("cost_usd", "seconds"),
)
"""Of a model: what is told of asking it; of demonstrations that no model made, nothing is."""

IDENTIFYING = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)
"""Of /proc/cpuinfo, on x86 and on ARM: what says which instructions there are."""


def head(scenario: Scenario, demos: Demonstrations) -> dict[str, Any]:
    """The summary before anything is trained."""
    usage = demos.provenance.get("usage")
    threshold = scenario.threshold
    return {
        "scenario": {"name": scenario.name, "options": scenario.options},
        "device": device(),
        "date": datetime.date.today().isoformat(),
        "command": command(),
        "versions": versions(),
        "llm": {key: usage.get(key) for key in USAGE} if isinstance(usage, Mapping) else None,
        "demonstrations": {
            "episodes": demos.num_episodes,
            "steps": demos.num_steps,
            "team_return_mean": float(demos.team_returns.mean()),
            "success": dict(demos.measures),
        },
        "threshold": None if threshold is None else threshold._asdict(),
        "methods": {},
    }


def of_method(scenario: Scenario, result: TrainResult) -> dict[str, Any]:
    """A method's entry: results at the end of training, and what they took."""
    names = ["team_return", *(measure.name for measure in scenario.env.measures)]
    finals = {name: statistics.aggregate(result.final(name)) for name in names}
    intervals = {name: interval._asdict() for name, interval in finals.items()}
    steps, seconds = _to_threshold(scenario, result)
    rate = result.env_steps_per_second
    return {
        "seeds": len(result.seeds),
        "env_steps": result.env_steps,
        "team_return": intervals.pop("team_return"),
        "success": intervals,
        "steps_to_threshold": steps,
        "seconds_to_threshold": seconds,
        "env_steps_per_second": rate if result.env_steps else None,
        "agent_steps_per_second": rate * result.spec.num_agents if result.env_steps else None,
        "compile_seconds": result.compile_seconds,
        "train_seconds": result.train_seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "diverged": {str(seed): why.as_json() for seed, why in result.diverged.items()},
    }


def _to_threshold(scenario: Scenario, result: TrainResult) -> tuple[float | None, float | None]:
    """Environment steps and seconds until the threshold; none for methods that take no steps."""
    if scenario.threshold is None or not result.env_steps:
        return None, None
    metric, value, _ = scenario.threshold
    values = result.curve(metric)
    first_seed = result.history[:: len(result.seeds)]
    steps, seconds = ([line[key] for line in first_seed] for key in ("env_steps", "seconds"))
    return (
        statistics.steps_to_threshold(steps, values, value),
        statistics.steps_to_threshold(seconds, values, value),
    )


def device() -> str:
    """What computes, in words."""
    first = jax.devices()[0]
    kind = platform.processor() or platform.machine() if first.platform == "cpu" else None
    return f"{len(jax.devices())} x {kind or first.device_kind} ({first.platform})"


def processor(description: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model, and a digest of what it can do: compilers round accordingly.

    Two processors of one name may differ in both, and then in the last digits of a run on a CPU.

    Args:
      description: as Linux gives it; elsewhere the platform's own word is all there is.
    """
    try:
        lines = description.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":")[::2] for line in lines)
    known = {name.strip(): value.strip() for name, value in pairs if name.strip() in IDENTIFYING}
    name = known.get("model name") or platform.machine()
    digest = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
    return f"{name} {digest[:8]}"


def command() -> str:
    """The command line without folders that say nothing elsewhere."""
    program, *arguments = sys.orig_argv
    return shlex.join([Path(program).name, *arguments])


def versions() -> dict[str, str]:
    """Python's and the packages' that matter for results."""
    found = {name: installed(name) for name in PACKAGES}
    known = {name: version for name, version in found.items() if version is not None}
    return {"python": platform.python_version(), **known}


def git_revision() -> str | None:
    """The checkout's revision, with "+" where files differ from it; None outside a checkout."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.decode().strip() + ("+" if changes.stdout.strip() else "")
