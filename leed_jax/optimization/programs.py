"""What is compiled: the beginning, many updates, and the evaluation of members side by side."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import stages
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import evaluation, memory
from leed_jax.optimization.members import Member, starts
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.states import Hyperparameters, Trainer
from leed_jax.types import ArrayEnv, EnvSpec

DIVIDED = ("situation", "replay")
"""Fields of a state that have an axis of environments behind that of members."""
EVALUATION_SEED = 0
"""Of the evaluations during training; `results.evaluate` draws other starts."""


@dataclass(frozen=True)
class Programs:
    """What is compiled, once, for a number of members M."""

    init: stages.Compiled
    """(keys, hyperparameters) -> states."""
    advance: stages.Compiled
    """(states, alive, data, number of updates) -> states, alive, mean metrics, faults [M, 2]: the
    update, counted from 1, by which a member ceased to be finite, or 0, and an index of `watched`.
    """
    evaluate: stages.Compiled
    """Parameters of the actors -> `evaluation.Scores`."""
    mesh: Mesh | None
    """That they were compiled for."""
    watched: tuple[str, ...]
    """What has to stay finite, in words."""


def shapes(run: Trainer, count: int, spec: EnvSpec) -> Any:
    """Shapes and dtypes of the states of so many members."""
    first = jax.eval_shape(lambda: starts([Member(0, 1.0, 1.0)] * count, spec))
    return jax.eval_shape(jax.vmap(functools.partial(_begin, run)), *first)


def _begin(run: Trainer, key: Key[Array, ""], hyper: Hyperparameters) -> Any:
    return run.init(key)._replace(hyper=hyper)


def compiled(
    env: ArrayEnv,
    run: Trainer,
    config: TrainConfig,
    count: int,
    material: Data,
    mesh: Mesh | None,
) -> tuple[Programs, int | None]:
    """The programs for so many members, and the bytes that the largest of them needs."""
    begin = functools.partial(_begin, run)
    first = jax.eval_shape(lambda: starts([Member(0, 1.0, 1.0)] * count, env.spec))
    state = shapes(run, count, env.spec)
    alive = jax.ShapeDtypeStruct((count,), bool)
    _, measured = jax.eval_shape(jax.vmap(run.update, (0, None)), state, material)

    def one(state: Any, alive: Bool[Array, ""], data: Data) -> Any:
        new, metrics = run.update(state, data)
        # Metrics first: a loss that is not finite makes parameters that are not.
        watched = jax.tree.leaves((metrics, new.params))
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in watched])
        good = alive & finite.all()
        return _kept(good, new, state), good, metrics, finite.argmin().astype(jnp.int32)

    def advance(state: Any, alive: Any, data: Data, count: Int[Array, ""]) -> Any:
        def body(index: Any, carry: Any) -> Any:
            state, before, sums, faults = carry
            state, alive, metrics, what = jax.vmap(one, (0, 0, None))(state, before, data)
            found = jnp.stack([jnp.full_like(what, index + 1), what], -1)
            faults = jnp.where((before & ~alive)[:, None], found, faults)
            return state, alive, jax.tree.map(jnp.add, sums, metrics), faults

        sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), measured)
        carry = state, alive, sums, jnp.zeros((*alive.shape, 2), jnp.int32)
        state, alive, sums, faults = jax.lax.fori_loop(0, count, body, carry)
        return state, alive, jax.tree.map(lambda leaf: leaf / count, sums), faults

    scored = env.scored
    episodes = scored.scored_episodes(config.eval_episodes)
    keys = evaluation.evaluation_keys(EVALUATION_SEED, episodes)

    def evaluate(params: Any) -> evaluation.Scores:
        each = hardware.divide(keys, 0)
        return jax.vmap(lambda actor: evaluation.score(scored, run.actor, actor, each))(params)

    def program(function: Any, inside: Any, outside: Any, *given: Any, donated: Any = ()) -> Any:
        placed: Any = {} if mesh is None else {"in_shardings": inside, "out_shardings": outside}
        with hardware.active(mesh):
            return jax.jit(function, donate_argnums=donated, **placed).lower(*given).compile()

    members, environments, everywhere = hardware.layout(mesh)
    parts = [environments if name in DIVIDED else members for name in state._fields]
    states, data = type(state)(*parts), jax.eval_shape(lambda data: data, material)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    programs = Programs(
        init=program(jax.vmap(begin), members, states, *first),
        advance=program(
            advance,
            (states, everywhere, everywhere, everywhere),
            (states, everywhere, everywhere, everywhere),
            *(state, alive, data, number),
            donated=0,
        ),
        evaluate=program(evaluate, (members,), everywhere, state.params["actor"]),
        mesh=mesh,
        watched=tuple(_watched(measured, state.params)),
    )
    # While teams are evaluated, their states and the demonstrations wait.
    held = memory.argument_bytes(programs.advance) - memory.argument_bytes(programs.evaluate)
    needed = (
        memory.needed_bytes(programs.init, memory.size(material)),
        memory.needed_bytes(programs.advance),
        memory.needed_bytes(programs.evaluate, held),
    )
    known = [size for size in needed if size is not None]
    return programs, max(known) if len(known) == len(needed) else None


def _watched(metrics: dict[str, Any], params: dict[str, Any]) -> Iterator[str]:
    """Words for every leaf of (metrics, parameters)."""
    for path, _ in jax.tree_util.tree_flatten_with_path((metrics, params))[0]:
        name = jax.tree_util.keystr(path[1:2], simple=True)
        of_metrics = jax.tree_util.keystr(path[:1]) == "[0]"
        yield f"metric {name}" if of_metrics else f"parameters of the {name}"


def _kept(good: Bool[Array, ""], new: Any, old: Any) -> Any:
    """The new state, and of a seed that diverged its last finite one; the others go on.

    But for the replay buffer: too large to be copied in every update.
    """

    def choose(name: str) -> Any:
        fresh, last = getattr(new, name), getattr(old, name)
        if name == "replay":
            return fresh
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), fresh, last)

    return type(new)(*map(choose, new._fields))
