"""What a TPU forbids is not in the training step: docs/tpu.md says what, and why it is not."""

import functools
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import export
from tiny_training import CONFIG, demos, scenario

import leed_jax as leed
from leed_jax.config import ExpertConfig, NetworkConfig
from leed_jax.optimization import methods, minibatches, trainer

CALLBACKS = ("callback", "infeed", "outfeed", "host")
"""Parts of the names of all primitives that speak to the host."""
WIDE = re.compile(r"tensor<(?:\d+x)*(f64|complex<f64>)>")
DYNAMIC = re.compile(r"tensor<(?:\d+x)*\?|dynamic_broadcast_in_dim|dynamic_reshape|real_dynamic")
OF_XLA = {"Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "tpu_custom_call"}
"""Custom calls that a TPU's compiler knows; others (LAPACK, kernels for CPUs) it does not."""


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations of a traced program, those within loops, branches and calls too."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation
        for value in equation.params.values():
            for each in value if isinstance(value, tuple | list) else [value]:
                if hasattr(each, "eqns") or hasattr(each, "jaxpr"):
                    yield from equations(each)


def host_calls(traced: Any) -> set[str]:
    """Primitives by which the program would speak to the host."""
    names = {equation.primitive.name for equation in equations(traced)}
    return {name for name in names if any(part in name for part in CALLBACKS)}


def complaints(function: Any, *arguments: Any) -> list[str]:
    """What a TPU would not run, in the program that JAX lowers for it."""
    exported = export.export(jax.jit(function), platforms=["tpu"])(*arguments)
    text = exported.mlir_module()
    called = set(re.findall(r"custom_call @(\w+)", text)) - OF_XLA
    return [
        *sorted(called),
        *(["64-bit floats"] if WIDE.search(text) else []),
        *(["dynamic shapes"] if DYNAMIC.search(text) else []),
    ]


def step(kind: str, method: str = "leed") -> tuple[Any, tuple[Any, ...]]:
    """A whole update, from a key on: resets, rollout, gradient steps; and its arguments."""
    config = CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(8,))  # pyright: ignore[reportArgumentType]
    )
    chosen = methods.resolve(method, config)
    built = trainer.make_trainer(scenario().env, config, chosen)
    data = minibatches.data(demos() if chosen.uses_expert else None, config)

    def update(key: Any, data: Any) -> Any:
        state, metrics = built.update(built.init(key), data)
        return state.params, metrics

    return update, (jax.random.key(0), data)


@functools.cache
def traced(kind: str) -> Any:
    function, arguments = step(kind)
    return jax.make_jaxpr(function)(*arguments)


def test_the_training_step_never_speaks_to_the_host() -> None:
    """Nor does it ask for float64, which would be a warning here, and so an error."""
    assert host_calls(traced("mlp")) == set()
    assert sum(equation.primitive.name == "scan" for equation in equations(traced("mlp"))) >= 3


def test_what_speaks_to_the_host_would_be_found_wherever_it_is() -> None:
    def inner(carry: Any, x: Any) -> Any:
        jax.debug.callback(lambda value: None, x)
        return carry, jax.pure_callback(lambda value: value, jax.ShapeDtypeStruct((), x.dtype), x)

    found = host_calls(jax.make_jaxpr(lambda x: jax.lax.scan(inner, 0, x))(jnp.zeros(3)))
    assert found == {"debug_callback", "pure_callback"}


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("mlp", "leed"),
        pytest.param("gru", "leed", marks=pytest.mark.slow),
        pytest.param("mlp", "mappo", marks=pytest.mark.slow),
        pytest.param("mlp", "dapg", marks=pytest.mark.slow),
    ],
)
def test_the_training_step_is_lowered_for_a_tpu(kind: str, method: str) -> None:
    function, arguments = step(kind, method)
    assert complaints(function, *arguments) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mpe/simple_spread", "mlp"),
        ("smax/3m", "gru"),
        ("overcooked_v2/cramped_room", "cnn"),
        ("hanabi/full", "mlp"),
        ("jaxnav/grid_rand_poly", "mlp"),
        ("road/braess", "mlp"),
    ],
)
def test_so_is_that_of_every_family(name: str, kind: str) -> None:
    """With the environment's own steps and resets, and a plan that labels visited states."""
    task = leed.make(name)
    expert = leed.make_expert(task, leed.random_plan(task, seed=0))
    config = CONFIG.replace(
        network=NetworkConfig(kind=kind, hidden_sizes=(8,)),  # pyright: ignore[reportArgumentType]
        expert=ExpertConfig(labels="visited"),
    )
    built = trainer.make_trainer(task.env, config, methods.resolve("leed", config), expert)
    data = minibatches.data(None, config)

    def update(key: Any) -> Any:
        state, metrics = built.update(built.init(key), data)
        return state.params, metrics

    assert complaints(update, jax.random.key(0)) == []
    assert host_calls(jax.make_jaxpr(update)(jax.random.key(0))) == set()


def test_what_a_tpu_would_not_run_would_be_found() -> None:
    with jax.enable_x64(True):
        wide = complaints(lambda x: x * 2, jnp.zeros(3, jnp.float64))
    assert wide == ["64-bit floats"]
    with pytest.raises(NotImplementedError, match="tpu"):  # LAPACK's, of CPUs
        complaints(jax.lax.linalg.schur, jnp.eye(3))
