"""What the machine can do: matrix products, memory traffic and launches, measured here and now."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments import hlo

ROUNDS = 5
CHAIN, SHORT, LONG = 8, 100, 1100
"""Products in the body of a loop, and how often it runs."""


class Limits(NamedTuple):
    """Of the first device."""

    bytes_per_second: float
    """Read and written together, in a pass over arrays that fit in no cache."""
    launch_seconds: float
    """Of one more tiny kernel in a loop in which each waits for the one before, as in a rollout."""


def _best(program: Any, argument: Any) -> float:
    """Seconds of a call of ``x -> x``, the best round: a limit is what is possible."""
    argument = jax.block_until_ready(program(argument))
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        argument = jax.block_until_ready(program(argument))
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def measure(megabytes: int | None = None) -> Limits:
    """Memory traffic and launches.

    Args:
      megabytes: of the array that is passed over; by default 1024, on CPUs 256.
    """
    platform = jax.devices()[0].platform
    size = (megabytes or (256 if platform == "cpu" else 1024)) * 2**20 // 4
    # In place: fresh pages from the system would cost more than what is written to them.
    passed = jax.jit(lambda x: x * 0.999 + 1.0, donate_argnums=0)
    seconds = _best(passed, jnp.zeros(size, jnp.float32))
    return Limits(2 * 4 * size / seconds, _launch())


def _launch() -> float:
    """Seconds per kernel, from a loop that runs less and more often: what both have cancels."""
    found = []
    for length in (SHORT, LONG):

        def body(x: Float[Array, "16 16"], _: None) -> tuple[Float[Array, "16 16"], None]:
            # Small products: one after the other, no compiler makes one kernel of them.
            for _link in range(CHAIN):
                x = jnp.tanh(x @ x)
            return x, None

        def loop(x: Float[Array, "16 16"], length: int = length) -> Float[Array, "16 16"]:
            return jax.lax.scan(body, x, None, length=length)[0]

        start = jnp.eye(16)
        program = jax.jit(loop).lower(start).compile()
        kernels = hlo.work(program.as_text() or "").kernels
        found.append((kernels, _best(program, start)))
    (few, short), (many, long) = found
    return max(long - short, 0.0) / max(many - few, 1)


def matmul_gflop_per_second(groups: int, rows: int, width: int, calls: int = 8) -> float:
    """Of a chain of matrix products ``[groups, rows, width] @ [groups, width, width]``.

    Single precision as the networks have it, with JAX's default precision on the device.

    Args:
      groups: agents with weights of their own.
      rows: of a minibatch.
      width: of a hidden layer.
      calls: products per timing.
    """
    # A rotation: products of it neither vanish nor overflow, however long the chain.
    weights = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0])
    weights = jnp.broadcast_to(weights.astype(jnp.float32), (groups, width, width))
    start = jax.random.normal(jax.random.key(0), (groups, rows, width))

    @jax.jit
    def chain(x: Float[Array, "g b h"]) -> Float[Array, "g b h"]:
        return jax.lax.scan(lambda x, _: (x @ weights, None), x, None, length=calls)[0]

    return calls * 2 * groups * rows * width**2 / _best(chain, start) / 1e9
