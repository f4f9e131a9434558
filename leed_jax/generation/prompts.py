"""What the language model is told: environment information, commands, format, and feedback.

Every prompt is self-contained: a feedback round repeats the task and the previous plan, so that
it can be answered by a model, or a person with a chat window, that saw nothing else. A team may be
asked in groups of agents (`groups`); a prompt is then about one group, the rest alike.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from leed_jax import answers, instructions
from leed_jax.instructions import ANY_EPISODE, Choice, Command, Plan
from leed_jax.quoting import named, quoted
from leed_jax.scenarios import Scenario
from leed_jax.types import State

TEMPLATE_VERSION = 1
"""Part of a transcript's key: raised when the wording changes what is asked for."""

REVIEW = "Your previous answer"
"""Title of the section with feedback, the last one."""

MAX_NAMED_AGENTS = 12
"""The names of a larger team are not listed in the form of the answer."""

PlanKind = Literal["relational", "concrete"]
"""One plan for every start of an episode, or a plan for each of several given starts."""

Goal = Literal["learnable", "return"]
"""What the model is asked for: plans a local policy can follow, or the highest team return."""


class Request(NamedTuple):
    """One question to a model."""

    messages: tuple[Mapping[str, str], ...]
    """``{"role": ..., "content": ...}``, as chat interfaces take them."""
    schema: Mapping[str, Any]
    """JSON schema of the answer."""
    plan_names: tuple[str, ...]
    """Plans that the answer must hold."""
    group: int = 0
    """Which group of the agents is asked."""
    groups: int = 1
    """Into how many the team is split."""

    @property
    def text(self) -> str:
        """The messages as one text, for people who paste it into a chat window."""
        return "\n\n".join(message["content"] for message in self.messages)

    @property
    def tokens(self) -> int:
        """An estimate on the safe side: English has about 4 characters a token."""
        return len(self.text) // 3


class Review(NamedTuple):
    """What became of the previous answer."""

    answer: str
    """As it was given; cut when it is repeated in the prompt."""
    rejection: str | None = None
    """Why it is not valid; then there is nothing below."""
    plans: Mapping[str, Plan] | None = None
    team_return: float | None = None
    """Mean over the executed episodes."""
    measures: Mapping[str, float] | None = None
    agents: Mapping[str, str] | None = None
    """Per agent, what happened."""
    best_team_return: float | None = None
    """Of all rounds so far."""
    everyone: str | None = None
    """What happened to the team as a whole."""
    remarks: tuple[str, ...] = ()
    """Lines of reviewers about the whole team."""


def request(
    scenario: Scenario,
    *,
    kind: PlanKind,
    goal: Goal,
    starts: Sequence[State],
    reviews: Sequence[Review] = (),
) -> Request:
    """The question for the next round.

    Args:
      scenario: what is to be instructed; for a group of agents, what its ``for_agents`` gave.
      kind: "relational", one plan for all episodes, or "concrete", one for every start.
      goal: a key of ``scenario.advice``.
      starts: given starts of episodes; for a relational plan the first serves as an example.
      reviews: of the earlier rounds, oldest first; the last one is repeated in full.

    Raises:
      ValueError: ``goal`` is not among the scenario's.
    """
    if goal not in scenario.advice:
        raise ValueError(f"goal must be one of {', '.join(scenario.advice)}, got {goal!r}")
    names = (ANY_EPISODE,)
    if kind == "concrete":
        names = tuple(f"episode_{index}" for index in range(len(starts)))
    sections = [
        ("Task", scenario.task),
        ("Episodes", _episodes(scenario, kind, starts, names)),
        ("What makes a plan good", scenario.advice[goal]),
        ("Commands", "\n".join(_command(c) for c in scenario.vocabulary.commands)),
        ("How instructions are carried out", _execution(scenario)),
        ("Answer", _format(scenario, names)),
    ]
    if reviews:
        timed = scenario.vocabulary.timed
        sections.append((REVIEW, _review(reviews[-1], len(reviews), timed=timed)))
    system = (
        "You write instructions for a team of agents. They are carried out by a program, in the "
        "real environment. Everything you need is in this text: use no tools and look nothing up. "
        "Answer with one JSON object and nothing else: no code fence, no text before or after it."
    )
    body = "\n\n".join(f"# {title}\n{text}" for title, text in sections)
    messages = ({"role": "system", "content": system}, {"role": "user", "content": body})
    return Request(messages, answers.json_schema(scenario.vocabulary, names), names)


def _episodes(
    scenario: Scenario, kind: PlanKind, starts: Sequence[State], names: Sequence[str]
) -> str:
    if kind == "relational":
        text = scenario.plan_request or (
            "Write one plan. It is carried out unchanged in thousands of episodes with different "
            "starts, so it must make sense in all of them. An example of a start:"
        )
        return f"{text}\n{scenario.describe(starts[0])}"
    described = [
        f"{name}:\n{scenario.describe(start)}" for name, start in zip(names, starts, strict=True)
    ]
    text = f"Write a plan of its own for each of these {len(names)} starts of an episode."
    return "\n\n".join([text, *described])


def _command(command: Command) -> str:
    lines = [f"- {named(command.name)}: {command.meaning}."]
    for parameter in command.parameters:
        if isinstance(parameter, Choice) and parameter.shown is not None:
            allowed = parameter.shown
        elif isinstance(parameter, Choice):
            allowed = "one of " + ", ".join(map(quoted, parameter.options))
        else:
            allowed = (
                f"a number from {parameter.low:g} to {parameter.high:g} "
                f"(steps of {parameter.resolution:g})"
            )
        lines.append(f"  - {named(parameter.name)}, {allowed}: {parameter.meaning}.")
    return "\n".join(lines)


def _execution(scenario: Scenario) -> str:
    vocabulary = scenario.vocabulary
    most = vocabulary.max_instructions
    allowed = f"An agent has 1 to {most} instructions."
    if scenario.controls.applies is not None:
        return (
            "An agent's instructions are a list of rules in order of priority. Whenever it is to "
            "act, the first rule of its list that applies decides its action, and the next time "
            "the search begins at the top again; rules are never used up. Where no rule applies, "
            f"the task says what is done.\nAn agent has 1 to {most} rules."
        )
    text = (
        "Every agent works through a list of its own, all agents at the same time. An instruction "
        "ends when its command is finished; then the next one starts. The last one stays in force"
    )
    if not vocabulary.timed:
        return f"{text}.\n{'An agent has 1 instruction.' if most == 1 else allowed}"
    lines = [
        f"{text}, or the list starts over if the agent's repeat is true. Every instruction may "
        "also have:",
        f"- max_steps, a whole number from 1 to {vocabulary.horizon}: it ends after so many steps "
        "at the latest.",
    ]
    if vocabulary.conditions:
        lines.append("- until: it ends when this is true, instead of when it is finished. One of:")
        lines += [f"  - {quoted(c.name)}: {c.meaning}." for c in vocabulary.conditions]
    return "\n".join([*lines, allowed])


def _format(scenario: Scenario, names: Sequence[str]) -> str:
    vocabulary = scenario.vocabulary
    command = vocabulary.commands[-1]
    values = {p.name: p.options[0] if isinstance(p, Choice) else p.low for p in command.parameters}
    timed = vocabulary.timed
    item = {"command": command.name, **values, **({"max_steps": 2} if timed else {})}
    example = json.dumps({"instructions": [item], **({"repeat": False} if timed else {})})
    first, *others = vocabulary.agents
    everyone = f": {', '.join(map(named, vocabulary.agents))}"
    forms = [f"{quoted(agent)}: ..." for agent in others]
    if len(vocabulary.agents) > MAX_NAMED_AGENTS:
        everyone = f", {named(first)} to {named(others[-1])}"
        forms = [forms[0], f"and so on to {quoted(others[-1])}: ..."]
    plan = ", ".join([f"{{{quoted(first)}: {example}", *forms]) + "}"
    plans = ", ".join(f'"{name}": {plan if i == 0 else "..."}' for i, name in enumerate(names))
    return (
        "One JSON object, of this form (the instruction only shows the form):\n"
        f'{{"comment": "your reasoning in a few sentences", "plans": {{{plans}}}}}\n'
        f"Every plan holds every agent{everyone}."
    )


def _review(review: Review, round_number: int, *, timed: bool) -> str:
    """The last answer and what happened, for the model to improve on."""
    if review.rejection is not None:
        shown = review.answer if len(review.answer) <= 2000 else review.answer[:2000] + " [cut]"
        shown = shown.replace(">>>", "> > >")  # the answer must not end its own quotation
        return (
            f"Answer {round_number} was not carried out. {review.rejection}\n"
            f"It read (as data, between the marks):\n<<<\n{shown}\n>>>\n"
            "Give a whole, valid answer."
        )
    assert review.plans is not None and review.measures is not None and review.agents is not None
    plans = {
        name: instructions.to_mapping(plan, timed=timed) for name, plan in review.plans.items()
    }
    lines = [
        f"Answer {round_number} was carried out:",
        json.dumps({"plans": plans}),
        f"The team's score was {review.team_return:.1f} per episode on average"
        + (
            "."
            if review.best_team_return == review.team_return
            else f" (the best of your answers so far: {review.best_team_return:.1f})."
        ),
        *(f"- {name}: {value:.2f}" for name, value in review.measures.items()),
        *([review.everyone] if review.everyone else []),
        *(f"- {named(agent)}: {text}" for agent, text in review.agents.items()),
        *review.remarks,
        "Improve on it where you can, and give the whole answer again.",
    ]
    return "\n".join(lines)
