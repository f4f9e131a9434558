"""What a transcript says: a conversation, its rounds, and the key under which it is found.

A transcript is found by what was asked for (scenario and options, prompt template, kind of plan,
goal), not by a hash of prompts: these hold numbers that another device may round otherwise.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pydantic

from leed_jax.generation import prompts
from leed_jax.scenarios import Scenario

FORMAT, VERSION = "leed_jax.transcript", 1


class Specification(NamedTuple):
    """What a transcript answers; with conversation and round, its key."""

    name: str
    options: dict[str, Any]
    plans: str
    goal: str
    template_version: int = prompts.TEMPLATE_VERSION
    reviewers: tuple[str, ...] = ()
    """Who commented on executed plans, beside the feedback that is always given."""

    @property
    def slug(self) -> str:
        """``<scenario>/<options>_<kind>_<goal>[_<reviewers>]``, fit for file names."""
        options = [f"{name}-{value}" for name, value in sorted(self.options.items())]
        short = "_".join(map(slug, options))[:120] or "default"
        added = "".join(f"_{slug(name)}" for name in self.reviewers)
        return f"{slug(self.name)}/{short}_{slug(self.plans)}_{slug(self.goal)}{added[:120]}"


def slug(text: str) -> str:
    """Never empty, for an empty first part would make a path that begins at the root."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._")[:120] or "unnamed"


def specification(
    scenario: Scenario, kind: str, goal: str, reviewers: Sequence[str] = ()
) -> Specification:
    """The key for ``scenario``: the options that its words depend on, as JSON gives them back."""
    chosen = scenario.options if scenario.prompt_options is None else scenario.prompt_options
    options = json.loads(json.dumps(chosen, default=str))
    return Specification(scenario.name, options, kind, goal, reviewers=tuple(reviewers))


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Message(_Record):
    """One message of a prompt."""

    role: str
    content: str


class Outcome(_Record):
    """What became of an answer."""

    valid: bool
    rejection: str | None = None
    team_return: float | None = None


class Round(_Record):
    """A question, its answer as it was given, and where that came from."""

    round: int = pydantic.Field(ge=1)
    group: int = pydantic.Field(default=0, ge=0)
    """Which group of the agents was asked."""
    prompt: list[Message]
    answer: str
    model: str
    date: str
    source: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    """Tries before this one that failed on their way."""
    outcome: Outcome


class Unanswered(_Record):
    """A question that got no answer, which ended its conversation."""

    round: int = pydantic.Field(ge=1)
    group: int = pydantic.Field(default=0, ge=0)
    prompt: list[Message]
    source: str
    failures: tuple[str, ...] = ()
    """All tries, in order, where the client tells them."""
    reason: str


class ScenarioKey(_Record):
    """The scenario's part of the key."""

    name: str
    options: dict[str, Any]


class Transcript(_Record):
    """One conversation."""

    format: Literal["leed_jax.transcript"] = FORMAT
    version: Literal[1] = VERSION
    scenario: ScenarioKey
    template_version: int
    plans: str
    goal: str
    conversation: int = pydantic.Field(ge=0)
    ended: str | None = None
    """Why the conversation ended before its last round, if it did."""
    groups: int = pydantic.Field(default=1, ge=1)
    """Into how many the team was split."""
    rounds: list[Round]
    unanswered: list[Unanswered] = []
    reviewers: tuple[str, ...] = ()
    """Who commented on executed plans."""

    @property
    def specification(self) -> Specification:
        """What it answers."""
        scenario = self.scenario
        key = (scenario.name, scenario.options, self.plans, self.goal, self.template_version)
        return Specification(*key, reviewers=self.reviewers)

    @property
    def last_round(self) -> int:
        """Its number, from 1; 0 where nothing was answered."""
        return max((kept.round for kept in self.rounds), default=0)


def transcript(
    wanted: Specification,
    conversation: int,
    rounds: Sequence[Round],
    ended: str | None = None,
    groups: int = 1,
    unanswered: Sequence[Unanswered] = (),
) -> Transcript:
    """A conversation under the key ``wanted``."""
    return Transcript(
        scenario=ScenarioKey(name=wanted.name, options=wanted.options),
        template_version=wanted.template_version,
        plans=wanted.plans,
        goal=wanted.goal,
        conversation=conversation,
        ended=ended,
        groups=groups,
        rounds=list(rounds),
        unanswered=list(unanswered),
        reviewers=wanted.reviewers,
    )
