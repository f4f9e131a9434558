"""The training step: rollout, advantages, and minibatches of one loss per agent; pure functions.

`make_trainer` puts the parts together for one environment, configuration and method; what drives
them (`jit`, `vmap` over seeds, a host loop or a `scan`) is up to the caller.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax import demonstrations
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations, Rows
from leed_jax.optimization import categorical, losses, networks, returns, rollout, schedules
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv

EXPERT_STREAM = 1
"""``fold_in`` constant: demonstration batches draw from a key stream of their own, so that PPO's
draws are the same with and without them."""


class Hyperparameters(NamedTuple):
    """Numbers that may differ between runs of one compiled program."""

    learning_rate: Float[Array, ""]
    expert_weight: Float[Array, "N"]
    """λ of every agent at the start."""


class TrainState(NamedTuple):
    """All that a run needs to go on; resuming from it equals never having stopped."""

    params: dict[str, networks.Params]
    """"actor" and "critic", leading axis N."""
    optimiser: Any
    situation: rollout.Situation
    key: Key[Array, ""]
    update: Int[Array, ""]
    hyper: Hyperparameters


class Data(NamedTuple):
    """Demonstrations as arguments of the compiled step: rows, or whole episodes time first."""

    rows: Rows | None
    episodes: Rows | None
    """Leading axes K, S, for recurrent networks."""


class Trainer(NamedTuple):
    """Pure functions of one run."""

    init: Callable[[Key[Array, ""]], TrainState]
    update: Callable[[TrainState, Data], tuple[TrainState, dict[str, Array]]]
    actor: networks.Network


class Train(NamedTuple):
    """A whole run as a pure function, and its demonstrations."""

    run: Callable[[Key[Array, ""], Data], tuple[TrainState, dict[str, Array]]]
    data: Data
    """An argument, so that demonstrations are not baked into the program as constants."""


def data(demos: Demonstrations | None, config: TrainConfig) -> Data:
    """Demonstrations in the form that the update samples from."""
    if demos is None:
        return Data(None, None)
    if config.network.kind == "mlp":
        return Data(jax.tree.map(jnp.asarray, demos.rows(config.expert.weighting)), None)
    return Data(None, jax.tree.map(jnp.asarray, demos.episodes(config.expert.weighting)))


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """Of one agent; the learning rate is applied outside, so that it can be traced."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=1e-5)
    )


def make_trainer(
    env: ArrayEnv, config: TrainConfig, method: losses.Method, expert: Expert | None = None
) -> Trainer:
    """The functions that train ``method`` on ``env``.

    Args:
      env: what is trained on.
      config: settings.
      method: terms of the loss, from `losses.resolve`.
      expert: labels visited states; only used where ``config.expert.labels`` asks for it.

    Raises:
      ValueError: visited states are to be labelled and there is no expert.
    """
    spec = env.spec
    actor = networks.make_actor(config.network, spec)
    critic = networks.make_critic(config.network, spec)
    adam = optimiser(config)
    if method.uses_expert and config.expert.labels != "demonstrations":
        if expert is None:
            raise ValueError(
                f"expert.labels={config.expert.labels!r} needs an expert: a relational plan "
                "(concrete plans say nothing about states that they were not made for)"
            )
    else:
        expert = None

    def init(key: Key[Array, ""]) -> TrainState:
        actor_key, critic_key, env_key, key = jax.random.split(key, 4)
        params = {"actor": actor.init(actor_key), "critic": critic.init(critic_key)}
        return TrainState(
            params=params,
            optimiser=jax.vmap(adam.init)(params),
            situation=rollout.begin(env, actor, env_key, config.num_envs, expert),
            key=key,
            update=jnp.array(0),
            hyper=Hyperparameters(
                jnp.array(config.learning_rate), jnp.full(spec.num_agents, config.expert.weight)
            ),
        )

    def update(state: TrainState, data: Data) -> tuple[TrainState, dict[str, Array]]:
        key, rollout_key, shuffle_key = jax.random.split(state.key, 3)
        expert_key = jax.random.fold_in(state.key, EXPERT_STREAM)
        progress = state.update / config.num_updates
        weight = schedules.expert_weight(config.expert, state.hyper.expert_weight, progress)
        rate = state.hyper.learning_rate
        if config.anneal_learning_rate:
            rate = rate * (1.0 - progress)
        metrics = {"expert_weight": weight}
        situation, material = state.situation, None
        if method.uses_rollout:
            situation, material, finished = _gather(
                env, actor, critic, config, state, rollout_key, expert
            )
            metrics["finished"] = finished.count.astype(jnp.float32)
            metrics["train_return"] = finished.team_return

        def step(carry: Any, keys: Any) -> tuple[Any, dict[str, Array]]:
            params, moments = carry
            index, expert_key = keys
            batch = None if material is None else _take(material, index, config)
            guide = _draw(expert_key, data, config) if method.uses_expert else None
            gradient, parts = jax.grad(total, has_aux=True)(params, batch, guide, weight)
            return _apply(adam, params, moments, gradient, parts.pop("learns"), rate), parts

        def total(params: Any, batch: Any, guide: Any, weight: Array) -> tuple[Array, Any]:
            loss, parts = _loss(actor, critic, config, method, params, batch, guide, weight)
            return loss.sum(), parts

        indices = _minibatches(shuffle_key, config)
        keys = (indices, jax.random.split(expert_key, len(indices)))
        (params, moments), parts = jax.lax.scan(step, (state.params, state.optimiser), keys)
        metrics |= {name: values.mean(0) for name, values in parts.items()}
        new = TrainState(params, moments, situation, key, state.update + 1, state.hyper)
        return new, metrics

    return Trainer(init, update, actor)


class _Material(NamedTuple):
    """A rollout, ready for minibatches: axes [T E N] (recurrent) or [1 T*E N]."""

    observation: Array
    start: Array
    action_mask: Array
    batch: losses.Batch
    carries: dict[str, Array] | None
    """Recurrent states at the start of the rollout, [E N H]."""


def _gather(
    env: ArrayEnv,
    actor: networks.Network,
    critic: networks.Network,
    config: TrainConfig,
    state: TrainState,
    key: Key[Array, ""],
    expert: Expert | None,
) -> tuple[rollout.Situation, _Material, rollout.Finished]:
    """Collects a rollout and everything the losses need that does not change with parameters."""
    before = state.situation
    situation, rows, finished = rollout.collect(
        env,
        actor,
        state.params["actor"],
        before,
        key,
        steps=config.rollout_steps,
        expert=expert,
    )
    value, critic_carry = rollout.values(
        critic, state.params["critic"], situation, rows, before.critic_carry
    )
    valid = jnp.broadcast_to(rows.valid[..., None], rows.reward.shape)
    advantage = returns.generalised_advantages(
        rows.reward,
        value,
        rows.terminated,
        valid,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
    )
    batch = losses.Batch(
        action=rows.action,
        log_prob=rows.log_prob,
        value=value[:-1],
        advantage=advantage,
        target=advantage + value[:-1],
        valid=valid,
        decision=rows.decision,
        label=rows.label,
        label_weight=rows.labelled.astype(jnp.float32),
    )
    carries = {"actor": before.actor_carry, "critic": before.critic_carry}
    material = _Material(rows.observation, rows.start, rows.action_mask, batch, carries)
    if config.network.kind == "mlp":

        def flatten(leaf: Array) -> Array:
            return leaf.reshape((1, -1, *leaf.shape[2:]))

        material = jax.tree.map(flatten, material._replace(carries=None))
    return situation._replace(critic_carry=critic_carry), material, finished


def _minibatches(key: Key[Array, ""], config: TrainConfig) -> Int[Array, "G B"]:
    """Indices of rows (of environments, for a recurrent network) for every gradient step.

    One permutation per epoch, the same for all agents: their rows lie side by side in memory.
    """
    size = config.num_envs if config.network.kind == "gru" else config.steps_per_update
    keys = jax.random.split(key, config.num_epochs)
    orders = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)
    return orders.reshape(config.num_epochs * config.num_minibatches, -1)


def _take(material: _Material, index: Int[Array, "B"], config: TrainConfig) -> _Material:
    carries = material.carries
    if carries is not None:
        carries = jax.tree.map(lambda leaf: leaf[index], carries)
    rows = jax.tree.map(lambda leaf: leaf[:, index], material._replace(carries=None))
    return rows._replace(carries=carries)


def _draw(key: Key[Array, ""], data: Data, config: TrainConfig) -> Rows | None:
    """Demonstrations of a gradient step, time first: [1 B N ...], or [S B N ...] if recurrent."""
    size = config.expert.batch_size
    if config.expert.labels == "visited":
        return None
    if data.rows is not None:
        return jax.tree.map(lambda leaf: leaf[None], demonstrations.sample(key, data.rows, size))
    assert data.episodes is not None  # one of the two is there, see `data`
    batch = demonstrations.sample(key, data.episodes, size)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), batch)


def _loss(
    actor: networks.Network,
    critic: networks.Network,
    config: TrainConfig,
    method: losses.Method,
    params: dict[str, Any],
    batch: _Material | None,
    guide: Rows | None,
    weight: Float[Array, "N"],
) -> tuple[Float[Array, "N"], dict[str, Array]]:
    """Every agent's loss and its parts; also whether the agent had anything to learn from."""
    num_agents = weight.shape[0]
    nothing: Any = None
    predictions = losses.Predictions(nothing, nothing, nothing)
    learns = jnp.zeros(num_agents, bool)
    rows = expert_rows = None
    parts = [part for part in (batch, guide) if part is not None]
    logits = _logits(actor, params["actor"], parts)
    if batch is not None:
        carry = critic.carry(batch.start.shape[1])
        carry = carry if batch.carries is None else batch.carries["critic"]
        value, _ = critic.apply(params["critic"], carry, batch.observation, batch.start)
        predictions = predictions._replace(
            log_probs=_by_agent(categorical.log_probs(logits[0], batch.action_mask)),
            value=_by_agent(value[..., 0]),
        )
        rows = jax.tree.map(_by_agent, batch.batch)
        learns |= rows.valid.any(-1)
    if guide is not None:
        log_probs = categorical.log_probs(logits[-1], guide.action_mask)
        predictions = predictions._replace(expert_log_probs=_by_agent(log_probs))
        expert_rows = losses.ExpertRows(_by_agent(guide.action), _by_agent(guide.weight))
        learns |= (expert_rows.weight > 0).any(-1)

    def one_agent(predictions: Any, rows: Any, expert_rows: Any, weight: Array) -> Any:
        parts = {t.name: t.loss(predictions, rows, expert_rows, config) for t in method.terms}
        factors = {t.name: t.coefficient(config, weight) for t in method.terms}
        return sum(factors[name] * parts[name] for name in parts), parts

    loss, parts = jax.vmap(one_agent)(predictions, rows, expert_rows, weight)
    return loss, {**parts, "learns": learns}


def _logits(
    actor: networks.Network, params: networks.Params, parts: list[_Material | Rows]
) -> list[Float[Array, "T B N A"]]:
    """The actor's outputs for every part; rows of a feed-forward network in one batch."""
    inputs = []
    for part in parts:
        size = part.action_mask.shape[1]
        if isinstance(part, _Material):
            carry = actor.carry(size) if part.carries is None else part.carries["actor"]
            inputs.append((carry, part.observation, part.start))
        else:
            start = jnp.zeros(part.action_mask.shape[:2], bool)
            inputs.append((actor.carry(size), part.observation, start))
    if all(observation.shape[0] == 1 for _, observation, _ in inputs):
        carries, observations, starts = zip(*inputs, strict=True)
        sizes = [carry.shape[0] for carry in carries]
        joined = actor.apply(
            params,
            jnp.concatenate(carries),
            jnp.concatenate(observations, 1),
            jnp.concatenate(starts, 1),
        )[0]
        return jnp.split(joined, list(np.cumsum(sizes[:-1])), axis=1)
    return [actor.apply(params, *each)[0] for each in inputs]


def _by_agent(leaf: Array) -> Array:
    """[T B N ...] -> [N T*B ...]."""
    return jnp.moveaxis(leaf.reshape((-1, *leaf.shape[2:])), 1, 0)


def _apply(
    adam: optax.GradientTransformation,
    params: Any,
    moments: Any,
    gradient: Any,
    learns: Bool[Array, "N"],
    rate: Float[Array, ""],
) -> tuple[Any, Any]:
    """One step of every agent's own Adam; an agent without any row keeps all it has."""
    change, new_moments = jax.vmap(adam.update)(gradient, moments)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(learns.reshape(learns.shape + (1,) * (new.ndim - 1)), new, old)

    new_params = jax.tree.map(lambda p, c: p - rate * c, params, change)
    return jax.tree.map(keep, new_params, params), jax.tree.map(keep, new_moments, moments)


def make_train(
    scenario: HasArrayEnv | ArrayEnv,
    config: TrainConfig,
    method: str | losses.Method = "leed",
    demos: Demonstrations | None = None,
    expert: Expert | None = None,
) -> Train:
    """A pure function that trains from a key, for those who ``jit`` and ``vmap`` it themselves.

        train = leed.make_train(scenario, config, demos=demos)
        states, metrics = jax.jit(jax.vmap(train.run, in_axes=(0, None)))(keys, train.data)

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      config: settings.
      method: "leed", "ippo", "bc", or a tuple of terms of one's own.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      expert: labels visited states (`execution.make_expert`), where ``config.expert.labels``
        asks for it.

    Returns:
      ``run(key, data) -> (final state, metrics of all updates)`` and the ``data`` to pass to it.

    Raises:
      ValueError: demonstrations are missing, or of another environment.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    resolved = losses.resolve(method, config)
    check_demonstrations(resolved, config, demos, env)
    trainer = make_trainer(env, config, resolved, expert)

    def run(key: Key[Array, ""], data: Data) -> tuple[TrainState, dict[str, Array]]:
        def step(state: TrainState, _: None) -> tuple[TrainState, dict[str, Array]]:
            return trainer.update(state, data)

        return jax.lax.scan(step, trainer.init(key), None, length=config.num_updates)

    return Train(run, data(demos if resolved.uses_expert else None, config))


def check_demonstrations(
    method: losses.Method, config: TrainConfig, demos: Demonstrations | None, env: ArrayEnv
) -> None:
    """Raises ``ValueError`` where a method lacks its demonstrations, or they do not fit."""
    needed = method.uses_expert and config.expert.labels != "visited"
    if needed and demos is None:
        raise ValueError(f"method {method.name!r} learns from demonstrations: pass demos=")
    if needed and demos is not None:
        demonstrations.require_match(demos, env.spec)
