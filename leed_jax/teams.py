"""Files of trained teams, read with care: they may be anybody's. Needs no JAX.

``<path>.safetensors`` holds the parameters, ``<path>.json`` everything else (the card).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from leed_jax import actors, settings, specs
from leed_jax.config import TrainConfig

FORMAT_VERSION = 1
MAX_CARD_BYTES, MAX_ITEMS, MAX_LISTS = 64 * 2**20, 4_000_000, 400_000
"""Of a card: its size, and how many values, and lists and objects, it may hold. That of 1,000
agents with 10 seeds and 50 evaluations has 1,000,000 and 3,000."""
MAX_HEADER_BYTES, MAX_BYTES = 2**20, 4 * 2**30
"""Of a file of parameters: its list of names, and all of it."""

ACTOR = "actor/params/"
"""What the names of actors' parameters begin with."""

CHECK_SUM = "parameters_sha256"
"""In a card, of the whole file of parameters; older cards lack it."""


class Team(NamedTuple):
    """What the two files hold, checked."""

    card: dict[str, Any]
    config: TrainConfig
    spec: specs.Sizes
    params: dict[str, np.ndarray]
    """By name, e.g. "actor/params/head/bias"; leading axes S and N, or fewer where agents share."""

    @property
    def seeds(self) -> list[int]:
        """Of the teams."""
        return self.card["seeds"]

    @property
    def best(self) -> int:
        """Index of the seed with the highest last evaluation; 0 if all of them diverged."""
        last = [line["team_return"] for line in self.card["history"][-len(self.seeds) :]]
        return int(np.argmax([-np.inf if value is None else value for value in last]))


def read(path: str | os.PathLike[str]) -> Team:
    """The files of a team.

    Raises:
      FileNotFoundError: one of them is missing.
      ValueError: not such files, of another version, or at odds with each other; the message is
        one line that names the file and the field.
    """
    target = Path(path)
    card_file, params_file = (target.with_suffix(s) for s in (".json", ".safetensors"))
    for file in (card_file, params_file):
        if not file.exists():
            raise FileNotFoundError(f"no file {file}")
        if not file.is_file():  # a pipe would be waited on for ever
            raise ValueError(f"{file}: not a regular file")
    file = card_file
    try:
        card = _card(card_file)
        config = settings.from_json(TrainConfig, card["config"], required=("network", "expert"))
        spec = specs.read(card["spec"])
        _check_results(card, spec)
        file = params_file
        params = _params(params_file, card.get(CHECK_SUM))
        _check_params(params, config, spec, len(card["seeds"]))
    # Whatever json, safetensors and numpy raise over damaged bytes, MemoryError included.
    except Exception as error:
        said = " ".join(str(error).split())[:400]
        known = type(error) is ValueError and said
        kind = "" if known else f"{type(error).__name__} "
        raise ValueError(f"{file} holds no trained team: {kind}{said}".rstrip()) from None
    return Team(card, config, spec, params)


def _card(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_CARD_BYTES:
        raise ValueError(f"{path.stat().st_size:,} bytes, {MAX_CARD_BYTES:,} are allowed")
    data = path.read_bytes()
    # json makes objects of up to 60 bytes of two characters: count before they are made.
    if data.count(b",") > MAX_ITEMS or data.count(b"[") + data.count(b"{") > MAX_LISTS:
        raise ValueError(f"more than {MAX_ITEMS:,} values, or {MAX_LISTS:,} lists")
    try:
        card = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the card is not JSON: {str(error)[:200]}") from None
    if not isinstance(card, dict):
        raise ValueError(f"the card is no JSON object but {type(card).__name__}")
    kind, version = card.get("format"), card.get("version")
    if kind != "leed_jax.result" or type(version) is not int or version != FORMAT_VERSION:
        raise ValueError(
            f"format {_short(kind)} version {_short(version)}; this package reads "
            f"'leed_jax.result' version {FORMAT_VERSION}: train again, or install the version of "
            "leed_jax that wrote it"
        )
    return card


def _check_results(card: dict[str, Any], spec: specs.Sizes) -> None:
    """Everything in the card but its configuration and specification."""
    _require(isinstance(card["method"], str), "method", "a name")
    seeds = card["seeds"]
    whole = isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
    _require(whole and 0 < len(set(seeds)) == len(seeds), "seeds", "different whole numbers")
    _require(type(card["env_steps"]) is int and card["env_steps"] >= 0, "env_steps", "a count")
    for name in ("train_seconds", "compile_seconds", "peak_memory_mb"):
        _require(_number(card[name]), name, "a number")
    _check_diverged(card["diverged"], seeds)
    history = card["history"]
    lines = isinstance(history, list) and all(isinstance(line, dict) for line in history)
    _require(lines and len(history) % len(seeds) == 0, "history", "a line per evaluation and seed")
    _require(len(history) > 0, "history", "an evaluation or more")
    for number, line in enumerate(history):
        _check_line(line, seeds[number % len(seeds)], len(spec.agents))


def _check_diverged(diverged: Any, seeds: Sequence[int]) -> None:
    """Seed -> update, or an object that has an ``update``."""
    allowed = "an object of seeds and updates"
    _require(isinstance(diverged, dict), "diverged", allowed)
    for seed, found in diverged.items():
        known = seed in map(str, seeds)
        _require(known, f"diverged.{_short(seed)}", f"one of the seeds {_short(list(seeds))}")
        if isinstance(found, dict):
            _require(isinstance(found.get("what"), str), "diverged.what", "a text")
            _require(set(found) == {"update", "what"}, "diverged", allowed)
            found = found["update"]
        _require(type(found) is int and found >= 0, "diverged", allowed)


def _check_line(line: Mapping[str, Any], seed: int, agents: int) -> None:
    """One evaluation of a seed; what else a line says is nobody's concern here."""
    same = type(line.get("seed")) is int and line["seed"] == seed
    _require(same, "history.seed", "each of the seeds in turn")
    for name in ("env_steps", "updates"):
        _require(type(line.get(name)) is int, f"history.{name}", "a whole number")
    for name in ("seconds", "team_return"):
        _require(name in line and _number(line[name]), f"history.{name}", "a number")
    returns = line.get("agent_return")
    good = isinstance(returns, list) and len(returns) == agents and all(map(_number, returns))
    _require(good, "history.agent_return", f"{agents} numbers")
    success = line.get("success")
    good = isinstance(success, dict) and all(map(_number, success.values()))
    _require(good, "history.success", "an object of numbers")


def _params(path: Path, check_sum: Any) -> dict[str, np.ndarray]:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes, {MAX_BYTES:,} are allowed")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        if header > MAX_HEADER_BYTES:
            raise ValueError(f"a list of names of {header:,} bytes, {MAX_HEADER_BYTES:,} allowed")
    data = path.read_bytes()
    if check_sum is not None and hashlib.sha256(data).hexdigest() != check_sum:
        raise ValueError(
            f"damaged, or of another team: its check sum is not the card's {CHECK_SUM}; copy both "
            "files again"
        )
    try:
        json.loads(data[8 : 8 + header], object_pairs_hook=_once)
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"no safetensors: {str(error)[:200]}") from None
    except KeyError as error:  # a type that numpy does not have
        raise ValueError(f"numbers of type {error}, which numpy does not have") from None


def _check_params(
    params: Mapping[str, np.ndarray], config: TrainConfig, spec: specs.Sizes, seeds: int
) -> None:
    """Types, finite numbers, and names and shapes of the actors."""
    for name, values in params.items():
        if values.dtype != np.float32:
            raise ValueError(f"{_short(name)} is of {values.dtype}, not of float32")
        if values.ndim < 2 or values.shape[0] != seeds:
            raise ValueError(
                f"{_short(name)} is {list(values.shape)}, the card has {seeds} seeds in front"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{_short(name)} holds NaN or infinite numbers")
    # Only actors are described by the card alone; critics differ from method to method.
    wanted = actors.shapes(config.network, spec, normalised=config.normalize_observations)
    agents = len(spec.agents)
    for name, shape in wanted.items():
        if ACTOR + name not in params:
            raise ValueError(f"{ACTOR}{name} is missing")
        found = params[ACTOR + name].shape
        if found[2:] != shape or found[1] < 1 or agents % found[1]:
            raise ValueError(
                f"{ACTOR}{name} is {list(found)}; by the card's config.network and spec it is "
                f"[{seeds}, {agents} or a divisor of it, {', '.join(map(str, shape))}]"
            )
    found = {name.removeprefix(ACTOR) for name in params if name.startswith("actor")}
    if found - set(wanted):
        raise ValueError(f"unknown parameters {_short(sorted(found - set(wanted))[0])}")
    counts = {params[ACTOR + name].shape[1] for name in wanted}
    if len(counts) > 1:
        raise ValueError(f"some of the actors' parameters are of {counts} agents")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; which of two values of one name was meant nobody knows."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{_short(twice)} is there twice")
    return found


def _number(value: Any) -> bool:
    """A number, or null: JSON has no other word for one that is not finite."""
    if value is None:
        return True
    return type(value) in (int, float) and abs(value) < 1e300


def _require(good: bool, name: str, allowed: str) -> None:
    if not good:
        raise ValueError(f"{name} must be {allowed}")


def _short(value: Any) -> str:
    said = ascii(value)
    return said if len(said) <= 80 else f"{said[:77]}..."
