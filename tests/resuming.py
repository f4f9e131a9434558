"""Training that can be compared with the same training stopped and resumed."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import chex
import pytest
import tiny_training
from tiny_training import CONFIG, SEEDS

from leed_jax.config import TrainConfig
from leed_jax.optimization import programs, training

_compiled: dict[Any, Any] = {}


@contextlib.contextmanager
def compiled_once(method: str) -> Iterator[None]:
    """The same programs are compiled once for all tests of a process."""
    compile_anew = programs.compiled

    def compiled(env: Any, run: Any, config: TrainConfig, count: int, *rest: Any) -> Any:
        if (method, config, count) not in _compiled:
            _compiled[method, config, count] = compile_anew(env, run, config, count, *rest)
        return _compiled[method, config, count]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "compiled", compiled)
        yield


def train(
    method: str = "leed", config: TrainConfig = CONFIG, demos: Any = None, **options: Any
) -> Any:
    if demos is None and method != "ippo":
        demos = tiny_training.demos()
    options = {"seeds": SEEDS, **options}
    with compiled_once(method):
        return training.train(tiny_training.scenario(), demos, config, method=method, **options)


def without_seconds(history: list[dict[str, Any]]) -> str:
    """As text: NaN is not equal to itself."""
    return json.dumps([{**line, "seconds": 0} for line in history])


def require_equal(mine: Any, theirs: Any) -> None:
    chex.assert_trees_all_equal(mine.params, theirs.params)
    assert without_seconds(mine.history) == without_seconds(theirs.history)
    assert mine.diverged == theirs.diverged and mine.env_steps == theirs.env_steps
