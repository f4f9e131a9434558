"""Trained teams in files: parameters as safetensors, everything else as a JSON card beside them."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from leed_jax import config as settings
from leed_jax import files, loggers
from leed_jax.optimization.results import TrainResult
from leed_jax.types import EnvSpec

FORMAT_VERSION = 1
OWN_FORM = ("params", "config", "spec", "diverged")
"""Fields of a result that do not go into the card as they are."""


def save_result(result: TrainResult, path: str | os.PathLike[str]) -> None:
    """Writes ``path``.safetensors (parameters, leading axes S, N) and ``path``.json.

    Each file appears whole or not at all; the card comes last, so a card vouches for its
    parameters.
    """
    target = Path(path)
    flat = traverse_util.flatten_dict(result.params, sep="/")
    arrays = {name: np.ascontiguousarray(value) for name, value in flat.items()}
    card = {
        "format": "leed_jax.result",
        "version": FORMAT_VERSION,
        **{
            field.name: getattr(result, field.name)
            for field in dataclasses.fields(result)
            if field.name not in OWN_FORM
        },
        "config": dataclasses.asdict(result.config),
        "spec": result.spec._asdict(),
        "diverged": {str(seed): update for seed, update in result.diverged.items()},
    }
    files.write(target.with_suffix(".safetensors"), safetensors.numpy.save(arrays))
    files.write(target.with_suffix(".json"), json.dumps(loggers.jsonable(card), indent=1).encode())


def load_result(path: str | os.PathLike[str]) -> TrainResult:
    """What `save_result` wrote.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: not such files, or of another version; the message names the field.
    """
    target = Path(path)
    try:
        card = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError(f"the card is no JSON object but {type(card).__name__}")
        if card.get("format") != "leed_jax.result" or card.get("version") != FORMAT_VERSION:
            raise ValueError(
                f"format {card.get('format')!r} version {card.get('version')!r}; this package "
                f"reads 'leed_jax.result' version {FORMAT_VERSION}"
            )
        arrays = safetensors.numpy.load_file(target.with_suffix(".safetensors"))
        params = traverse_util.unflatten_dict(
            {name: jnp.asarray(value) for name, value in arrays.items()}, sep="/"
        )
        fields: dict[str, Any] = {
            field.name: card[field.name]
            for field in dataclasses.fields(TrainResult)
            if field.name not in OWN_FORM
        }
        fields["seeds"] = tuple(fields["seeds"])
        fields["history"] = _with_nan(fields["history"])
        return TrainResult(
            params=params,
            config=train_config(card["config"]),
            spec=EnvSpec.from_json(card["spec"]),
            diverged={int(seed): update for seed, update in card["diverged"].items()},
            **fields,
        )
    except (KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise ValueError(f"{target} holds no trained team: {error}") from None


def _with_nan(value: Any) -> Any:
    """History lines as they were: no number of theirs is None, JSON has no other word for NaN."""
    if isinstance(value, dict):
        return {name: _with_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return float("nan") if value is None else value


def train_config(fields: dict[str, Any]) -> settings.TrainConfig:
    """A `TrainConfig` from its JSON form."""
    network = dict(fields["network"])
    for name in ("hidden_sizes", "channels"):
        if name in network:
            network[name] = tuple(network[name])
    nested = {
        "network": settings.NetworkConfig(**network),
        "expert": settings.ExpertConfig(**fields["expert"]),
    }
    return settings.TrainConfig(**{**fields, **nested})
