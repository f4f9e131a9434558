"""Whether a team's files are valid, found with plain loops and the JAX networks' own shapes."""

import dataclasses
import functools
import hashlib
import json
import math
import struct
from typing import Any

import jax

from leed_jax.config import NetworkConfig, TrainConfig
from leed_jax.optimization import networks
from leed_jax.types import EnvSpec


def invalid(card: bytes, params: bytes) -> list[str]:
    """Why they are not; empty if they are."""
    try:
        said = json.loads(card, object_pairs_hook=_once)
        if said.get("parameters_sha256") not in (None, hashlib.sha256(params).hexdigest()):
            return ["its check sum is another"]
        shapes = tensors(params)
        return _results(said) + _parameters(said, shapes, params)
    except Exception as error:
        return [f"cannot be read: {type(error).__name__}: {str(error)[:200]}"]


def tensors(params: bytes) -> dict[str, tuple[str, list[int], int, int]]:
    """Type, shape, begin and end of every tensor, by the format's description."""
    (length,) = struct.unpack("<Q", params[:8])
    assert length < len(params)
    header = json.loads(params[8 : 8 + length], object_pairs_hook=_once)
    header.pop("__metadata__", None)
    found, end = {}, 0
    for name, value in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end_here = value["data_offsets"]
        assert begin == end, "there is a hole"
        end = end_here
        found[name] = (value["dtype"], value["shape"], begin + 8 + length, end + 8 + length)
    assert end + 8 + length == len(params), "something is behind the last tensor"
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a name is there twice"
    return dict(pairs)


def _results(card: dict[str, Any]) -> list[str]:
    found = []
    if card["format"] != "leed_jax.result" or not _whole(card["version"]) or card["version"] != 1:
        found.append("another format")
    seeds, agents = card["seeds"], len(card["spec"]["agents"])
    if not all(_whole(seed) for seed in seeds) or len(set(seeds)) != len(seeds) or not seeds:
        found.append("seeds")
    if not isinstance(seeds, list) or not isinstance(card["method"], str):
        found.append("seeds or method are of another type")
    if not _whole(card["env_steps"]) or card["env_steps"] < 0:
        found.append("env_steps")
    if not all(_number(card[n]) for n in ("train_seconds", "compile_seconds", "peak_memory_mb")):
        found.append("seconds or memory")
    for seed, update in card["diverged"].items():
        if seed not in [str(each) for each in seeds]:
            found.append("diverged: unknown seed")
        if isinstance(update, dict):
            found += [] if isinstance(update.pop("what"), str) else ["diverged: what"]
            (update,) = update.values()
        if not _whole(update) or update < 0:
            found.append("diverged: update")
    lines = card["history"]
    if not isinstance(lines, list) or not lines or len(lines) % len(seeds):
        found.append("history")
    for number, line in enumerate(lines):
        if not _whole(line["seed"]) or line["seed"] != seeds[number % len(seeds)]:
            found.append("history: seed")
        returns = line["agent_return"]
        if not isinstance(returns, list) or len(returns) != agents:
            found.append("history: agents")
        numbers = [line["seconds"], line["team_return"], *returns, *line["success"].values()]
        if not all(_number(value) for value in numbers):
            found.append("history: numbers")
        if not _whole(line["updates"]) or not _whole(line["env_steps"]):
            found.append("history: updates")
    return found


def _parameters(
    card: dict[str, Any], shapes: dict[str, tuple[str, list[int], int, int]], params: bytes
) -> list[str]:
    config = card["config"]
    if not {"network", "expert"} <= set(config):
        return ["config has no network, or no expert"]
    found = _unlike(config, TrainConfig(), "config")
    if found:
        return found
    made = _made(config, TrainConfig()).network
    spec: Any = {name: tuple(v) if isinstance(v, list) else v for name, v in card["spec"].items()}
    found += _spec(spec)
    if found:
        return found
    wanted = dict(_shapes(made, EnvSpec(**spec)))
    if config.get("normalize_observations"):
        width = max(spec["observation_sizes"])
        moments = {"count": (), "mean": (width,), "variance": (width,)}
        wanted |= {f"actor/params/normaliser/{name}": size for name, size in moments.items()}
    agents, seeds = len(spec["agents"]), len(card["seeds"])
    actor = {name for name in shapes if name.startswith("actor")}
    if actor != set(wanted):
        found.append(f"names {sorted(actor ^ set(wanted))[:3]}")
    sets = {tuple(shapes[name][1][1:2]) for name in actor}
    if len(sets) != 1 or not all(len(each) == 1 and agents % each[0] == 0 for each in sets):
        found.append(f"numbers of agents {sets}")
    for name, (dtype, shape, begin, end) in shapes.items():
        if dtype != "F32" or shape[:1] != [seeds] or math.prod(shape) * 4 != end - begin:
            found.append(f"{name} is {dtype} {shape}")
        elif not all(math.isfinite(v) for (v,) in struct.iter_unpack("<f", params[begin:end])):
            found.append(f"{name} is not finite")
        if name in wanted and tuple(shape[2:]) != wanted[name]:
            found.append(f"{name} is {shape}")
        if len(shape) < 2:
            found.append(f"{name} has no axis of agents")
    return found


def _spec(spec: dict[str, Any]) -> list[str]:
    found = []
    names = spec["agents"]
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return ["agents"]
    if not names or len(set(names)) != len(names) or not isinstance(spec["name"], str):
        found.append("names")
    for name in ("observation_sizes", "action_sizes"):
        sizes = spec[name]
        good = isinstance(sizes, tuple) and len(sizes) == len(names)
        if not (good and all(_whole(size) and 0 < size < 2**31 for size in sizes)):
            found.append(name)
    if not _whole(spec["horizon"]) or not 0 < spec["horizon"] < 2**31:
        found.append("horizon")
    share = spec.get("decision_share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        found.append("decision_share")
    if not isinstance(spec.get("continuous", False), bool):
        found.append("continuous")
    grid = spec.get("observation_shape")
    if grid is not None:
        whole = isinstance(grid, tuple) and grid and all(_whole(n) and n > 0 for n in grid)
        if not whole or math.prod(grid) != max(spec["observation_sizes"]):
            found.append("observation_shape")
    return found


@functools.cache
def _shapes(network: NetworkConfig, spec: EnvSpec) -> dict[str, tuple[int, ...]]:
    actor = networks.make_actor(network, spec)
    found = jax.tree_util.tree_leaves_with_path(jax.eval_shape(actor.init, jax.random.key(0)))
    return {
        "/".join(["actor", *(str(step.key) for step in path)]): leaf.shape[1:]
        for path, leaf in found
    }


def _unlike(fields: Any, usual: Any, place: str) -> list[str]:
    """Settings that are not of the type of their default."""
    if not isinstance(fields, dict):
        return [f"{place} is {type(fields).__name__}"]
    found = []
    for name, value in fields.items():
        default = getattr(usual, name)
        if dataclasses.is_dataclass(default):
            found += _unlike(value, default, f"{place}.{name}")
        elif not _alike(value, default):
            found.append(f"{place}.{name} is {type(value).__name__}")
    return found


def _made(fields: dict[str, Any], usual: Any) -> Any:
    """The settings, for which a constructor may still raise."""
    values: dict[str, Any] = {}
    for name, value in fields.items():
        default = getattr(usual, name)
        nested = dataclasses.is_dataclass(default)
        plain: Any = tuple(value) if isinstance(value, list) else value
        values[name] = _made(plain, default) if nested else plain
    return type(usual)(**values)


def _alike(value: Any, default: Any) -> bool:
    """Whether a value is of the type of a field's default."""
    if isinstance(default, tuple):
        whole = isinstance(value, list)
        return whole and all(_alike(item, default[0]) for item in value) if default else whole
    if isinstance(default, bool) or not isinstance(default, float):
        return default is None or type(value) is type(default)
    return _number(value) and value is not None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    if value is None:
        return True
    return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < 1e300
