"""Who else comments on executed plans: what reviewers get, what they say, and where it is told.

`feedback` says what happened in the episodes of a plan. A reviewer finds out something more, e.g.
by executing the plan under other conditions (`stability`), and its remarks come behind that. Any
function from an `Attempt` to `Remarks` is one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxtyping import Array, Key

from leed_jax.execution import Executed
from leed_jax.generation.feedback import Score
from leed_jax.generation.prompts import PlanKind
from leed_jax.instructions import Plan
from leed_jax.scenarios import Scenario


class Attempt(NamedTuple):
    """Plans that were executed, for a reviewer."""

    scenario: Scenario
    """With the whole team, also where it is asked in groups."""
    plans: Mapping[str, Plan]
    kind: PlanKind
    keys: Key[Array, "K"]
    """Of the episodes on which they were scored."""
    executed: Executed
    """These episodes, which began at scored starts."""


class Remarks(NamedTuple):
    """What a reviewer has to say; it is told to the model as it is."""

    team: tuple[str, ...] = ()
    """Lines about the whole team, behind those about the agents."""
    agents: Mapping[str, str] = {}
    """By agent, behind what else is said about it."""


Reviewer = Callable[[Attempt], Remarks]
"""Anything that comments on plans; known by its ``name``, or as functions are by ``__name__``."""


def names(reviewers: Sequence[Reviewer]) -> tuple[str, ...]:
    """What the reviewers are called: a part of the key of transcripts.

    Raises:
      ValueError: two have the same name, or one has none.
    """
    found: list[Any] = [getattr(r, "name", getattr(r, "__name__", None)) for r in reviewers]
    if len(set(found)) != len(found) or not all(isinstance(n, str) and n for n in found):
        raise ValueError(f"reviewers must be functions with names of their own, got {found}")
    return tuple(found)


def add(score: Score, attempt: Attempt, reviewers: Sequence[Reviewer]) -> Score:
    """``score`` with the remarks of all reviewers, in their order.

    Raises:
      ValueError: a remark is about an agent that the team does not have.
    """
    lines, agents = list(score.remarks), dict(score.agents)
    for reviewer in reviewers:
        remarks = reviewer(attempt)
        unknown = sorted(set(remarks.agents) - set(agents))
        if unknown:
            raise ValueError(
                f"remarks must be about {', '.join(agents)}; {names([reviewer])[0]} speaks of "
                f"{', '.join(unknown)}"
            )
        lines += remarks.team
        for agent, text in remarks.agents.items():
            agents[agent] = "; ".join(filter(None, (agents[agent], text)))
    return score._replace(agents=agents, remarks=tuple(lines))
