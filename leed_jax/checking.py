"""Whether an environment or a scenario of one's own does what it declares."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import execution, instructions, random_plans, wrapping
from leed_jax.scenarios import Program, Scenario
from leed_jax.types import ArrayEnv, EnvSpec

KINDS = {"float": jnp.floating, "bool": jnp.bool_}


def check(scenario: Scenario | ArrayEnv) -> None:
    """Plays an episode of random actions and compares it with what is declared.

        leed.check(SCENARIO)

    Of an `ArrayEnv`: shape and kind of every field of the `TimeStep`, of reset and step; that the
    state keeps its form; numbers that are finite; legal actions; the horizon. Of a `Scenario`
    besides: agents, commands and controllers belong together, and targets have a row per agent.
    What it cannot find is a rule of the game that is not the intended one: look at a rendering.

    Raises:
      ValueError: the first thing that is not as declared, with both sides.
    """
    if isinstance(scenario, ArrayEnv):
        _check_env(scenario)
        return
    _check_env(scenario.env)
    _check_words(scenario)


def _check_env(env: ArrayEnv) -> None:
    spec, label = env.spec, env.spec.name
    sizes = {len(spec.agents), len(spec.observation_sizes), len(spec.action_sizes)}
    if len(sizes) > 1 or not spec.agents:
        raise ValueError(
            f"{label}: agents, observation_sizes and action_sizes of the spec must be as long as "
            f"each other, got {len(spec.agents)}, {len(spec.observation_sizes)} and "
            f"{len(spec.action_sizes)}"
        )
    key = jax.random.key(0)
    state, first = jax.eval_shape(env.reset, key)
    _require_fields(spec, "reset", first)
    shape = (spec.num_agents, spec.num_actions) if spec.continuous else (spec.num_agents,)
    action = jnp.zeros(shape, jnp.float32 if spec.continuous else jnp.int32)
    after, then = jax.eval_shape(env.step, key, state, action)
    _require_fields(spec, "step", then)
    wrapping.require_same_state(label, state, after, "step")
    wrapping.played_horizon(env, spec.horizon, exact=True, ending="an end of the episode")


def _require_fields(spec: EnvSpec, function: str, found: Any) -> None:
    n, d, a = spec.num_agents, spec.observation_size, spec.num_actions
    wanted = {
        "observation": ((n, d), "float", "N agents of spec.agents, max of observation_sizes"),
        "reward": ((n,), "float", "one for every agent of spec.agents"),
        "terminated": ((n,), "bool", "one for every agent of spec.agents"),
        "truncated": ((), "bool", "one for the environment"),
        "action_mask": ((n, a), "bool", "N agents of spec.agents, max of action_sizes"),
        "decision": ((n,), "bool", "one for every agent of spec.agents"),
    }
    for name, (shape, kind, why) in wanted.items():
        value = getattr(found, name)
        if value.shape != shape or not jnp.issubdtype(value.dtype, KINDS[kind]):
            raise ValueError(
                f"{spec.name}: {name} of {function} must be {kind}{list(shape)} ({why}), got "
                f"{value.dtype}{list(value.shape)}"
            )
    if found.global_state.ndim != 1:
        raise ValueError(
            f"{spec.name}: global_state of {function} must have one axis, got "
            f"{list(found.global_state.shape)}"
        )


def _check_words(scenario: Scenario) -> None:
    label, vocabulary, controls = scenario.name, scenario.vocabulary, scenario.controls
    agents = scenario.env.spec.agents
    if tuple(vocabulary.agents) != agents:
        raise ValueError(
            f"{label}: the vocabulary's agents are {list(vocabulary.agents)}, the environment's "
            f"{list(agents)}"
        )
    for what, given, words in (
        ("controllers", controls.controllers, vocabulary.commands),
        ("conditions", controls.conditions, vocabulary.conditions),
    ):
        if len(given) != len(words):
            raise ValueError(
                f"{label}: controls have {len(given)} {what}, the vocabulary has {len(words)}"
            )
    state = jax.eval_shape(scenario.env.reset, jax.random.key(0))[0]
    plan = random_plans.random_plan(vocabulary, seed=0)
    rows = instructions.encode([plan], vocabulary).rows[0]
    first = instructions.FIRST_ARGUMENT
    arguments = jnp.asarray(rows[:, 0, first : first + vocabulary.num_arguments])
    op = jnp.asarray(rows[:, 0, instructions.OP])
    program = Program(op, arguments, jnp.ones(len(agents), bool))
    memory = jax.eval_shape(controls.init, state)
    targets, _ = jax.eval_shape(controls.resolve, state, program, memory)
    for path, leaf in jax.tree_util.tree_leaves_with_path(targets):
        if leaf.shape[:1] != (len(agents),):
            raise ValueError(
                f"{label}: every leaf that controls.resolve returns must begin with the "
                f"{len(agents)} agents, {jax.tree_util.keystr(path) or 'the target'} has the shape "
                f"{list(leaf.shape)}"
            )
    played = execution.demonstrate(scenario, plan, num_episodes=2)
    if not np.isfinite(np.asarray(played.arrays.returns)).all():
        raise ValueError(f"{label}: returns of a random plan are not finite")
