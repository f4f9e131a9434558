"""What a run has left on the disk, be it finished, running or killed."""

import contextlib
import json
from pathlib import Path
from typing import Any

from leed_jax import checkpoint, demonstrations, run_folder, summary

MARKS = ("*.orbax-checkpoint-tmp*", "*.discarded")
"""Names of checkpoints that are being written or deleted."""
TIMES = ("seconds", "train_seconds", "compile_seconds", "peak_memory_mb")
"""What differs between two runs that are otherwise the same."""
SUMMARY_TIMES = (
    *TIMES,
    *("env_steps_per_second", "agent_steps_per_second", "seconds_to_threshold", "date", "command"),
)


def whole_lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics, without a last line that is torn."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def torn(folder: Path) -> bool:
    """Whether the last line of the metrics is not whole."""
    path = folder / "metrics.jsonl"
    return path.exists() and not (path.read_bytes() or b"\n").endswith(b"\n")


def unfinished_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that are being written or deleted."""
    return [path for mark in MARKS for path in _below(folder / "checkpoints", mark)]


def partial_files(folder: Path) -> list[Path]:
    """Files that are being written."""
    return _below(folder, "*.partial")


def _below(folder: Path, pattern: str) -> list[Path]:
    """Paths of a folder from which something may be deleted meanwhile."""
    while True:
        try:
            return list(folder.rglob(pattern))
        except FileNotFoundError:
            continue


def checkpointed(folder: Path, method: str) -> int:
    """Updates of the newest whole checkpoint of a method; all of them if it is finished."""
    with contextlib.suppress(FileNotFoundError):
        return checkpoint.load_result(run_folder.checkpoints(folder, method)).history[-1]["updates"]
    place = run_folder.checkpoints(folder, method)
    steps = [
        int(path.name) for path in _below(place, "*") if path.is_dir() and path.name.isdecimal()
    ]
    return max(steps, default=0)


def broken(folder: Path) -> list[str]:
    """Artefacts that are there and not whole."""
    found = []
    readers: dict[str, Any] = {
        "config.json": lambda path: run_folder.read_config(path.parent),
        "summary.json": lambda path: json.loads(path.read_text()),
        "demonstrations.npz": demonstrations.load,
        "checkpoints/*.json": lambda path: checkpoint.load_result(path.with_suffix("")),
    }
    for pattern, read in readers.items():
        for path in folder.glob(pattern):
            try:
                read(path)
            except Exception as error:
                found.append(f"{path.name} is not whole: {type(error).__name__} {str(error)[:200]}")
    return found


def differences(whole: Path, killed: Path) -> list[str]:
    """In what a run that was killed differs from one that nobody disturbed."""
    found = broken(killed)
    names = [
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (whole, killed)
    ]
    if names[0] != names[1]:
        found.append(f"other files: {sorted(names[0] ^ names[1])[:10]}")
    for name in sorted(names[0] & names[1]):
        one, other = whole / name, killed / name
        arrays = name.endswith((".safetensors", ".npz"))
        if arrays and one.read_bytes() != other.read_bytes():
            found.append(f"{name} is not the same, bit for bit")
        card = name.startswith("checkpoints/") and name.endswith(".json")
        if card and _without(json.loads(one.read_text())) != _without(
            json.loads(other.read_text())
        ):
            found.append(f"{name} says something else")
    lines = [[_without(line) for line in whole_lines(folder)] for folder in (whole, killed)]
    if lines[0] != lines[1]:
        found.append(f"metrics: {_first_difference(*lines)}")
    if torn(killed):
        found.append("metrics: a torn line")
    if all((folder / "summary.json").exists() for folder in (whole, killed)):
        said = [
            _without(json.loads((folder / "summary.json").read_text()), SUMMARY_TIMES)
            for folder in (whole, killed)
        ]
        if said[0] != said[1]:
            found.append("summary.json says something else")
    return found


def _first_difference(one: list[Any], other: list[Any]) -> str:
    for number, pair in enumerate(zip(one, other, strict=False), 1):
        if pair[0] != pair[1]:
            keys = ("method", "seed", "updates")
            said = [{key: line.get(key) for key in keys} for line in pair]
            return f"line {number} is {said[1]}, not {said[0]}"
    return f"{len(other)} lines, not {len(one)}"


def _without(value: Any, names: tuple[str, ...] = TIMES) -> Any:
    """JSON without what clocks and memory say."""
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value


def facts(folder: Path) -> dict[str, Any]:
    """Where it was measured."""
    return {
        "device": summary.device(),
        "versions": summary.versions(),
        "git_revision": summary.git_revision(),
        "lines": len(whole_lines(folder)),
    }
