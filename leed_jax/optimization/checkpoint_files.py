"""A checkpoint on disk: a folder that orbax writes, with arrays, JSON and a digest of both."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import digests


def opened() -> Any:
    """orbax's, of this process alone: it does not wait for others."""
    import orbax.checkpoint as ocp

    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"leed_jax-{here}"
    )
    handlers: Any = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
        "card": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone), **handlers
    )
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def read_card(checkpointer: Any, path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint."""
    import orbax.checkpoint as ocp

    card = checkpointer.restore(path, args=ocp.args.Composite(card=ocp.args.JsonRestore())).card
    if not isinstance(card, dict):
        raise ValueError("the card is no JSON object")
    return card


def read_arrays(checkpointer: Any, path: Path, card: dict[str, Any]) -> dict[str, np.ndarray]:
    """All arrays, with the digest compared."""
    import orbax.checkpoint as ocp

    shapes = {name: tuple(shape) for name, (shape, _) in card["arrays"].items()}
    types = {name: jnp.dtype(dtype) for name, (_, dtype) in card["arrays"].items()}
    arrays = {name: np.zeros(shape, types[name]) for name, shape in shapes.items() if 0 in shape}
    wanted = [name for name in shapes if name not in arrays]
    told = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in wanted}
    item = ocp.args.Composite(state=ocp.args.PyTreeRestore(restore_args=told))
    arrays |= checkpointer.restore(path, args=item).state
    if digest(arrays, card) != card["digest"]:
        raise ValueError("its digest is another")
    return arrays


def digest(arrays: Mapping[str, np.ndarray], card: dict[str, Any]) -> str:
    """Of everything in a checkpoint."""
    said = {name: value for name, value in card.items() if name != "digest"}
    return digests.sha256(arrays, json.dumps(said, sort_keys=True))


def require_forms(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, Any], path: Path) -> None:
    """Raises ``ValueError`` naming the first array of another shape or type than is ``wanted``."""
    for name in sorted({*arrays, *wanted}):
        here, there = (
            f"{tree[name].dtype}{list(tree[name].shape)}" if name in tree else "not there"
            for tree in (wanted, arrays)
        )
        if here != there:
            raise ValueError(
                f"{path}: {name} is {there}, what is to be trained has {here}; resume with the "
                "package that wrote it, or choose another checkpoint_dir"
            )
