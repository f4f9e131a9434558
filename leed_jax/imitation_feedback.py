"""What becomes of a plan in the hands of learners that see only their own observation.

A model's plan may look at what an agent cannot see: who is nearest, what another one is about to
do. Whether it can be imitated shows when it is: by a short behavioural cloning of its episodes, the
imitators of which then play the same starts as the plan. The reviewer here tells the model how both
fared:

    found = leed.generate_plans(scenario, model, reviewers=[ImitationReviewer()])

It stands outside of `generation`, which knows nothing of training.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from leed_jax import episodes, execution, instructions
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.episodes import Episodes
from leed_jax.generation import feedback
from leed_jax.generation.generate import demonstration_keys
from leed_jax.generation.reviewers import Attempt, Remarks
from leed_jax.instructions import EncodedPlans
from leed_jax.optimization import evaluation, methods, networks
from leed_jax.optimization.training import train
from leed_jax.scenarios import Scenario
from leed_jax.types import Action, Policy, State, TimeStep

BUDGET = TrainConfig(total_steps=10 * 64 * 128, eval_every_steps=10 * 64 * 128, eval_episodes=1)
"""Ten updates of 64 gradient steps each; behavioural cloning runs no environment for them."""
MAX_MEASURES = 4
"""So many are told, those in which imitators and plan differ most."""


class Imitated(NamedTuple):
    """A plan and its imitators, on the same starts."""

    plan: Episodes
    imitators: Episodes
    agreement: Float[np.ndarray, "N"]
    """In the plan's own episodes: share of an agent's decisions in which its imitator would have
    done the same; of continuous actions the mean absolute difference of a component. NaN for an
    agent that had none to make."""


@dataclass(frozen=True)
class ImitationReviewer:
    """Clones a plan for a short while, and tells the model how its imitators do."""

    config: TrainConfig = BUDGET
    """Of the cloning, with the network of the learners to come."""
    num_episodes: int = 256
    """Demonstrations of a relational plan; concrete plans have an episode each."""
    seed: int = 0
    """Draws the demonstrations and the first weights."""
    name: ClassVar[str] = "imitation"

    def __post_init__(self) -> None:
        if self.num_episodes < 1:
            raise ValueError(f"num_episodes must be at least 1, got {self.num_episodes}")
        methods.resolve("bc", self.config)  # refused before anything is paid for

    def __call__(self, attempt: Attempt) -> Remarks:
        """How score and measures differ, and a sentence by agent."""
        try:
            demos = self._demonstrations(attempt)
        except ValueError as error:
            return Remarks((f"The plan could not be imitated: {error}.",))
        found = imitate(attempt, demos, self.config, self.seed)
        agents = attempt.scenario.env.spec.agents
        return Remarks(
            _team_lines(attempt.scenario, found, demos.num_episodes),
            {agent: _sentence(attempt.scenario, found, n) for n, agent in enumerate(agents)},
        )

    def _demonstrations(self, attempt: Attempt) -> Demonstrations:
        executed = attempt.executed
        if attempt.kind == "relational":
            keys = demonstration_keys(self.seed, self.num_episodes)
            executed = execution.execute(attempt.scenario, list(attempt.plans.values()), keys)
        return execution.from_executed(attempt.scenario, executed, {"seed": self.seed})


def imitate(
    attempt: Attempt, demos: Demonstrations, config: TrainConfig = BUDGET, seed: int = 0
) -> Imitated:
    """Clones ``demos`` and plays the imitators, greedily, from the starts of the attempt.

    Args:
      attempt: executed plans.
      demos: of these plans.
      config: of the cloning.
      seed: of the training.

    Raises:
      ValueError: what `leed_jax.train` raises.
    """
    scenario = attempt.scenario
    env = scenario.env.scored
    result = train(scenario, demos, config, method="bc", seeds=[seed])
    actor = networks.make_actor(config.network, env.spec)
    encoded = instructions.encode(list(attempt.plans.values()), scenario.vocabulary)

    @jax.jit  # with plans and weights as arguments, so that a later round's program is this one
    def play(
        plans: EncodedPlans, params: Any, index: Int[Array, "K"], keys: Key[Array, "K"]
    ) -> tuple[Episodes, Episodes]:
        imitators = evaluation.policy(actor, params)

        def shadowed(plan: Int[Array, ""], key: Key[Array, ""]) -> Episodes:
            guide = execution.expert(scenario, plans.rows[plan], plans.valid[plan])
            policy = _shadowed(execution.as_policy(guide), imitators)
            return episodes.run_one(env, policy, key, record=_compare)

        return episodes.run(env, imitators, keys), jax.vmap(shadowed)(index, keys)

    plans = EncodedPlans(*map(jnp.asarray, encoded))
    params = jax.tree.map(lambda leaf: leaf[0], result.params["actor"])
    index = np.asarray(attempt.executed.plan_index)
    played, plan = jax.device_get(play(plans, params, index, attempt.keys))
    alike, counts = plan.record
    counts = counts & plan.valid[:, :, None]
    number = counts.sum((0, 1))
    agreement = np.where(counts, alike, 0.0).sum((0, 1)) / np.where(number > 0, number, np.nan)
    return Imitated(plan, played, agreement)


def _shadowed(guide: Policy, imitators: Policy) -> Policy:
    """The plan acts; its memory also holds what the imitators would have done."""

    def init(state: State, step: TimeStep) -> Any:
        nothing = jnp.zeros(step.action_mask.shape[:1])
        return guide.init(state, step), imitators.init(state, step), nothing

    def act(memory: Any, state: State, step: TimeStep, key: Key[Array, ""]) -> tuple[Any, Action]:
        followed, action = guide.act(memory[0], state, step, key)
        imitated, other = imitators.act(memory[1], state, step, key)
        return (followed, imitated, _alike(step, action, other)), action

    return Policy(init, act)


def _alike(step: TimeStep, action: Action, other: Action) -> Float[Array, "N"]:
    """1 where agents would have done the same; of continuous actions the mean difference."""
    if not jnp.issubdtype(action.dtype, jnp.floating):
        return (action == other).astype(jnp.float32)
    apart = jnp.abs(jnp.clip(action, -1.0, 1.0) - jnp.clip(other, -1.0, 1.0))
    return (apart * step.action_mask).sum(-1) / step.action_mask.sum(-1)


def _compare(state: State, step: TimeStep, memory: Any, action: Action) -> Any:
    """Of every agent: how alike, and whether it counts, as it does for learning."""
    del state, action
    (legal, _), _, alike = memory
    return alike, step.decision & legal


def _team_lines(scenario: Scenario, found: Imitated, num_episodes: int) -> tuple[str, ...]:
    plan, imitators = (feedback.judge(scenario, ran) for ran in (found.plan, found.imitators))
    lines = [
        "Learners that see nothing but their own observation have imitated this answer "
        f"(behavioural cloning of {num_episodes} episodes, a short training). On the same starts "
        f"their score was {imitators.score.mean():.1f} per episode on average, that of the "
        f"instructions themselves {plan.score.mean():.1f}."
    ]
    gaps = {name: _gap(plan.measures[name], imitators.measures[name]) for name in plan.measures}
    told = sorted(gaps, key=lambda name: -gaps[name])[:MAX_MEASURES]
    if told:
        lines[0] += " They differ in:" if len(told) == len(gaps) else " They differ most in:"
    # In the order of the scenario, so that the least rounding does not change the prompt.
    lines += [
        f"- {name}: imitators {np.mean(imitators.measures[name]):.2f}, instructions "
        f"{np.mean(plan.measures[name]):.2f}"
        for name in gaps
        if name in told
    ]
    return tuple(lines)


def _gap(plan: Any, imitators: Any) -> float:
    """Difference of means in deviations over the episodes of both; infinite where none deviates."""
    apart = abs(float(np.mean(plan)) - float(np.mean(imitators)))
    spread = float(np.sqrt((np.var(plan) + np.var(imitators)) / 2))
    return apart / spread if spread > 0 else (np.inf if apart > 0 else 0.0)


def _sentence(scenario: Scenario, found: Imitated, n: int) -> str:
    plan, imitators = (float(ran.returns[:, n].mean()) for ran in (found.plan, found.imitators))
    said = f"its imitator's own return is {imitators:.2f} instead of {plan:.2f}"
    value = float(found.agreement[n])
    if np.isnan(value):
        return said
    if scenario.env.spec.continuous:
        return f"{said}; the imitator's action is off by {value:.2f} per component (of -1 to 1)"
    return f"{said}; it would do the same in {100 * value:.1f} % of the decisions"
