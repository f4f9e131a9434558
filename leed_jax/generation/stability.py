"""How steady an agent's return is while the others do not follow their plans.

All agents learn at the same time, so that what each of them learns from moves: the others follow
the plan at the end at best. That demonstrations should be good for learners in this sense, and that
the model should be told, is the idea of RELED (Duan et al., arXiv 2511.19368, "Stationarity-Aware
Expert Demonstration"). Its bound of non-stationarity was not at hand; what is measured here, and
its words, are our own.

The plan is executed once as it is, and then with errors of others: an agent errs in a share of its
steps, and takes a random legal action there. Under every condition the episodes have the same
starts, the same random numbers of the environment, and the same draws of errors, so that returns
differ by the errors alone, and who errs in one step of a hundred also errs in that one of ten.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from leed_jax import episodes, execution, instructions
from leed_jax.generation.reviewers import Attempt, Remarks
from leed_jax.instructions import EncodedPlans, Plan, Vocabulary
from leed_jax.quoting import named
from leed_jax.scenarios import Controls, Scenario
from leed_jax.types import ArrayEnv, Expert, Policy

MAX_SINGLED_OUT = 8
"""In larger teams agents err all together only, not each in turn as well."""
_ELEMENTS = 2**24
"""Rewards that one batch of conditions may hold."""


class Stability(NamedTuple):
    """Every agent's own return, undiscounted, under errors of the others; K episodes."""

    share: float
    """Of an agent's steps in which it errs, where it errs a little."""
    plan: Float[np.ndarray, "K N"]
    """Everybody follows the plan."""
    others_err: Float[np.ndarray, "K N"]
    """Column n: all agents but n err in `share` of their steps."""
    others_random: Float[np.ndarray, "K N"]
    """Column n: all agents but n act at random."""
    one_errs: Float[np.ndarray, "N K N"] | None
    """[j, :, n]: j alone errs in `share` of its steps; None where that was not measured."""
    one_random: Float[np.ndarray, "N K N"] | None
    """[j, :, n]: j alone acts at random."""

    @property
    def mean(self) -> Float[np.ndarray, "N"]:
        """Of every agent's return over the conditions under which it follows its own plan."""
        return np.array([values.mean() for values in self._conditions()])

    @property
    def deviation(self) -> Float[np.ndarray, "N"]:
        """Standard deviation of the mean return over these conditions: the volatility."""
        return np.array([values.std() for values in self._conditions()])

    def _conditions(self) -> list[Float[np.ndarray, "C"]]:
        """By agent, mean returns over the episodes of every condition."""
        alone = [each.mean(1) for each in (self.one_errs, self.one_random) if each is not None]
        together = [each.mean(0) for each in (self.plan, self.others_err, self.others_random)]
        found = []
        for n in range(self.plan.shape[1]):
            others = [np.delete(each[:, n], n) for each in alone]
            found.append(np.concatenate([[each[n] for each in together], *others]))
        return found


def measure(
    scenario: Scenario,
    plans: Sequence[Plan],
    keys: Key[Array, "K"],
    plan_index: Int[np.ndarray, "K"] | None = None,
    *,
    share: float = 0.1,
) -> Stability:
    """Executes plans from the scored starts of ``keys`` under all conditions, in one program.

    Args:
      scenario: where.
      plans: P of them.
      keys: one per episode.
      plan_index: which plan each episode runs; None: the first.
      share: of the steps in which an agent errs a little, in (0, 1).

    Raises:
      ValueError: ``share`` is out of range, or a plan holds what the vocabulary does not.
    """
    _check(share)
    count = scenario.env.spec.num_agents
    own = np.eye(count, dtype=np.float32)
    masks = [np.zeros((1, count), np.float32)]
    singled_out = 2 < count <= MAX_SINGLED_OUT
    for errors in (share, 1.0):
        masks += [errors * (1 - own)] + ([errors * own] if singled_out else [])
    shares = np.concatenate(masks).astype(np.float32)
    index = np.zeros(len(keys), np.int32) if plan_index is None else np.asarray(plan_index)
    encoded = instructions.encode(plans, scenario.vocabulary)
    run = _runner(_Task(scenario.env.scored, scenario.vocabulary, scenario.controls, scenario))
    returns = np.asarray(run(EncodedPlans(*map(jnp.asarray, encoded)), index, keys, shares))
    parts = iter(np.split(returns[1:], (len(returns) - 1) // count))
    agents = np.arange(count)

    def others() -> Float[np.ndarray, "K N"]:
        return next(parts)[agents, :, agents].T

    def one() -> Float[np.ndarray, "N K N"] | None:
        return next(parts) if singled_out else None

    little, one_little, much, one_much = others(), one(), others(), one()
    return Stability(float(share), returns[0], little, much, one_little, one_much)


def _check(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"share must be in (0, 1), got {share!r}")


@dataclass(frozen=True)
class _Task:
    """A scenario, told from others by what its compiled program depends on."""

    env: ArrayEnv
    vocabulary: Vocabulary
    controls: Controls
    scenario: Scenario = field(compare=False)


@functools.lru_cache(maxsize=32)
def _runner(task: _Task) -> Any:
    """The compiled program: [C N] shares of errors -> returns [C K N]."""
    env = task.env

    @jax.jit
    def run(
        plans: EncodedPlans,
        index: Int[Array, "K"],
        keys: Key[Array, "K"],
        shares: Float[Array, "C N"],
    ) -> Float[Array, "C K N"]:
        def one(share: Float[Array, "N"], plan: Int[Array, ""], key: Key[Array, ""]) -> Any:
            guide = execution.expert(task.scenario, plans.rows[plan], plans.valid[plan])
            policy = erring(guide, share, continuous=env.spec.continuous)
            return episodes.run_one(env, policy, key).returns

        def condition(share: Float[Array, "N"]) -> Float[Array, "K N"]:
            return jax.vmap(one, (None, 0, 0))(share, index, keys)

        batch = max(1, _ELEMENTS // (len(keys) * env.spec.horizon * env.spec.num_agents))
        if batch >= len(shares):
            return jax.vmap(condition)(shares)
        return jax.lax.map(condition, shares, batch_size=batch)

    return run


def erring(guide: Expert, share: Float[Array, "N"], *, continuous: bool = False) -> Policy:
    """A plan whose agents take a random legal action in a share of their steps.

    Args:
      guide: the plan.
      share: by agent; 0: never, 1: always.
      continuous: actions are numbers in [-1, 1], drawn uniformly from there.
    """
    follow, chance = execution.as_policy(guide), episodes.random_policy(continuous=continuous)

    def act(memory: Any, state: Any, step: Any, key: Key[Array, ""]) -> tuple[Any, Any]:
        action_key, error_key = jax.random.split(key)
        memory, planned = follow.act(memory, state, step, key)
        _, drawn = chance.act((), state, step, action_key)
        errs = jax.random.uniform(error_key, share.shape) < share
        return memory, jnp.where(errs[:, None] if continuous else errs, drawn, planned)

    return Policy(follow.init, act)


@dataclass(frozen=True)
class StabilityReviewer:
    """Tells every agent's return under errors of the others (`measure`) to the model."""

    share: float = 0.1
    """Of the steps in which an agent errs a little, in (0, 1)."""
    num_episodes: int = 16
    """Of the scored ones, on which the plan is executed under every condition, at most."""
    name: ClassVar[str] = "stability"

    def __post_init__(self) -> None:
        _check(self.share)
        if self.num_episodes < 1:
            raise ValueError(f"num_episodes must be at least 1, got {self.num_episodes}")

    def __call__(self, attempt: Attempt) -> Remarks:
        """A sentence by agent; nothing for an agent that is alone."""
        agents = attempt.scenario.env.spec.agents
        if len(agents) == 1:
            return Remarks()
        kept = slice(self.num_episodes)
        found = measure(
            attempt.scenario,
            list(attempt.plans.values()),
            attempt.keys[kept],
            attempt.executed.plan_index[kept],
            share=self.share,
        )
        return Remarks(
            (
                "While an agent learns, the others do not follow the plan yet. So the answer was "
                f"also carried out, on {len(found.plan)} of the same starts, with errors (random "
                "legal actions) of all agents but one; what that does to the own return of this "
                "one is said above. The less it changes, the steadier is what an agent learns "
                "from.",
            ),
            {agent: _sentence(found, n, agents) for n, agent in enumerate(agents)},
        )


def _sentence(found: Stability, n: int, agents: Sequence[str]) -> str:
    own = found.plan[:, n].mean()

    def change(returns: Float[np.ndarray, "K"]) -> str:
        return f"{round(float(returns.mean() - own), 2) + 0.0:+.2f}"

    alone = ""
    if found.one_errs is not None:
        each = [
            f"{named(agent)} alone: {change(found.one_errs[j, :, n])}"
            for j, agent in enumerate(agents)
            if j != n
        ]
        alone = f" ({', '.join(each)})"
    return (
        f"its own return is {round(float(own), 2) + 0.0:.2f} and changes by "
        f"{change(found.others_err[:, n])} when the others err in {100 * found.share:g} % of their "
        f"steps{alone}, by {change(found.others_random[:, n])} when they act at random; deviation "
        f"over all these cases {found.deviation[n]:.2f}"
    )
