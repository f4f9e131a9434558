"""Trained actors in numpy: what their parameters look like, and what they say. Needs no JAX.

The same layers as `optimization.networks`, for one row of one agent at a time.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int

from leed_jax.config import NetworkConfig
from leed_jax.specs import Sizes

MIN_LOG_STD, MAX_LOG_STD = -2.0, 0.5
"""As of `optimization.distributions`."""

NORMALISER, LARGEST_FEATURE = "normaliser", 10.0
"""As of `optimization.normalisation`."""

Params = Mapping[str, np.ndarray]
"""Parameters of one agent, by their names in a file behind "actor/params/"."""


def width(config: NetworkConfig) -> int:
    """H, numbers that an agent remembers between two steps; 0 without recurrence."""
    return config.hidden_sizes[-1] if config.recurrent else 0


def shapes(
    config: NetworkConfig, spec: Sizes, *, normalised: bool = False
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one actor's parameters.

    Args:
      config: of the network.
      spec: of the environment.
      normalised: moments of observations are among them.

    Raises:
      ValueError: convolutions, and observations that are no grids.
    """
    found: dict[str, tuple[int, ...]] = {}

    def dense(name: str, inputs: int, size: int) -> int:
        found[f"{name}/kernel"], found[f"{name}/bias"] = (inputs, size), (size,)
        return size

    size, outputs = max(spec.observation_sizes), max(spec.action_sizes)
    if normalised:
        found |= {f"{NORMALISER}/{name}": (size,) for name in ("mean", "variance")}
        found[f"{NORMALISER}/count"] = ()
    if config.kind == "cnn":
        if spec.observation_shape is None or len(spec.observation_shape) != 3:
            raise ValueError("config.network.kind is cnn, and spec.observation_shape is no grid")
        rows, columns, channels = spec.observation_shape
        for index, wide in enumerate(config.channels):
            channels = dense(f"convolution_{index}", 9 * channels, wide)
        size = rows * columns * channels
    first, *rest = config.hidden_sizes
    size = dense("encoder", size, first)
    if config.recurrent:
        hidden = width(config)
        dense("gru_inputs", size, 3 * hidden)
        found |= {"gru_recurrent": (hidden, 3 * hidden), "gru_bias": (hidden,)}
        size = hidden
    branches = {"": outputs, **({"critic_": 1} if config.common_trunk else {})}
    for prefix, last in branches.items():
        inputs = size
        for index, wide in enumerate(rest):
            inputs = dense(f"{prefix}hidden_{index}", inputs, wide)
        dense(f"{prefix}head", inputs, last)
    if spec.continuous:
        found["log_std"] = (outputs,)
    return found


def forward(
    config: NetworkConfig,
    grid: tuple[int, ...] | None,
    params: Params,
    observation: Float[np.ndarray, "D"],
    memory: Float[np.ndarray, "H"],
) -> tuple[Float[np.ndarray, "A"], Float[np.ndarray, "H"]]:
    """An actor's outputs (logits, or means) for one observation, and what it remembers then."""

    def dense(name: str, rows: np.ndarray) -> np.ndarray:
        return rows @ params[f"{name}/kernel"] + params[f"{name}/bias"]

    def active(rows: np.ndarray) -> np.ndarray:
        return np.tanh(rows) if config.activation == "tanh" else np.maximum(rows, 0)

    hidden = _normalised(params, observation)
    if config.kind == "cnn":
        assert grid is not None
        hidden = hidden.reshape(grid)
        for index in range(len(config.channels)):
            hidden = active(dense(f"convolution_{index}", _neighbourhoods(hidden)))
        hidden = hidden.reshape(-1)
    hidden = active(dense("encoder", hidden))
    if config.recurrent:
        inputs, recurrent = dense("gru_inputs", hidden), memory @ params["gru_recurrent"]
        x_r, x_z, x_n = np.split(inputs, 3)
        h_r, h_z, h_n = np.split(recurrent, 3)
        reset, update = _sigmoid(x_r + h_r), _sigmoid(x_z + h_z)
        candidate = np.tanh(x_n + reset * (h_n + params["gru_bias"]))
        hidden = memory = (1 - update) * candidate + update * memory
    for index in range(len(config.hidden_sizes) - 1):
        hidden = active(dense(f"hidden_{index}", hidden))
    return dense("head", hidden), memory


def _normalised(params: Params, observation: Float[np.ndarray, "D"]) -> np.ndarray:
    """As `optimization.normalisation.apply`, where the parameters hold moments of observations."""
    if f"{NORMALISER}/mean" not in params:
        return observation
    mean, variance = params[f"{NORMALISER}/mean"], params[f"{NORMALISER}/variance"]
    scaled = (observation - mean) / np.sqrt(np.maximum(variance, 0) + np.float32(1e-8))
    return np.clip(scaled, -LARGEST_FEATURE, LARGEST_FEATURE)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * values))  # does not overflow


def _neighbourhoods(grid: Float[np.ndarray, "R W C"]) -> Float[np.ndarray, "R W 9*C"]:
    """Every cell with the eight around it, zeros outside, as in `optimization.networks`."""
    height, width, _ = grid.shape
    padded = np.pad(grid, [(1, 1), (1, 1), (0, 0)])
    shifts = [(row, column) for row in range(3) for column in range(3)]
    return np.concatenate([padded[r : r + height, c : c + width] for r, c in shifts], -1)


def log_probs(logits: Float[np.ndarray, "A"], mask: Bool[np.ndarray, "A"]) -> np.ndarray:
    """Of all actions; about -1e9 where the action is not legal."""
    masked = np.where(mask, logits, np.float32(-1e9))
    shifted = masked - masked.max()
    return shifted - np.log(np.exp(shifted).sum())


def draw(log_probs: Float[np.ndarray, "A"], rng: np.random.Generator) -> Int[np.ndarray, ""]:
    """One action, by inverse CDF; never one of probability zero."""
    sums = np.cumsum(np.exp(log_probs))
    return np.asarray((sums[:-1] <= rng.random() * sums[-1]).sum())
