"""Trained teams in files: parameters as safetensors, everything else as a JSON card beside them."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

from leed_jax import files, loggers, teams
from leed_jax.optimization.results import Diverged, TrainResult
from leed_jax.types import EnvSpec
from leed_jax.versions import installed

OWN_FORM = ("params", "config", "spec", "diverged")
"""Fields of a result that do not go into the card as they are."""


def save_result(result: TrainResult, path: str | os.PathLike[str]) -> None:
    """Writes ``path``.safetensors (parameters, leading axes S, N) and ``path``.json.

    Each file appears whole or not at all. The card comes last and holds the parameters' check sum:
    a card vouches for its parameters, and for those of no other team of the same name.
    """
    target = Path(path)
    flat = traverse_util.flatten_dict(result.params, sep="/")
    arrays = {name: np.ascontiguousarray(value) for name, value in flat.items()}
    parameters = safetensors.numpy.save(arrays)
    card = {
        "format": "leed_jax.result",
        "version": teams.FORMAT_VERSION,
        "leed_jax": installed("leed_jax"),
        **{
            field.name: getattr(result, field.name)
            for field in dataclasses.fields(result)
            if field.name not in OWN_FORM
        },
        "config": dataclasses.asdict(result.config),
        "spec": result.spec._asdict(),
        "diverged": {str(seed): why.as_json() for seed, why in result.diverged.items()},
        teams.CHECK_SUM: hashlib.sha256(parameters).hexdigest(),
    }
    files.write(target.with_suffix(".safetensors"), parameters)
    files.write(target.with_suffix(".json"), json.dumps(loggers.jsonable(card), indent=1).encode())


def load_result(path: str | os.PathLike[str]) -> TrainResult:
    """What `save_result` wrote.

    Raises:
      FileNotFoundError: one of the two files is missing.
      ValueError: not such files, of another version, or at odds with each other; the message is
        one line that names the file and the field.
    """
    team = teams.read(path)
    fields: dict[str, Any] = {
        field.name: team.card[field.name]
        for field in dataclasses.fields(TrainResult)
        if field.name not in OWN_FORM
    }
    fields["seeds"] = tuple(fields["seeds"])
    fields["history"] = _with_nan(fields["history"])
    return TrainResult(
        params=traverse_util.unflatten_dict(
            {name: jnp.asarray(value) for name, value in team.params.items()}, sep="/"
        ),
        config=team.config,
        spec=EnvSpec(**team.spec._asdict()),
        diverged={
            int(seed): Diverged.from_json(why) for seed, why in team.card["diverged"].items()
        },
        **fields,
    )


def _with_nan(value: Any) -> Any:
    """History lines as they were: no number of theirs is None, JSON has no other word for NaN."""
    if isinstance(value, dict):
        return {name: _with_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return float("nan") if value is None else value
