"""Training that goes on from trained teams: with a stage before, or from an earlier result."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax.config import TrainConfig
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import methods
from leed_jax.optimization.members import Member, Trained
from leed_jax.optimization.results import TrainResult
from leed_jax.types import EnvSpec


class Start(NamedTuple):
    """What M members begin with instead of random parameters."""

    params: dict[str, Any]
    """"actor", and "critic" where there is one; leading axis M. What is missing stays random."""
    updates: int = 0
    """That led there, for the history."""
    seconds: float = 0.0
    """That they took."""


def of_result(result: TrainResult, spec: EnvSpec, config: TrainConfig, teams: int) -> Start:
    """The teams of an earlier result, one for each seed, or a single one for all.

    Raises:
      ValueError: of another environment, another network, or another number of teams.
    """
    result.spec.require(spec, "initial")
    for name, wanted in dataclasses.asdict(config.network).items():
        found = getattr(result.config.network, name)
        if found != wanted:
            raise ValueError(f"initial: network.{name} is {found!r}, config has {wanted!r}")
    count = len(result.seeds)
    if count not in (1, teams):
        raise ValueError(f"initial must have 1 or {teams} teams, one for each seed, it has {count}")
    index = np.zeros(teams, int) if count == 1 else np.arange(teams)
    return Start(jax.tree.map(lambda leaf: np.asarray(leaf)[index], result.params))


def begin(state: Any, start: Start, members: Sequence[int], sharding: Any) -> Any:
    """The state of new teams, with the parameters that they are to begin with.

    Their optimisers are new.

    Args:
      state: of M teams, as `Trainer.init` makes it.
      start: parameters.
      members: which of them each of the M teams gets.
      sharding: of arrays with a leading axis M.

    Raises:
      ValueError: parameters of other shapes than the method's; names the first.
    """
    params = dict(state.params)
    for name, given in start.params.items():
        if name not in params:
            raise ValueError(f"initial: has {name} parameters, which this method has not")
        given = jax.tree.map(lambda leaf: np.asarray(leaf)[np.array(members)], given)
        _require_shapes(name, given, params[name])
        # A copy: the step may overwrite what it is given.
        params[name] = hardware.place(jax.tree.map(jnp.array, given), sharding)
    return state._replace(params=params)


def _require_shapes(name: str, given: Any, wanted: Any) -> None:
    found, expected = (dict(jax.tree.leaves_with_path(tree)) for tree in (given, wanted))
    for path in expected.keys() | found.keys():
        one, other = (
            np.shape(leaves[path])[1:] if path in leaves else None for leaves in (found, expected)
        )
        if one != other:
            raise ValueError(
                f"initial: {name}{jax.tree_util.keystr(path)} has shape {one}, the method's "
                f"{other}; without its {name!r} the result's other networks can still be used"
            )


def cloning(config: TrainConfig) -> TrainConfig:
    """Settings of the stage before: ``expert.cloning_fraction`` times as many updates."""
    updates = max(1, round(config.expert.cloning_fraction * config.num_updates))
    return config.replace(total_steps=updates * config.steps_per_update)


def in_turn(
    train: Callable[..., Trained],
    method: methods.Method,
    config: TrainConfig,
    members: Sequence[Member],
) -> Trained:
    """Trains ``method.before``, and with its parameters ``method``; their histories join.

    In the lines of the second stage ``updates`` and ``seconds`` go on counting.

    Args:
      train: (config, method, members, start of them or None) -> what became of them.
      method: with a stage before.
      config: of the second stage.
      members: of both.
    """
    assert method.before is not None  # else there is one stage
    earlier = cloning(config)
    first = train(earlier, method.before, members, None)
    start = Start(first.params, earlier.num_updates, first.train_seconds)
    second = train(config, method._replace(before=None), members, start)
    return dataclasses.replace(
        second,
        method=method,
        history=first.history + second.history,
        diverged=second.diverged | first.diverged,
        train_seconds=first.train_seconds + second.train_seconds,
        compile_seconds=first.compile_seconds + second.compile_seconds,
    )
