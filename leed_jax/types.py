"""Arrays, and bundles of pure functions, that travel between the rooms of the package.

Dimension letters, the same everywhere:

    E  environments side by side     T  steps of a rollout      S  steps of an episode
    N  agents                        K  demonstration episodes  P  plans
    L  instructions of a plan        F  integers an instruction encodes to
    D  observation features          A  actions                 G  global-state features
    B  rows of a minibatch           M  rows of a flattened data set
    C  decisions kept of a rollout

Everything here is a ``NamedTuple``: with shape checks on they pass through ``eval_shape`` and
``vmap`` prefixes, and they are pytrees without registration.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

Action = Int[Array, "*b N"] | Float[Array, "*b N A"]
"""The actions of all agents: numbers of discrete ones, or components of continuous ones."""

AnyArray = Array | np.ndarray
"""On the device or on the host."""

State = Any
"""An environment's own state, a pytree that only the environment looks into."""

Memory = Any
"""What an expert remembers between two steps of an episode, a pytree of fixed shapes."""


class EnvSpec(NamedTuple):
    """What is fixed about an environment: names and sizes, padded and true."""

    name: str
    agents: tuple[str, ...]
    observation_sizes: tuple[int, ...]
    """True observation size of every agent; D is their maximum, the rest is zero padding."""
    action_sizes: tuple[int, ...]
    """True number of actions of every agent, or of components of its action where actions are
    continuous; A is their maximum, the rest is never legal (and never moves anything)."""
    horizon: int
    """Steps after which an episode is truncated at the latest."""
    decision_share: float = 1.0
    """Upper estimate of the share of an agent's steps that are decisions, in (0, 1]. Below 1, a
    rollout keeps rows of decisions only, and room for so many of them; 1: every step is a row."""
    continuous: bool = False
    """Actions are A numbers in [-1, 1] per agent, scaled to the environment's bounds by its
    `ArrayEnv.step`, instead of one of A numbers."""
    observation_shape: tuple[int, ...] | None = None
    """[height, width, channels] where every agent's observation is such a grid, flattened."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "EnvSpec":
        """The specification whose ``_asdict()`` was written as JSON.

        Raises:
          KeyError: a field is missing.
          TypeError: a field is no list, or there are fields that a specification does not have.
        """
        lists = ["agents", "observation_sizes", "action_sizes"]
        lists += ["observation_shape"] if fields.get("observation_shape") else []
        return cls(**{**fields, **{name: tuple(fields[name]) for name in lists}})

    def require(self, wanted: "EnvSpec", what: str) -> None:
        """Raises ``ValueError`` naming the first field in which this differs from ``wanted``.

        ``decision_share`` may differ: an estimate for buffers, it says nothing about the arrays.
        """
        for name, value in wanted._replace(decision_share=self.decision_share)._asdict().items():
            found = getattr(self, name)
            if found != value:
                raise ValueError(
                    f"{what}: {name} is {found!r}, the environment has {value!r}; make the "
                    f"scenario that it is of ({self.name}, {self.num_agents} agents, the same "
                    "options)"
                )

    @property
    def num_agents(self) -> int:
        """N."""
        return len(self.agents)

    @property
    def observation_size(self) -> int:
        """D."""
        return max(self.observation_sizes)

    @property
    def num_actions(self) -> int:
        """A."""
        return max(self.action_sizes)


class TimeStep(NamedTuple):
    """What all agents see after a reset or a step, beside the environment's state."""

    observation: Float[Array, "N D"]
    reward: Float[Array, "N"]
    """Each agent's own reward for the step that led here; zero after a reset."""
    terminated: Bool[Array, "N"]
    """The agent's return ends here: nothing is bootstrapped."""
    truncated: Bool[Array, ""]
    """The time limit cut the episode: the value of this observation is bootstrapped."""
    action_mask: Bool[Array, "N A"]
    """Legal actions; every agent has at least one. Of continuous actions, the components that the
    agent has."""
    decision: Bool[Array, "N"]
    """The agent's action matters here (false: dead, or in transit); the others' rows are masked."""
    global_state: Float[Array, "G"]
    """For central critics of baselines; LEED's own networks never see it."""

    @property
    def over(self) -> Bool[Array, ""]:
        """Whether the episode ended with this step."""
        return self.truncated | self.terminated.all()

    def allows(self, action: Action) -> Bool[Array, "*b N"]:
        """Which agents may take their action; never one that is no action at all.

        Continuous actions are allowed if they are finite: the environment clips them.
        """
        if jnp.issubdtype(action.dtype, jnp.floating):
            return jnp.isfinite(action).all(-1)
        # Not by take_along_axis: it reads True outside the mask, and negatives wrap around.
        chosen = jax.nn.one_hot(action, self.action_mask.shape[-1], dtype=bool)
        return (self.action_mask & chosen).any(-1)

    def legal(self, action: Action) -> Action:
        """``action``, and for agents that may not take it their first legal one (or zeros)."""
        allowed = self.allows(action)
        if jnp.issubdtype(action.dtype, jnp.floating):
            return jnp.where(allowed[..., None], action, 0.0)
        return jnp.where(allowed, action, self.action_mask.argmax(-1))


class Measure(NamedTuple):
    """A success metric beside the return, read off the state after every step."""

    name: str
    read: Callable[[State], Float[Array, ""]]
    over: Literal["last", "mean", "sum"]
    """How the readings of an episode become one number."""
    meaning: str
    """One line with unit and direction, for tables."""


class ArrayEnv(NamedTuple):
    """An environment with all agents in one array: the only thing that the trainer sees.

    All functions are pure and serve one environment; ``vmap`` adds E.
    """

    reset: Callable[[Key[Array, ""]], tuple[State, TimeStep]]
    step: Callable[[Key[Array, ""], State, Action], tuple[State, TimeStep]]
    spec: EnvSpec
    measures: tuple[Measure, ...] = ()
    scored_reset: Callable[[Key[Array, ""]], tuple[State, TimeStep]] | None = None
    """Starts of episodes that are scored, where training draws from a wider set; None: `reset`."""
    scored_starts: int | None = None
    """How many different scored starts there are; None: unlimited."""

    @property
    def scored(self) -> "ArrayEnv":
        """The same environment, reset to scored starts."""
        return self if self.scored_reset is None else self._replace(reset=self.scored_reset)

    def scored_episodes(self, wanted: int) -> int:
        """How many of the ``wanted`` episodes are worth playing: not more than scored starts."""
        return wanted if self.scored_starts is None else min(wanted, self.scored_starts)


class Expert(NamedTuple):
    """A plan as a policy: its action for any state, also for those that a learner visits."""

    init: Callable[[State], Memory]
    label: Callable[[State, Memory], tuple[Action, Memory]]
    states: Any = None
    """Shapes and dtypes of the states it reads, as from `jax.eval_shape`; None: not said."""


class Policy(NamedTuple):
    """Anything that acts: trained actors, a plan, a random policy."""

    init: Callable[[State, TimeStep], Any]
    act: Callable[[Any, State, TimeStep, Key[Array, ""]], tuple[Any, Action]]


@runtime_checkable
class HasArrayEnv(Protocol):
    """A scenario, or whatever else carries an ``ArrayEnv``."""

    @property
    def env(self) -> ArrayEnv:
        """The environment."""
        ...
