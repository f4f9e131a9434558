"""The training step: rollout, advantages, and minibatches of one loss per agent; pure functions.

`make_trainer` puts the parts together for one environment, configuration and method; what drives
them (`jit`, `vmap` over seeds, a host loop or a `scan`) is up to the caller.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key

from leed_jax import demonstrations
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import experience, losses, minibatches, networks, rollout, schedules
from leed_jax.optimization.experience import Material
from leed_jax.optimization.minibatches import Data
from leed_jax.types import ArrayEnv, EnvSpec, Expert, HasArrayEnv

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
    """"actor" and "critic", leading axis N, or 1 where they are shared; "actor" alone where it is
    one network with the critic."""
    optimiser: Any
    situation: rollout.Situation
    key: Key[Array, ""]
    update: Int[Array, ""]
    hyper: Hyperparameters


class Trainer(NamedTuple):
    """Pure functions of one run."""

    init: Callable[[Key[Array, ""]], TrainState]
    update: Callable[[TrainState, Data], tuple[TrainState, dict[str, Array]]]
    """`collect`, then `learn`: state, demonstrations -> state, metrics."""
    collect: Callable[[TrainState], tuple[TrainState, Material | None, dict[str, Array]]]
    """A rollout, ready for minibatches; None for methods that do without."""
    learn: Callable[[TrainState, Data, Material | None], tuple[TrainState, dict[str, Array]]]
    """All gradient steps on a rollout and the demonstrations."""
    actor: networks.Network


class Train(NamedTuple):
    """A whole run as a pure function, and its demonstrations."""

    run: Callable[[Key[Array, ""], Data], tuple[TrainState, dict[str, Array]]]
    data: Data
    """An argument, so that demonstrations are not baked into the program as constants."""


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """Of one agent, or of all that share parameters.

    The learning rate is applied outside, so that it can be traced.
    """
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
      ValueError: visited states are to be labelled and there is no expert; or the environment's
        sizes do not go together with the method or the configuration.
    """
    spec = env.spec
    check_spec(method, config, spec)
    sets = parameter_sets(method, config, spec)
    each = spec.num_agents // sets
    num_rows = minibatches.population(config, spec)
    actor = networks.make_actor(config.network, spec, sets=sets)
    critic = None
    if not config.network.common_trunk:
        critic = networks.make_critic(config.network, spec, sets=sets)
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
        params = {"actor": actor.init(actor_key)}
        if critic is not None:
            params["critic"] = critic.init(critic_key)
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

    def collect(state: TrainState) -> tuple[TrainState, Material | None, dict[str, Array]]:
        if not method.uses_rollout:
            return state, None, {}
        _, rollout_key, _ = jax.random.split(state.key, 3)
        situation, material, metrics = experience.gather(
            env, actor, critic, config, state.params, state.situation, rollout_key, expert
        )
        return state._replace(situation=situation), material, metrics

    def learn(
        state: TrainState, data: Data, material: Material | None
    ) -> tuple[TrainState, dict[str, Array]]:
        key, _, shuffle_key = jax.random.split(state.key, 3)
        expert_key = jax.random.fold_in(state.key, EXPERT_STREAM)
        progress = state.update / config.num_updates
        weight = schedules.expert_weight(config.expert, state.hyper.expert_weight, progress)
        rate = state.hyper.learning_rate
        if config.anneal_learning_rate:
            rate = rate * (1.0 - progress)

        def step(carry: Any, picks: Any) -> tuple[Any, dict[str, Array]]:
            params, moments = carry
            index, expert_index = picks
            batch = None
            if material is not None:
                batch = minibatches.take(material, index, config.shuffle_groups)
            guide = minibatches.draw(expert_index, data)
            gradient, parts = jax.grad(total, has_aux=True)(params, batch, guide, weight)
            learns = parts.pop("learns")
            learns = learns.reshape(sets, each).any(-1)
            return _apply(adam, params, moments, gradient, learns, rate), parts

        def total(params: Any, batch: Any, guide: Any, weight: Array) -> tuple[Array, Any]:
            loss, parts = minibatches.loss(
                actor, critic, config, method, params, batch, guide, weight
            )
            # Agents that share parameters: the mean of their losses.
            return loss.sum() / each, parts

        indices = minibatches.shuffled(shuffle_key, config, num_rows)
        expert_indices = None
        if method.uses_expert:
            expert_indices = minibatches.chosen(expert_key, data, config, len(indices))
        picks = indices, expert_indices
        (params, moments), parts = jax.lax.scan(step, (state.params, state.optimiser), picks)
        metrics = {name: values.mean(0) for name, values in parts.items()}
        new = state._replace(params=params, optimiser=moments, key=key, update=state.update + 1)
        return new, {"expert_weight": weight, **metrics}

    def update(state: TrainState, data: Data) -> tuple[TrainState, dict[str, Array]]:
        state, material, of_rollout = collect(state)
        state, metrics = learn(state, data, material)
        return state, metrics | of_rollout

    return Trainer(init, update, collect, learn, actor)


def _apply(
    adam: optax.GradientTransformation,
    params: Any,
    moments: Any,
    gradient: Any,
    learns: Bool[Array, "#N"],
    rate: Float[Array, ""],
) -> tuple[Any, Any]:
    """One step of every Adam, own or shared; an agent without any row keeps all it has."""
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
      method: a key of `losses.METHODS`, or a `losses.Method` of one's own.
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

    return Train(run, minibatches.data(demos if resolved.uses_expert else None, config))


def parameter_sets(method: losses.Method, config: TrainConfig, spec: EnvSpec) -> int:
    """How many actors (and critics) there are: one per agent, per group, or one for all."""
    if method.parameter_sharing or config.parameter_sharing == "all":
        return 1
    return spec.num_agents if config.parameter_sharing == "none" else config.parameter_groups


def check_spec(method: losses.Method, config: TrainConfig, spec: EnvSpec) -> None:
    """Raises ``ValueError`` where an environment's numbers do not allow what is to be done."""
    if not 0 < spec.decision_share <= 1:
        raise ValueError(f"decision_share must be in (0, 1], {spec.name} has {spec.decision_share}")
    sets = parameter_sets(method, config, spec)
    if spec.num_agents % sets:
        raise ValueError(
            f"parameter_groups must be a divisor of the {spec.num_agents} agents of {spec.name}, "
            f"got {sets}"
        )
    each = spec.num_agents // sets
    for name in ("observation_sizes", "action_sizes"):
        sizes = getattr(spec, name)
        if any(len(set(sizes[i : i + each])) > 1 for i in range(0, spec.num_agents, each)):
            raise ValueError(
                f"method {method.name!r} shares parameters: {name} must be the same for all "
                f"agents that share, {spec.name} has {sizes}"
            )


def check_demonstrations(
    method: losses.Method, config: TrainConfig, demos: Demonstrations | None, env: ArrayEnv
) -> None:
    """Raises ``ValueError`` where a method lacks its demonstrations, or they do not fit."""
    needed = method.uses_expert and config.expert.labels != "visited"
    if needed and demos is None:
        raise ValueError(f"method {method.name!r} learns from demonstrations: pass demos=")
    if needed and demos is not None:
        demonstrations.require_match(demos, env.spec)
