"""What has to hold before anything is trained: of method, settings, environment, demonstrations."""

import jax

from leed_jax import demonstrations
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import balance, methods
from leed_jax.types import ArrayEnv, EnvSpec, Expert


def parameter_sets(method: methods.Method, config: TrainConfig, spec: EnvSpec) -> int:
    """How many actors (and critics) there are: one per agent, per group, or one for all."""
    if method.parameter_sharing or config.parameter_sharing == "all":
        return 1
    return spec.num_agents if config.parameter_sharing == "none" else config.parameter_groups


def check_groups(method: methods.Method, config: TrainConfig, spec: EnvSpec) -> None:
    """Raises ``ValueError`` where the agents cannot be parted into groups of equal size."""
    sets = parameter_sets(method, config, spec)
    if spec.num_agents % sets:
        raise ValueError(
            f"parameter_groups must be a divisor of the {spec.num_agents} agents of {spec.name}, "
            f"got {sets}"
        )


def check_spec(method: methods.Method, config: TrainConfig, spec: EnvSpec) -> None:
    """Raises ``ValueError`` where an environment's numbers do not allow what is to be done."""
    if not 0 < spec.decision_share <= 1:
        raise ValueError(f"decision_share must be in (0, 1], {spec.name} has {spec.decision_share}")
    check_groups(method, config, spec)
    if spec.continuous and config.expert.smoothing > 0:
        raise ValueError(
            "expert.smoothing must be 0 for continuous actions, as those of "
            f"{spec.name}, got {config.expert.smoothing}"
        )
    each = spec.num_agents // parameter_sets(method, config, spec)
    for name in ("observation_sizes", "action_sizes"):
        sizes = getattr(spec, name)
        if any(len(set(sizes[i : i + each])) > 1 for i in range(0, spec.num_agents, each)):
            raise ValueError(
                f"method {method.name!r} shares parameters: {name} must be the same for all "
                f"agents that share, {spec.name} has {sizes}"
            )


def check_values(method: methods.Method, config: TrainConfig, spec: EnvSpec) -> None:
    """Raises ``ValueError`` where value-based methods cannot do what is to be done."""
    if spec.continuous:
        raise ValueError(
            f"method {method.name!r} needs discrete actions, those of {spec.name} are continuous"
        )
    if config.network.common_trunk:
        raise ValueError(f"network.common_trunk must be false: {method.name} has no critic")
    for name in ("normalize_observations", "scale_rewards"):
        if getattr(config, name):
            raise ValueError(f"{name} must be false: method {method.name!r} does without")
    check_groups(method, config, spec)
    if config.network.recurrent and config.rollout_steps < 2:
        raise ValueError(
            "rollout_steps must be at least 2 for a recurrent network, whose sequences it is the "
            f"length of, got {config.rollout_steps}"
        )
    starts, steps = config.value_based.learning_starts, config.num_updates * config.steps_per_update
    if starts >= steps:
        raise ValueError(
            f"value_based.learning_starts must be below the {steps} steps of the run, got {starts}"
        )


def guide(env: ArrayEnv, demos: Demonstrations | None, expert: Expert | None) -> Expert | None:
    """The expert that was given, else the plan behind the demonstrations, if it reads such states.

    A wrapped environment may have other states than the one that the plan was executed in.
    """
    if expert is not None or demos is None or demos.expert is None:
        return expert
    states = jax.eval_shape(env.reset, jax.random.key(0))[0]
    wanted = demos.expert.states
    same = jax.tree.structure(states) == jax.tree.structure(wanted)
    if same and all(map(_alike, jax.tree.leaves(states), jax.tree.leaves(wanted))):
        return demos.expert
    return None


def _alike(a: jax.ShapeDtypeStruct, b: jax.ShapeDtypeStruct) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype)


def labelling(method: methods.Method, config: TrainConfig, expert: Expert | None) -> Expert | None:
    """The expert, where visited states are to be labelled.

    Raises:
      ValueError: they are, and there is none.
    """
    if not method.uses_expert or config.expert.labels in ("auto", "demonstrations"):
        return None
    if expert is None:
        raise ValueError(
            f"expert.labels={config.expert.labels!r} needs an expert: a relational plan "
            "(concrete plans say nothing about states that they were not made for)"
        )
    return expert


def check_demonstrations(
    method: methods.Method, config: TrainConfig, demos: Demonstrations | None, env: ArrayEnv
) -> None:
    """Raises ``ValueError`` where a method lacks its demonstrations, or they do not fit."""
    labels = methods.settings(method, config).expert.labels
    needed = method.uses_expert and labels != "visited"
    if needed and demos is None:
        raise ValueError(f"method {method.name!r} learns from demonstrations: pass demos=")
    adapts = balance.used(config, method)
    if adapts and demos is None:
        raise ValueError(
            f"expert.schedule={config.expert.schedule!r} compares the agents with demonstrations: "
            "pass demos="
        )
    if (needed or adapts) and demos is not None:
        demonstrations.require_match(demos, env.spec)
