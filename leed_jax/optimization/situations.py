"""What a rollout consists of: its rows, where environments stand before and after, its episodes."""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

from leed_jax.optimization import devices, normalisation
from leed_jax.types import Action, State, TimeStep


class Transitions(NamedTuple):
    """A rollout with a row for every step, time first."""

    observation: Float[Array, "T E N D"]
    action_mask: Bool[Array, "T E N A"]
    action: Action
    log_prob: Float[Array, "T E N"]
    reward: Float[Array, "T E N"]
    terminated: Bool[Array, "T E N"]
    valid: Bool[Array, "T E"]
    """False for rows that hold an episode's last observation."""
    decision: Bool[Array, "T E N"]
    """Valid, and the agent's action matters."""
    start: Bool[Array, "T E"]
    """First row of an episode."""
    label: Action
    """The expert's action, where visited states are labelled, else 0."""
    labelled: Bool[Array, "T E N"]
    """The label is a legal action of a decision."""
    value: Float[Array, "T E N"] | None = None
    """Of the observation, where the actor gives it; a critic's come behind the rollout."""
    global_state: Float[Array, "T E G"] | None = None
    """For a central critic, where there is one."""


class Situation(NamedTuple):
    """Where the environments stand between two rollouts."""

    state: State
    time_step: TimeStep
    over: Bool[Array, "E"]
    """The episode has ended; the next step resets."""
    start: Bool[Array, "E"]
    """The next row is the first of an episode."""
    actor_carry: Float[Array, "E N H"]
    critic_carry: Float[Array, "E N H"]
    memory: Any
    """The expert's, where visited states are labelled."""
    team_return: Float[Array, "E"]
    """Sum over agents of the rewards of the episode under way."""
    agent_return: Any = ()
    """[E N], the same agent by agent, where `Extras.returns` asks for it."""
    discounted: Any = ()
    """[E N], rewards of the episode so far, discounted by their age, where rewards are scaled."""


class Finished(NamedTuple):
    """Episodes that ended during a rollout; of a single step, per environment."""

    count: Int[Array, "*b"]
    team_return: Float[Array, "*b"]
    """Their sum."""
    agent_return: Float[Array, "*b N"] | None = None
    """The same agent by agent, where it is asked for."""
    discounted: Any = None
    """`Situation.discounted` behind a step; behind all of them its moments."""
    acting: Any = None
    """Which of these count: inside an episode, and the agent's own return goes on."""

    def total(self, sets: int = 1) -> "Finished":
        """Over steps and environments.

        Behind the loop over steps: inside of it devices would wait for each other in every step.
        """
        total = Finished(self.count.sum(), self.team_return.sum())
        if self.agent_return is not None:
            total = total._replace(agent_return=self.agent_return.sum((0, 1)))
        if self.discounted is not None:
            sums: Any = devices.merge(self.discounted)
            acting: Any = devices.merge(self.acting)
            found = normalisation.moments(sums[..., None], acting, sets)
            total = total._replace(discounted=found)
        return total


class Extras(NamedTuple):
    """What some methods want of a rollout besides."""

    central: bool = False
    """Rows hold the global state."""
    mixture: Float[Array, ""] | None = None
    """Share of steps in which the expert acts, for all agents of an environment (Ross et al. 2011,
    1011.0686, the mixture policy of section 3)."""
    returns: bool = False
    """Returns of finished episodes agent by agent."""
    rewards: normalisation.Moments | None = None
    """Of discounted returns up to now, where rewards are scaled."""
    discount: float = 1.0
    """Of these."""

    @property
    def sets(self) -> int:
        """Of agents that have these in common."""
        return 1 if self.rewards is None else len(self.rewards.count)


NOTHING_MORE = Extras()
