"""Value-based baselines, VDN and QMIX: `trainer.Trainer` for methods that have a mixer.

Every agent's network gives a value for each of its actions. A mixer makes the team's value of the
values of the actions that were taken (`mixers`), and all parameters follow the gradient of one
temporal-difference error of the team's reward (`temporal_difference`), on rows from a replay
buffer (`replay`). Exploration is epsilon-greedy. Numbers and behaviour as in JaxMARL (Rutherford et
al. 2023, 2311.10090), see docs/method.md for what differs.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import (
    action_values,
    checks,
    losses,
    methods,
    mixers,
    networks,
    optimisers,
    replay,
    rollout,
    temporal_difference,
)
from leed_jax.optimization.replay import Cursor, Rows, Sequences
from leed_jax.optimization.situations import Extras, Finished, Situation
from leed_jax.optimization.states import Hyperparameters, Trainer
from leed_jax.types import ArrayEnv


class ValueState(NamedTuple):
    """All that a run needs to go on; resuming from it equals never having stopped."""

    params: dict[str, networks.Params]
    """"actor": of the action values, leading axis N, or fewer where they are shared; "mixer": of
    the mixing network, without that axis."""
    target: dict[str, networks.Params]
    """The target networks'."""
    optimiser: Any
    situation: Situation
    replay: Any
    """Rows of all environments, leading axis E."""
    cursor: Cursor
    key: Key[Array, ""]
    update: Int[Array, ""]
    hyper: Hyperparameters


class ValueLearner(NamedTuple):
    """What is fixed for a run: the world, the networks, and how they are trained."""

    env: ArrayEnv
    config: TrainConfig
    method: methods.Method
    network: networks.Network
    """The agents' action values."""
    mixer: mixers.Mixer
    buffer: replay.Buffer

    @property
    def gradient_steps(self) -> int:
        """Of an update."""
        per_gradient = self.config.value_based.steps_per_gradient
        return max(1, self.config.steps_per_update // per_gradient)


def make_trainer(env: ArrayEnv, config: TrainConfig, method: methods.Method) -> Trainer:
    """The functions that train ``method`` on ``env``.

    Args:
      env: what is trained on; its actions must be discrete.
      config: settings; of those for minibatches, epochs, advantages and clipping of ratios, none is
        used.
      method: with a mixer, from `methods.resolve`.

    Raises:
      ImportError: flashbax is not installed.
      ValueError: continuous actions; or settings that do not go together.
    """
    spec = env.spec
    checks.check_values(method, config, spec)
    assert method.mixer is not None  # the caller's choice of this trainer
    network, buffer = action_values.make(method, config, spec), replay.make(config)
    state_size = jax.eval_shape(env.reset, jax.random.key(0))[1].global_state.shape[-1]
    mixer = mixers.make(method.mixer, config.value_based, spec.num_agents, state_size)
    learner = ValueLearner(env, config, method, network, mixer, buffer)

    def finish(params: Any) -> Any:
        return action_values.actors(params, method, config, spec)

    def update(state: ValueState, data: Any) -> tuple[ValueState, dict[str, Array]]:
        state, played, of_rollout = collect(learner, state)
        state, metrics = learn(learner, state, data, played)
        return state, metrics | of_rollout

    # Typed for policy gradients' states; the loop looks at the fields that both kinds have.
    begin, *others = (functools.partial(part, learner) for part in (init, collect, learn))
    parts: Any = begin, update, *others, network, finish
    return Trainer(*parts)


def init(learner: ValueLearner, key: Key[Array, ""]) -> ValueState:
    """The state of a run before its first update."""
    config, spec, network = learner.config, learner.env.spec, learner.network
    actor_key, mixer_key, env_key, key = jax.random.split(key, 4)
    params = {"actor": network.init(actor_key)}
    if learner.mixer.sees_state:
        params["mixer"] = learner.mixer.init(mixer_key)
    empty: Any = ()
    begun = ValueState(
        params=params,
        # An array may not be given twice to a program that it is donated to.
        target=jax.tree.map(jnp.copy, params),
        optimiser=optimisers.rectified_adam(config).init(params),
        situation=rollout.begin(learner.env, network, env_key, config.num_envs, None),
        replay=empty,
        cursor=empty,
        key=key,
        update=jnp.array(0),
        hyper=Hyperparameters.of(learner.method, config, spec.num_agents),
    )
    played = jax.eval_shape(lambda: _play(learner, begun, key)[1])
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), played)
    storage, cursor = learner.buffer.init(blank)
    return begun._replace(replay=storage, cursor=cursor)


def collect(
    learner: ValueLearner, state: ValueState
) -> tuple[ValueState, Sequences, dict[str, Array]]:
    """A rollout as it goes into the buffer; also its metrics."""
    _, rollout_key, _ = jax.random.split(state.key, 3)
    situation, played, finished = _play(learner, state, rollout_key)
    count = finished.count.astype(jnp.float32)
    metrics = {
        "finished": count,
        "train_return": finished.team_return / jnp.maximum(count, 1),
        "epsilon": action_values.epsilon(learner.config, state.update),
    }
    return state._replace(situation=situation), played, metrics


def learn(
    learner: ValueLearner, state: ValueState, data: Any, played: Sequences
) -> tuple[ValueState, dict[str, Array]]:
    """All gradient steps of an update, on rows from the buffer; there are no demonstrations."""
    del data
    config, gradient_steps = learner.config, learner.gradient_steps
    key, _, sample_key = jax.random.split(state.key, 3)
    storage, cursor = learner.buffer.add(state.replay, state.cursor, played)
    steps = (state.update + 1) * config.steps_per_update
    enough = steps > config.value_based.learning_starts
    learns = enough & learner.buffer.ready(storage, cursor)
    rate = state.hyper.learning_rate
    if config.anneal_learning_rate:
        rate = rate * (1.0 - state.update / config.num_updates)
    numbers = state.update * gradient_steps + jnp.arange(gradient_steps)
    lesson = ValueLesson(storage, cursor, learns, rate)
    (params, target, moments), errors = jax.lax.scan(
        functools.partial(_step, learner, lesson),
        (state.params, state.target, state.optimiser),
        (jax.random.split(sample_key, gradient_steps), numbers),
    )
    new = state._replace(
        params=params,
        target=target,
        optimiser=moments,
        replay=storage,
        cursor=cursor,
        key=key,
        update=state.update + 1,
    )
    return new, {losses.TEAM_ERROR.name: errors.mean()}


class ValueLesson(NamedTuple):
    """What all gradient steps of an update have in common."""

    storage: Any
    cursor: Cursor
    learns: Bool[Array, ""]
    """Whether there is enough in the buffer."""
    rate: Float[Array, ""]
    """Of learning."""


def _step(learner: ValueLearner, lesson: ValueLesson, carry: Any, given: Any) -> Any:
    """One gradient step: parameters, target and moments after it, and the error."""
    params, target, moments = carry
    key, number = given
    config, settings = learner.config, learner.config.value_based
    seen = learner.buffer.sample(lesson.storage, lesson.cursor, key)
    error, gradient = jax.value_and_grad(temporal_difference.loss)(
        params, target, seen, learner.network, learner.mixer, config
    )
    change, new_moments = optimisers.rectified_adam(config).update(gradient, moments)
    new_params = jax.tree.map(lambda p, c: p - lesson.rate * c, params, change)
    params, moments = _where(lesson.learns, (new_params, new_moments), (params, moments))
    renewed = optax.incremental_update(params, target, settings.target_rate)
    target = _where((number + 1) % settings.target_interval == 0, renewed, target)
    return (params, target, moments), jnp.where(lesson.learns, error, 0.0)


def _play(
    learner: ValueLearner, state: ValueState, key: Key[Array, ""]
) -> tuple[Situation, Sequences, Finished]:
    """A rollout with some actions at random, as it goes into the buffer."""
    config, settings = learner.config, learner.config.value_based
    chance = action_values.epsilon(config, state.update)
    explore = functools.partial(action_values.epsilon_greedy, epsilon=chance)
    situation, rows, finished = rollout.collect(
        learner.env,
        learner.network._replace(distribution=explore),
        state.params["actor"],
        state.situation,
        key,
        steps=config.rollout_steps,
        extras=Extras(central=learner.mixer.sees_state),
    )
    reward = rows.reward.sum(-1) if settings.team_reward == "sum" else rows.reward.mean(-1)
    kept = Rows(
        observation=rows.observation,
        action_mask=rows.action_mask,
        action=rows.action,
        reward=settings.reward_scale * reward,
        terminated=rows.terminated.all(-1),
        valid=rows.valid,
        start=rows.start,
        state=rows.global_state,
    )
    return situation, Sequences(kept, state.situation.actor_carry), finished


def _where(condition: Bool[Array, ""], if_true: Any, if_false: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
