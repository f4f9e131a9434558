"""Training by policy gradients and imitation: a rollout, and minibatches of one loss per agent.

All functions are pure; those with a `Learner` are parts of `trainer.Trainer`, which binds it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from leed_jax.config import TrainConfig
from leed_jax.optimization import (
    aggregate,
    balance,
    experience,
    learners,
    methods,
    minibatches,
    normalisation,
    optimisers,
    rollout,
    schedules,
)
from leed_jax.optimization.experience import Material
from leed_jax.optimization.learners import Learner
from leed_jax.optimization.minibatches import Data
from leed_jax.optimization.situations import Extras
from leed_jax.optimization.states import Hyperparameters, Trainer, TrainState
from leed_jax.types import ArrayEnv, Expert

EXPERT_STREAM = 1
"""Folded into the key of the *state*: demonstration batches draw from a key stream of their own, so
that PPO's draws are the same with and without them."""

AGGREGATE_STREAM = 1
"""Folded into the key of an update's *minibatches*, so that it may be the same number: the places
in the aggregated data set are drawn apart from the minibatches."""


def make_trainer(
    env: ArrayEnv, config: TrainConfig, method: methods.Method, expert: Expert | None
) -> Trainer:
    """`trainer.make_trainer` for methods that train policies."""
    learner = learners.make(env, config, method, expert)
    _num_rows(learner)  # raises now what it would in the first update

    def update(state: TrainState, data: Data) -> tuple[TrainState, dict[str, Array]]:
        state, material, of_rollout = collect(learner, state)
        state, metrics = learn(learner, state, data, material)
        return state, metrics | of_rollout

    return Trainer(
        init=functools.partial(init, learner),
        update=update,
        collect=functools.partial(collect, learner),
        learn=functools.partial(learn, learner),
        actor=learner.actor,
    )


def init(learner: Learner, key: Key[Array, ""]) -> TrainState:
    """The state of a run before its first update."""
    env, config, method = learner.env, learner.config, learner.method
    spec, sets = env.spec, learner.sets
    actor_key, critic_key, env_key, key = jax.random.split(key, 4)
    params = {"actor": learner.actor.init(actor_key)}
    if learner.critic is not None:
        params["critic"] = learner.critic.init(critic_key)
    if config.normalize_observations:
        # What a central critic sees stays as it is.
        names = ("actor",) if method.central_critic else tuple(params)
        params = normalisation.attach(params, names, sets, spec.observation_size)
    situation = rollout.begin(env, learner.actor, env_key, config.num_envs, learner.expert)
    sums = jnp.zeros((config.num_envs, spec.num_agents))
    situation = situation._replace(
        agent_return=sums if learner.adapts else (),
        discounted=sums if config.scale_rewards else (),
    )
    state = TrainState(
        params=params,
        optimiser=jax.vmap(optimisers.adam(config).init)(params),
        situation=situation,
        key=key,
        update=jnp.array(0),
        hyper=Hyperparameters.of(method, config, spec.num_agents),
        balance=balance.begin(spec.num_agents) if learner.adapts else (),
        rewards=normalisation.begin(sets, 1) if config.scale_rewards else (),
    )
    if method.aggregates:
        like: Any = jax.eval_shape(lambda state: collect(learner, state)[1], state)
        rows = aggregate.empty(aggregate.labels_of(like), _num_places(learner))
        state = state._replace(aggregate=rows)
    return state


def collect(
    learner: Learner, state: TrainState
) -> tuple[TrainState, Material | None, dict[str, Array]]:
    """A rollout, ready for minibatches; None for methods that do without. Also its metrics."""
    config, method = learner.config, learner.method
    if not method.uses_rollout:
        return state, None, {}
    _, rollout_key, _ = jax.random.split(state.key, 3)
    mixture = aggregate.mixture(config, state.update) if method.aggregates else None
    extras = Extras(method.central_critic, mixture, returns=learner.adapts)
    if config.scale_rewards:
        extras = extras._replace(rewards=state.rewards, discount=config.gamma)
    situation, material, metrics = experience.gather(
        learner, state.params, state.situation, rollout_key, extras
    )
    if config.scale_rewards:
        state = state._replace(rewards=material.noted.rewards)
        material = material._replace(noted=material.noted._replace(rewards=None))
    return state._replace(situation=situation), material, metrics


class Lesson(NamedTuple):
    """What all gradient steps of an update have in common."""

    data: Data
    material: Material | None
    """The rows that minibatches are taken from: of the rollout, or of the aggregated data set."""
    weight: Float[Array, "N"]
    """λ."""
    rate: Float[Array, ""]
    """Of learning."""


def learn(
    learner: Learner, state: TrainState, data: Data, material: Material | None
) -> tuple[TrainState, dict[str, Array]]:
    """All gradient steps on a rollout and the demonstrations; also metrics, means over them."""
    config, method = learner.config, learner.method
    key, _, shuffle_key = jax.random.split(state.key, 3)
    expert_key = jax.random.fold_in(state.key, EXPERT_STREAM)
    progress = state.update / config.num_updates
    noted = experience.Noted()
    if material is not None:
        noted, material = material.noted, material._replace(noted=noted)
    state, weight = _weigh(learner, state, data, noted, progress)
    rate = state.hyper.learning_rate
    if config.anneal_learning_rate:
        rate = rate * (1.0 - progress)
    lesson = Lesson(data, material, weight, rate)
    if method.aggregates:
        state, lesson, indices = _aggregated(learner, state, lesson, shuffle_key)
    else:
        indices = minibatches.shuffled(shuffle_key, config, _num_rows(learner))
    expert_indices = None
    if method.uses_expert:
        expert_indices = minibatches.chosen(expert_key, data, config, len(indices))
    (params, moments), parts = jax.lax.scan(
        functools.partial(_step, learner, lesson),
        (state.params, state.optimiser),
        (indices, expert_indices),
    )
    metrics = {name: values.mean(0) for name, values in parts.items()}
    new = state._replace(params=params, optimiser=moments, key=key, update=state.update + 1)
    if config.normalize_observations:
        new = new._replace(params=normalisation.learn(params, *minibatches.seen(material, data)))
    if learner.adapts:
        known, more = balance.learnt(new.balance, parts[method.imitation], data.reference, config)
        new, metrics = new._replace(balance=known), metrics | more
    return new, {"expert_weight": weight, **metrics}


def _num_rows(learner: Learner) -> int:
    """Of an update."""
    return minibatches.population(learner.config, learner.env.spec)


def _num_places(learner: Learner) -> int:
    """Of the aggregated data set."""
    return learner.config.expert.aggregate_rollouts * _num_rows(learner)


def _weigh(
    learner: Learner,
    state: TrainState,
    data: Data,
    noted: experience.Noted,
    progress: Float[Array, ""],
) -> tuple[TrainState, Float[Array, "N"]]:
    """λ of this update; the state knows what the rollout showed, where λ depends on it."""
    config, method = learner.config, learner.method
    weight = schedules.expert_weight(config.expert, state.hyper.expert_weight, progress)
    if learner.adapts:
        compared, seen = balance.both(data.reference, noted.observed)
        known = balance.observe(state.balance, seen, compared, num_envs=config.num_envs)
        state = state._replace(balance=known)
        left = balance.share(known, compared)
        weight = schedules.adaptive_weight(config.expert, weight, left, known.trust)
    if method.weight is not None:
        weight = jnp.broadcast_to(method.weight(config, state.update), weight.shape)
    return state, weight


def _aggregated(
    learner: Learner, state: TrainState, lesson: Lesson, key: Key[Array, ""]
) -> tuple[TrainState, Lesson, Int[Array, "G B"]]:
    """The rollout taken into the rows of all rollouts, which are learnt from, and picks of them."""
    assert lesson.material is not None  # `Method.uses_rollout`
    config = learner.config
    held = aggregate.add(
        state.aggregate,
        aggregate.labels_of(lesson.material),
        jax.random.fold_in(key, AGGREGATE_STREAM),
        state.update,
        config.shuffle_groups,
    )
    indices = aggregate.picks(key, config, _num_places(learner), _num_rows(learner))
    return state._replace(aggregate=held), lesson._replace(material=held), indices


def _step(
    learner: Learner, lesson: Lesson, carry: tuple[Any, Any], picks: tuple[Array, Array | None]
) -> tuple[tuple[Any, Any], dict[str, Array]]:
    """One gradient step: parameters and moments after it, and the parts of the loss."""
    params, moments = carry
    index, expert_index = picks
    sets = learner.sets
    each = learner.env.spec.num_agents // sets
    batch = None
    if lesson.material is not None:
        batch = minibatches.take(lesson.material, index, learner.config.shuffle_groups)
    guide = minibatches.draw(expert_index, lesson.data)

    def total(params: Any, batch: Any, guide: Any, weight: Array) -> tuple[Array, Any]:
        loss, parts = minibatches.loss(learner, params, batch, guide, weight)
        # Agents that share parameters: the mean of their losses.
        return loss.sum() / each, parts

    gradient, parts = jax.grad(total, has_aux=True)(params, batch, guide, lesson.weight)
    learns = parts.pop("learns").reshape(sets, each).any(-1)
    adam = optimisers.adam(learner.config)
    return optimisers.apply(adam, params, moments, gradient, learns, lesson.rate), parts
