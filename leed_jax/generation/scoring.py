"""Executes the plans of an answer, and puts together what the next prompt says about them."""

import math
from collections.abc import Mapping, Sequence

from jaxtyping import Array, Key

from leed_jax import execution
from leed_jax.generation import feedback, reviewers
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.prompts import PlanKind
from leed_jax.generation.reviewers import Attempt, Reviewer
from leed_jax.generation.stability import StabilityReviewer
from leed_jax.instructions import Plan
from leed_jax.scenarios import Scenario


def reviewers_of(config: GenerationConfig) -> list[Reviewer]:
    """Those that the settings ask for."""
    if not config.stability:
        return []
    return [StabilityReviewer(config.stability_share, config.stability_episodes)]


def score(
    scenario: Scenario,
    plans: Mapping[str, Plan],
    kind: PlanKind,
    keys: Key[Array, "K"],
    commenting: Sequence[Reviewer] = (),
) -> feedback.Score:
    """What plans are worth, executed from the scored starts of ``keys``, with all remarks.

    Raises:
      ValueError: a remark is about an agent that the team does not have.
    """
    executed = execution.execute(scenario, list(plans.values()), keys, scored=True)
    found = feedback.score(scenario, plans, executed)
    if not math.isfinite(found.team_return):  # rejected, with nothing else said about it
        return found
    return reviewers.add(found, Attempt(scenario, plans, kind, keys, executed), commenting)
