"""What is fixed for a run of policy gradients."""

from typing import NamedTuple

from leed_jax.config import TrainConfig
from leed_jax.optimization import balance, checks, critics, methods, networks
from leed_jax.types import ArrayEnv, Expert


class Learner(NamedTuple):
    """The world, the networks, and how they are trained."""

    env: ArrayEnv
    config: TrainConfig
    """With the labels that are meant, `methods.settings`."""
    method: methods.Method
    actor: networks.Network
    critic: networks.Network | None
    """None: the actor gives the values."""
    expert: Expert | None = None
    """Where visited states are labelled."""

    @property
    def sets(self) -> int:
        """Of parameters."""
        return checks.parameter_sets(self.method, self.config, self.env.spec)

    @property
    def adapts(self) -> bool:
        """Whether λ does."""
        return balance.used(self.config, self.method)


def make(
    env: ArrayEnv, config: TrainConfig, method: methods.Method, expert: Expert | None
) -> Learner:
    """With new networks.

    Raises:
      ValueError: as `trainer.make_trainer`, of what environment and settings do not allow.
    """
    config = methods.settings(method, config, labelled=expert is not None)
    checks.check_spec(method, config, env.spec)
    sets = checks.parameter_sets(method, config, env.spec)
    actor = networks.make_actor(config.network, env.spec, sets=sets)
    critic = None
    if not config.network.common_trunk:
        critic = critics.make(config.network, env, sets=sets, central=method.central_critic)
    labels = checks.labelling(method, config, expert)
    return Learner(env, config, method, actor, critic, labels)
