"""Who is asked together: a large team is asked in groups of agents, each with its own prompt.

A prompt about hundreds of agents is longer than a model reads well, or at all. So the team is split
into as few groups as bring every prompt under a limit; each group is told, asked and reviewed on
its own, and the plans of all groups are executed together.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from leed_jax.generation import prompts
from leed_jax.generation.clients import Answer, GenerationError
from leed_jax.generation.prompts import Goal, PlanKind, Request, Review
from leed_jax.instructions import Plan
from leed_jax.scenarios import Scenario
from leed_jax.types import State


class Question(NamedTuple):
    """What is asked for, whatever was answered before."""

    scenario: Scenario
    kind: PlanKind
    goal: Goal
    starts: Sequence[State]

    def request(self, reviews: Sequence[Review] = ()) -> Request:
        """The prompt for the next round; raises what `prompts.request` raises."""
        return prompts.request(
            self.scenario, kind=self.kind, goal=self.goal, starts=self.starts, reviews=reviews
        )


class Accepted(NamedTuple):
    """A valid answer of a group."""

    plans: Mapping[str, Plan]
    """For the agents of the group."""
    request: Request
    answer: Answer


@dataclass
class Part:
    """A group of agents in a conversation: what it is asked, and what it has answered."""

    question: Question
    """In words that speak to these agents."""
    group: int
    groups: int
    reviews: list[Review] = dataclasses.field(default_factory=list)
    """Of its own answers, oldest first."""
    accepted: Accepted | None = None
    """Its valid answer, until the answers of all groups are executed together."""

    def request(self) -> Request:
        """The next prompt for these agents."""
        return self.question.request(self.reviews)._replace(group=self.group, groups=self.groups)


def split(agents: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """``agents`` in ``count`` contiguous groups, in order, sizes equal or different by one."""
    ends = [len(agents) * index // count for index in range(count + 1)]
    return [tuple(agents[a:b]) for a, b in itertools.pairwise(ends)]


def questions(question: Question, count: int) -> list[Question]:
    """The question to each of ``count`` groups of the team; to one group it is what it was.

    Raises:
      GenerationError: the scenario has no words for groups, or fewer agents than ``count``.
    """
    scenario = question.scenario
    agents = scenario.vocabulary.agents
    if count == 1:
        return [question]
    if scenario.for_agents is None or count > len(agents):
        why = "it has no for_agents" if scenario.for_agents is None else f"{len(agents)} agents"
        raise GenerationError(f"{scenario.name} cannot be asked in {count} groups: {why}")
    found = [question._replace(scenario=scenario.for_agents(own)) for own in split(agents, count)]
    for own, asked in zip(split(agents, count), found, strict=True):
        if asked.scenario.vocabulary.agents != own:
            raise ValueError(
                f"{scenario.name}: for_agents({own}) must give a vocabulary for these agents, got "
                f"{asked.scenario.vocabulary.agents}"
            )
    return found


def fewest(question: Question, max_prompt_tokens: int) -> int:
    """The smallest number of groups whose first prompts all keep to ``max_prompt_tokens``.

    A scenario that cannot speak to groups is asked as a whole, however long that is.

    Raises:
      GenerationError: the prompt for a single agent is too long.
    """
    scenario = question.scenario
    longest = 0
    if scenario.for_agents is None:
        return 1
    for count in range(1, len(scenario.vocabulary.agents) + 1):
        for asked in questions(question, count):
            longest = asked.request().tokens
            if longest > max_prompt_tokens:
                break
        else:
            return count
    raise GenerationError(
        f"{scenario.name}: the prompt for a single agent has about {longest:,} tokens, more than "
        f"generation.max_prompt_tokens = {max_prompt_tokens:,}"
    )


def parts(question: Question, count: int) -> list[Part]:
    """The groups of a conversation, nothing asked yet."""
    asked = enumerate(questions(question, count))
    return [Part(one, group, count) for group, one in asked]


def merge(plans: Sequence[Mapping[str, Plan]]) -> dict[str, Plan]:
    """Plans for the whole team from those of its groups, which have the same names."""
    return {
        name: {agent: plan for part in plans for agent, plan in part[name].items()}
        for name in plans[0]
    }
