"""Demonstrations of anything that acts, played in the environment."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import episodes
from leed_jax.demonstrations import Demonstrations
from leed_jax.interchange.arrays import build
from leed_jax.types import ArrayEnv, HasArrayEnv, Policy, State, TimeStep

Script = Callable[[Any], Any]
"""Observations of all agents [N D] -> their actions, [N] or [N A]."""


def demonstrations_from_policy(
    scenario: HasArrayEnv | ArrayEnv,
    policy: Policy | Script,
    *,
    num_episodes: int = 256,
    seed: int = 0,
    traced: bool = True,
    provenance: Mapping[str, Any] | None = None,
) -> Demonstrations:
    """Demonstrations of a policy, or of a plain function, from random starts.

    An illegal action is not learnt from: the agent's first legal one is executed in its place, as
    with plans. Starts are those of `leed_jax.demonstrate` with the same seed.

    Args:
      scenario: to play in, or its `ArrayEnv`.
      policy: a `Policy` (of a trained team, a mixed one), or a function from the observations of
        all agents [N D] to their actions, [N], or [N A] in [-1, 1] where they are continuous.
      num_episodes: K.
      seed: of the starts.
      traced: JAX traces the function and plays all episodes side by side; False: Python calls it
        with numpy arrays, one step and one episode after another, so that it may be anything,
        remember things and ask people.
      provenance: JSON, where the policy came from.

    Raises:
      ValueError: the function cannot be traced, or does not return actions.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    keys = jax.random.split(jax.random.key(seed), num_episodes)
    origin = {"source": "policy", "seed": seed, **(provenance or {})}
    if not traced:
        if isinstance(policy, Policy):
            raise ValueError("traced=False is for functions; a Policy is traced")
        return _by_hand(env, policy, keys, origin)
    lawful = _lawful(policy if isinstance(policy, Policy) else as_policy(policy, env))
    play = jax.jit(lambda keys: episodes.run(env, lawful, keys, record=_keep))
    try:
        played = jax.device_get(play(keys))
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise ValueError(
            "policy cannot be traced by JAX: write it with jax.numpy, or pass traced=False; "
            + str(error).partition("\n")[0][:200]
        ) from None
    observation, action, mask, taught = played.record
    fields = {"observations": observation, "actions": action, "rewards": played.rewards}
    fields |= {"valid": taught, "action_mask": mask}
    measures = {name: float(np.mean(values)) for name, values in played.measures.items()}
    return build(env.spec, fields, played.length, measures, origin, bounded=False)


def as_policy(script: Script, env: ArrayEnv) -> Policy:
    """A function of all agents' observations as a `Policy`; it must be traceable.

    Raises:
      ValueError: what it returns is no action of the environment; when it is first used.
    """

    def act(memory: Any, state: State, step: TimeStep, key: Any) -> tuple[Any, Any]:
        del state, key
        return memory, _action(script(step.observation), env, jnp)

    return Policy(lambda state, step: (), act)


def _action(given: Any, env: ArrayEnv, numbers: Any) -> Any:
    """What a function returned as an action, its shape and kind checked."""
    spec, found = env.spec, numbers.asarray(given)
    shape = (spec.num_agents, spec.num_actions) if spec.continuous else (spec.num_agents,)
    kinds, kind = ("fiu", "float32") if spec.continuous else ("iu", "int32")
    if found.shape != shape or np.dtype(found.dtype).kind not in kinds:
        what = "numbers in [-1, 1]" if spec.continuous else "whole numbers"
        raise ValueError(
            f"policy must return {what} of shape {list(shape)}, got {found.dtype} of shape "
            f"{list(found.shape)}"
        )
    return found.astype(kind)


def _lawful(policy: Policy) -> Policy:
    """``policy`` with illegal actions replaced; its memory is (legal, policy's memory)."""

    def init(state: State, step: TimeStep) -> Any:
        return jnp.ones_like(step.decision), policy.init(state, step)

    def act(memory: Any, state: State, step: TimeStep, key: Any) -> tuple[Any, Any]:
        after, action = policy.act(memory[1], state, step, key)
        return (step.allows(action), after), step.legal(action)

    return Policy(init, act)


def _keep(state: State, step: TimeStep, memory: Any, action: Any) -> Any:
    del state
    return step.observation, action, step.action_mask, step.decision & memory[0]


def _by_hand(env: ArrayEnv, script: Script, keys: Any, origin: Mapping[str, Any]) -> Demonstrations:
    """The same episodes as `episodes.run` plays, stepped by Python."""
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    fields: dict[str, list[np.ndarray]] = {
        name: [] for name in ("observations", "actions", "rewards", "valid", "action_mask")
    }
    readings: dict[str, list[float]] = {measure.name: [] for measure in env.measures}
    for key in keys:
        reset_key, step_key, _ = jax.random.split(key, 3)
        state, now = reset(reset_key)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in fields}
        read: dict[str, list[float]] = {name: [] for name in readings}
        for index in range(env.spec.horizon):
            seen = np.array(now.observation)
            wanted = _action(script(seen.copy()), env, np)
            action = now.legal(jnp.asarray(wanted))
            rows["observations"].append(seen)
            rows["actions"].append(np.asarray(action))
            rows["valid"].append(np.asarray(now.decision & now.allows(jnp.asarray(wanted))))
            rows["action_mask"].append(np.asarray(now.action_mask))
            state, now = step(jax.random.fold_in(step_key, index), state, action)
            rows["rewards"].append(np.asarray(now.reward))
            for measure in env.measures:
                read[measure.name].append(float(measure.read(state)))
            if bool(now.over):
                break
        for name, values in rows.items():
            fields[name].append(np.stack(values))
        for measure in env.measures:
            values = read[measure.name]
            reading = {"last": values[-1], "sum": sum(values), "mean": float(np.mean(values))}
            readings[measure.name].append(reading[measure.over])
    measures = {name: float(np.mean(values)) for name, values in readings.items()}
    return build(env.spec, fields, None, measures, origin, bounded=False)
