"""Pytrees as arrays by name, for files, and back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax.optimization import devices


def named(tree: Any) -> dict[str, Any]:
    """Leaves of a pytree by their paths, random keys as the integers that they are."""
    return dict(zip(_names(tree), jax.tree.leaves(raw(tree)), strict=True))


def _names(tree: Any) -> list[str]:
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def raw(tree: Any) -> Any:
    """The pytree with random keys as the integers that they are."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def forms(tree: Any) -> dict[str, Any]:
    """Shapes and dtypes by the names of `named`, of a pytree of shapes or arrays."""
    return dict(zip(_names(tree), jax.tree.leaves(jax.eval_shape(raw, tree)), strict=True))


def placed(arrays: Mapping[str, np.ndarray], shapes: Any, shardings: Any) -> Any:
    """A pytree on the devices, as `named` took it apart.

    Args:
      arrays: by name.
      shapes: of the pytree.
      shardings: of its leaves, on a mesh; None: on the one device.
    """
    kinds: list[Any] = []

    def look(tree: Any) -> None:
        for leaf in jax.tree.leaves(tree):
            kinds.append(jax.random.key_impl(leaf) if _is_key(leaf) else None)

    jax.eval_shape(look, shapes)
    structure = jax.tree.structure(shapes)
    places = [None] * len(kinds) if shardings is None else jax.tree.leaves(shardings)
    found = []
    for name, kind, place in zip(_names(shapes), kinds, places, strict=True):
        leaf = jax.device_put(arrays[name])  # jnp.array would compile a copy for every shape
        leaf = leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind)
        found.append(devices.place(leaf, place))
    return jax.tree.unflatten(structure, found)
