"""Devices and hosts: one mesh, over whose axes members (seeds) and environments are divided.

The training step is written for one device. Its arrays are placed on a mesh, and XLA's partitioner
gives every device its part of the same computation and inserts what has to be communicated: what is
divided are the environments and what belongs to them, parameters are on every device, and gradients
are summed over devices. Functions of the step call `divide` where the partitioner needs to be told;
without a mesh it does nothing.

Several hosts run the same program, each on its own devices; see docs/scaling.md.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Shaped

from leed_jax.config import TrainConfig

MEMBER, ENV = "member", "env"
"""Axes of the mesh: members train independently of each other, environments share parameters."""

Device = Any
"""A ``jax.Device``."""

Devices = int | Sequence[Device] | None
"""How many, or which; None: where JAX computes by default."""


def initialize_processes(**options: Any) -> None:
    """Makes this process one of several that train together; before anything else of JAX.

    On SLURM, under MPI's ``mpirun``, on TPU pods and in Kubernetes jobs, JAX finds the others by
    itself. Elsewhere say ``coordinator_address="host:port", num_processes=2, process_id=0``.

    Args:
      options: of `jax.distributed.initialize`.

    Raises:
      RuntimeError: JAX has been used before.
      ValueError: the others are not to be found.
    """
    jax.distributed.initialize(**options)


def first_process() -> bool:
    """Whether this process writes: the first of several, or the only one."""
    return jax.process_index() == 0


def several_processes() -> bool:
    """Whether others train along."""
    return jax.process_count() > 1


def choose(devices: Devices) -> tuple[Device, ...] | None:
    """The devices that are meant.

    Args:
      devices: so many, these, or None: where JAX computes by default (then None is returned), but
        all devices of all processes where there are several.

    Raises:
      ValueError: there are not so many, or a process would have none.
    """
    several = several_processes()
    if devices is None and not several:
        return None
    there = jax.devices()
    if devices is None:
        chosen = tuple(there)
    elif isinstance(devices, int):
        if not 1 <= devices <= len(there):
            raise ValueError(
                f"devices must be from 1 to {len(there)}, the {there[0].platform} devices that "
                f"there are, got {devices}"
            )
        chosen = tuple(there[:devices])
    else:
        chosen = tuple(devices)
        if not chosen or len(set(chosen)) != len(chosen):
            raise ValueError(f"devices must be one or more, each once, got {list(chosen)}")
    with_part = {device.process_index for device in chosen}
    if several and len(with_part) != jax.process_count():
        raise ValueError(
            f"devices must be of all {jax.process_count()} processes, got some of {len(with_part)}"
        )
    return chosen


def local_count(chosen: Sequence[Device] | None) -> int:
    """How many of the devices from `choose` are of this process."""
    here = jax.process_index()
    return 1 if chosen is None else sum(device.process_index == here for device in chosen)


def per_team(chosen: Sequence[Device], members: int) -> int:
    """How many of the devices train one member together."""
    return len(chosen) // math.gcd(members, len(chosen))


def mesh(chosen: Sequence[Device] | None, members: int, config: TrainConfig) -> Mesh | None:
    """The mesh for so many members on devices from `choose`; None: one device, none is needed.

    Members are divided first, as far as their number has a factor in common with that of the
    devices: they have nothing to tell each other. What is left of the devices divides environments.

    Raises:
      ValueError: the environments, or the groups that minibatches are drawn from, cannot be divided
        among so many devices.
    """
    if chosen is None:
        return None
    each = per_team(chosen, members)
    for name in ("num_envs", "shuffle_groups"):
        value = getattr(config, name)
        if value % each:
            raise ValueError(
                f"{name} must be a multiple of {each}, the devices that train a team together "
                f"(devices = {len(chosen)}, {members} teams), got {value}"
            )
    shape = (len(chosen) // each, each)
    return jax.make_mesh(shape, (MEMBER, ENV), (AxisType.Auto, AxisType.Auto), devices=chosen)


def active(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
    """A context in which functions are traced for a mesh, see `divide`; None: for one device."""
    return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def divide(tree: Any, axis: int) -> Any:
    """``tree`` with the given axis of its leaves divided among the devices; inside of `active`.

    The identity outside of it, and where the axis is not divisible.
    """

    def one(leaf: Array) -> Array:
        if _parts(leaf.shape[axis]) == 1:
            return leaf
        axes: list[Any] = [P.UNCONSTRAINED] * leaf.ndim
        axes[axis] = ENV
        return jax.lax.with_sharding_constraint(leaf, P(*axes))

    return jax.tree.map(one, tree)


def merge(leaf: Shaped[Array, "T B *r"], parts: int | None = None) -> Shaped[Array, "M *r"]:
    """Time and environments as one axis of M = T B rows, those of a device side by side.

    With the steps outermost, as a plain reshape has it, a device's rows would be strewn over the
    axis, which the partitioner can only do by giving all rows to every device.

    Args:
      leaf: time first.
      parts: of the environments, whose rows lie side by side; None: a part for every device.
    """
    steps, batch, *rest = leaf.shape
    parts = _parts(batch) if parts is None else parts
    leaf = leaf.reshape(steps, parts, batch // parts, *rest)
    return jnp.moveaxis(leaf, 1, 0).reshape(steps * batch, *rest)


def unmerge(leaf: Shaped[Array, "M *r"], steps: int) -> Shaped[Array, "T B *r"]:
    """What `merge` merged."""
    batch = leaf.shape[0] // steps
    parts = _parts(batch)
    leaf = leaf.reshape(parts, steps, batch // parts, *leaf.shape[1:])
    return jnp.moveaxis(leaf, 0, 1).reshape(steps, batch, *leaf.shape[3:])


def _parts(batch: int) -> int:
    """Devices that so many environments are divided among, in the `active` mesh."""
    devices = jax.sharding.get_abstract_mesh().shape.get(ENV, 1)
    return 1 if batch % devices else devices


class Layout(NamedTuple):
    """How arrays lie on a mesh; all None without one."""

    members: NamedSharding | None
    """With a leading axis of members."""
    environments: NamedSharding | None
    """With leading axes of members and of environments."""
    everywhere: NamedSharding | None
    """Whole on every device."""


def layout(mesh: Mesh | None) -> Layout:
    """Of arrays on ``mesh``."""
    if mesh is None:
        return Layout(None, None, None)
    return Layout(*(NamedSharding(mesh, axes) for axes in (P(MEMBER), P(MEMBER, ENV), P())))


def place(tree: Any, sharding: NamedSharding | None) -> Any:
    """``tree``, the same on every host, as arrays on the mesh; as it is without one.

    Raises:
      AssertionError: hosts differ in what they give.
    """
    if sharding is None or not several_processes():
        return tree if sharding is None else jax.device_put(tree, sharding)

    def one(leaf: Array | np.ndarray) -> Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            numbers = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
        mine = np.asarray(leaf)
        multihost_utils.assert_equal(mine, "processes were given different inputs")
        return jax.make_array_from_callback(mine.shape, sharding, lambda part: mine[part])

    return jax.tree.map(one, tree)


def whole(tree: Any, mesh: Mesh | None) -> Any:
    """``tree``, divided in whatever way, as arrays of this process, so that it goes anywhere."""
    if mesh is None:
        return tree
    gathered = jax.jit(lambda tree: tree, out_shardings=layout(mesh).everywhere)(tree)
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), gathered)


def smallest(size: int | None) -> int | None:
    """The smallest of the sizes that the processes give, in bytes, to a MiB; None if one is."""
    if not several_processes():
        return size
    given = np.array(-1 if size is None else size // 2**20, np.int32)
    least = int(np.min(multihost_utils.process_allgather(given)))
    return None if least < 0 else least * 2**20


def share(content: bytes | None) -> bytes:
    """What the first process has, in every process; the others' own ``content`` is not read."""
    if not several_processes():
        return content or b""
    mine = np.frombuffer(content or b"", np.uint8) if first_process() else np.zeros(0, np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.array(mine.size)))
    mine = mine if first_process() else np.zeros(size, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).astype(np.uint8).tobytes()
