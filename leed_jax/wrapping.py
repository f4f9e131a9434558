"""A JaxMARL environment of one's own, without any words: checked, played once, ready to train."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import episodes
from leed_jax.environments import jaxmarl
from leed_jax.types import ArrayEnv, Measure, State

HORIZONS = ("max_steps", "max_steps_in_episode", "episode_length", "horizon", "max_episode_steps")
"""What environments call the steps of an episode."""
LATE = 2
"""Steps by which an environment's clock may be late against what it calls its horizon: MPE reads
``done`` before the clock moves."""


def wrap(
    env: Any,
    *,
    name: str | None = None,
    horizon: int | None = None,
    terminated: Callable[[State], Any] | None = None,
    action_mask: Callable[[State], dict[str, Any]] | None = None,
    decision: Callable[[State], Any] | None = None,
    measures: tuple[Measure, ...] = (),
    check: bool = True,
) -> ArrayEnv:
    """A ``MultiAgentEnv`` ready for PPO, for demonstrations of one's own, and for both.

        env = leed.wrap(MyEnv())
        result = leed.train(env, method="ippo")
        demos = leed.demonstrations_from_arrays(env, observations, actions, rewards)
        result = leed.train(env, demos)

    For instructions by a language model an environment needs words: `leed_jax.generic_scenario`
    makes commands of its actions. A file that imports JaxMARL itself calls
    `leed_jax.import_jaxmarl` first: a plain ``import jaxmarl`` takes the output of a notebook's
    later prints away.

    Args:
      env: the environment, with JaxMARL's interface: ``agents``, ``reset``, ``step_env``,
        ``observation_space``, ``action_space``.
      name: for messages and files; by default the environment's own, or its class's.
      horizon: steps of an episode; by default what the environment has by one of the names
        `HORIZONS`, and up to `LATE` more if its clock is late.
      terminated: state -> where nothing is to be bootstrapped; see `leed_jax.as_array_env`.
      action_mask: state -> legal actions by agents' names; by default the environment's
        ``get_avail_actions``, if it has its own.
      decision: state -> bool[N], whose action matters.
      measures: success metrics.
      check: compare what the environment declares with what an episode of random actions shows.

    Raises:
      TypeError: it is no such environment, or mixes kinds of actions.
      ValueError: its declarations are wrong; the message names which, of whom, and both sides.
    """
    label = _name(env, name)
    wanted = ("agents", "reset", "step_env", "observation_space", "action_space")
    missing = [entry for entry in wanted if not hasattr(env, entry)]
    if missing:
        raise TypeError(f"{label}: no JaxMARL environment: it has no {', '.join(missing)}")
    declared = horizon if horizon is not None else _declared_horizon(env, label)
    if not isinstance(declared, int) or declared < 1:
        raise ValueError(f"{label}: horizon must be a whole number from 1 on, got {declared!r}")
    action_mask = action_mask or _own_mask(env)
    if check:
        _check_declarations(env, label, action_mask)

    def made(steps: int) -> ArrayEnv:
        return jaxmarl.as_array_env(
            env,
            name=label,
            horizon=steps,
            terminated=terminated,
            action_mask=action_mask,
            decision=decision,
            measures=measures,
        )

    if not check:
        return made(declared)
    return made(played_horizon(made(declared), declared, exact=horizon is not None))


def _name(env: Any, name: str | None) -> str:
    found = name or getattr(env, "name", None)
    return found if isinstance(found, str) else type(env).__name__


def _declared_horizon(env: Any, label: str) -> int:
    for place in HORIZONS:
        found = getattr(env, place, None)
        if isinstance(found, int | np.integer) and not isinstance(found, bool):
            return int(found)
    raise ValueError(
        f"{label}: horizon is needed: the environment has none of {', '.join(HORIZONS)}"
    )


def _own_mask(env: Any) -> Callable[[State], dict[str, Any]] | None:
    """The environment's legal actions, if its class says which they are and can be traced."""
    own = getattr(type(env), "get_avail_actions", None)
    if own is None or own.__module__ == "jaxmarl.environments.multi_agent_env":
        return None
    return env.get_avail_actions


def _check_declarations(env: Any, label: str, action_mask: Any) -> None:
    """Names, shapes and kinds, without running anything."""
    agents = list(env.agents)
    if not agents or len(set(agents)) != len(agents) or not all(isinstance(a, str) for a in agents):
        raise ValueError(f"{label}: agents must be different names, got {agents}")
    observed, state = _shapes(label, "reset(key) must return (observations, state)", 2)(
        env.reset, jax.random.key(0)
    )
    _require_all(label, "observations of reset", observed, agents)
    actions = {}
    for agent in agents:
        declared = getattr(env.observation_space(agent), "shape", None)
        if declared is not None and tuple(declared) != observed[agent].shape:
            raise ValueError(
                f"{label}: observation_space of {agent} has the shape {list(declared)}, reset "
                f"gives {list(observed[agent].shape)}"
            )
        space = env.action_space(agent)
        discrete = hasattr(space, "n")
        actions[agent] = jnp.zeros((), jnp.int32) if discrete else jnp.zeros(space.shape)
        if action_mask is not None and discrete:
            found = jax.eval_shape(action_mask, state)
            _require_all(label, "legal actions", found, agents)
            if found[agent].shape != (space.n,):
                raise ValueError(
                    f"{label}: legal actions of {agent} have the shape "
                    f"{list(found[agent].shape)}, its action_space has {space.n} actions"
                )
    words = "step_env must return (observations, state, rewards, dones, infos)"
    after = _shapes(label, words, 5)(env.step_env, jax.random.key(0), state, actions)
    seen, next_state, rewards, dones, _ = after
    for what, values, wanted in (
        ("observations of step_env", seen, agents),
        ("rewards", rewards, agents),
        ("dones", dones, ["__all__"]),
    ):
        _require_all(label, what, values, wanted)
    for agent in agents:
        if seen[agent].shape != observed[agent].shape:
            raise ValueError(
                f"{label}: {agent} observes {list(observed[agent].shape)} after reset, "
                f"{list(seen[agent].shape)} after step_env"
            )
        if jnp.shape(rewards[agent]) != ():
            raise ValueError(
                f"{label}: the reward of {agent} must be one number, got the shape "
                f"{list(rewards[agent].shape)}"
            )
    if jnp.shape(dones["__all__"]) != () or dones["__all__"].dtype != bool:
        raise ValueError(f"{label}: dones['__all__'] must be one bool, got {dones['__all__']}")
    require_same_state(label, state, next_state, "step_env")


def _shapes(label: str, words: str, count: int) -> Callable[..., Any]:
    """`jax.eval_shape` of a function that returns ``count`` things."""

    def found(function: Any, *arguments: Any) -> Any:
        shapes = jax.eval_shape(function, *arguments)
        if not isinstance(shapes, tuple) or len(shapes) != count:
            got = f"{len(shapes)} things" if isinstance(shapes, tuple) else type(shapes).__name__
            raise ValueError(f"{label}: {words}, got {got}")
        return shapes

    return found


def _require_all(label: str, what: str, found: Any, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{label}: {what} must have {wanted}, lack {missing}")


def require_same_state(label: str, before: Any, after: Any, step: str) -> None:
    """A state whose form changes cannot be carried through a scan."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(f"{label}: the state after {step} has other parts than after reset")
    for (path, old), (_, new) in zip(
        jax.tree_util.tree_leaves_with_path(before),
        jax.tree_util.tree_leaves_with_path(after),
        strict=True,
    ):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise ValueError(
                f"{label}: the state's {jax.tree_util.keystr(path)} is {old.dtype}"
                f"{list(old.shape)} after reset, {new.dtype}{list(new.shape)} after {step}"
            )


def played_horizon(
    env: ArrayEnv, horizon: int, *, exact: bool, ending: str = "dones['__all__']"
) -> int:
    """The horizon by the environment's own clock, from an episode of random actions.

    Args:
      env: what is played.
      horizon: declared.
      exact: no step more is allowed; else `LATE` more.
      ending: what says that an episode is over, for messages.

    Raises:
      ValueError: numbers that are not finite, no legal action, or no end in time.
    """
    policy = episodes.random_policy(continuous=env.spec.continuous)
    # One step more than is allowed: an episode of all of them did not end in time.
    longer = env._replace(spec=env.spec._replace(horizon=horizon + LATE + 1))

    def record(state: State, step: Any, memory: Any, action: Any) -> Any:
        del state, memory, action
        return jnp.isfinite(step.observation).all(-1), step.action_mask.any(-1)

    played = jax.device_get(
        jax.jit(lambda key: episodes.run_one(longer, policy, key, record=record))(jax.random.key(0))
    )
    length, label = int(played.length), env.spec.name
    finite, legal = played.record
    rewards = np.isfinite(played.rewards)
    for what, good in (
        ("observation holds NaN or infinite numbers", finite),
        ("reward is NaN or infinite", rewards),
        ("has no legal action", legal),
    ):
        wrong = np.argwhere(~good[:length])
        if len(wrong):
            step, agent = wrong[0].tolist()
            raise ValueError(f"{label}: {env.spec.agents[agent]} {what}, step {step}")
    late = length > horizon
    if length > horizon + LATE or (late and exact):
        came = f"came after {length}" if length <= horizon + LATE else "did not come"
        raise ValueError(
            f"{label}: horizon is {horizon} steps, but {ending} {came} within "
            f"{horizon + LATE}: pass the steps after which the environment's own clock says done"
        )
    return max(horizon, length)
