"""Plans, and demonstrations from them, by a language model or from recorded answers."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, Key

from leed_jax import episodes, execution, instructions, versions
from leed_jax.demonstrations import Demonstrations
from leed_jax.generation import clients, display, prompts, records, scoring, sources
from leed_jax.generation import reviewers as reviewing
from leed_jax.generation.budget import Budget
from leed_jax.generation.clients import AnswersNeeded, Client, GenerationError, RoundResult, Usage
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.groups import Question
from leed_jax.generation.prompts import Goal, PlanKind
from leed_jax.generation.reviewers import Reviewer
from leed_jax.generation.session import Session, Setting
from leed_jax.instructions import Plan
from leed_jax.scenarios import Scenario

# Folded into keys, so that no start that is described or scored on is also a demonstration's.
_STARTS, _FEEDBACK, _DEMONSTRATIONS = 101, 102, 103
_SOURCES = {"litellm": "live", "replay": "replay", "chat": "files"}


@dataclass(frozen=True)
class Generated:
    """The best plans that were had, and how."""

    plans: Mapping[str, Plan]
    """One by the name ``any_episode``, or one for every given start, in their order."""
    kind: PlanKind
    goal: Goal
    team_return: float
    """Score of the plans: mean over the scored episodes."""
    rounds: tuple[RoundResult, ...]
    """All that were asked, rejected ones included."""
    usage: Usage
    model: str
    """That answered with the best plans."""
    request_hash: str
    """SHA-256 of the prompt that the best plans answer, or of the prompts of all groups."""
    config: GenerationConfig
    transcripts: tuple[Path, ...] = ()
    """Files that were written."""
    ended: tuple[str, ...] = ()
    """Why conversations ended before their last round, if any did."""

    def __str__(self) -> str:
        lines = [
            f"{self.kind} plans for the goal {self.goal!r}: team return {self.team_return:.2f}"
        ]
        lines += [f"  {result}" for result in self.rounds]
        lines += [f"  ended early: {reason}" for reason in self.ended]
        return "\n".join([*lines, f"  {self.usage}"])


def generate_plans(
    scenario: Scenario,
    model: str | Client = "replay",
    *,
    plans: PlanKind = "relational",
    goal: Goal = "learnable",
    config: GenerationConfig | None = None,
    transcript: str | os.PathLike[str] | None = None,
    progress: bool = False,
    reviewers: Sequence[Reviewer] = (),
) -> Generated:
    """The best plans after a few rounds of asking, executing and feeding back.

    Args:
      scenario: what is to be instructed.
      model: "replay" (recorded answers), "files:<folder>" (your own chat window),
        "provider/name" as litellm knows it, or a `Client` of your own.
      plans: "relational", one plan for every start, or "concrete", one for each of
        ``config.concrete_starts`` given starts.
      goal: what the model is asked for, a key of ``scenario.advice``.
      config: rounds, caps and more.
      transcript: folder to record to (default: ``leed_transcripts`` for live answers, the folder
        of the answers for files); for "replay" where to read from (default: the package).
      progress: show a line per conversation, on stderr or in a notebook's cell.
      reviewers: comment on executed plans in the next prompt, e.g.
        `leed_jax.imitation_feedback.ImitationReviewer`, behind those that ``config`` asks for.
        Recorded answers are found by the reviewers' names, too.

    Raises:
      GenerationError: no valid plans; says what was tried and where the transcript is.
      AnswersNeeded: prompts have been written and wait for answers ("files:" only).
      ValueError: ``plans`` or ``goal`` is unknown, ``transcript`` is of no use, or two reviewers
        have one name.
    """
    config = GenerationConfig() if config is None else config
    every = [*scoring.reviewers_of(config), *reviewers]
    names = reviewing.names(every)
    asked = question(scenario, plans, goal, config)
    scored = _scored_keys(scenario, config, plans)
    wanted = records.specification(scenario, plans, goal, names)
    client, source = sources.client(model, config, wanted, transcript)
    conversations = sources.conversations(client, config, wanted, source, transcript, asked)
    with display.show(progress, len(conversations)) as report:
        setting = Setting(
            client,
            source,
            lambda found, told: scoring.score(
                scenario, found, plans, scored, every if told else ()
            ),
            config,
            report,
        )
        session = Session(setting, conversations, Budget(config, source))
        session.run()
    return _result(session, scenario, plans, goal)


def question(
    scenario: Scenario, plans: PlanKind, goal: Goal, config: GenerationConfig | None = None
) -> Question:
    """What `generate_plans` with these arguments would ask; nobody is asked.

    Raises:
      ValueError: ``plans`` or ``goal`` is unknown.
    """
    config = GenerationConfig() if config is None else config
    if plans not in ("relational", "concrete"):
        raise ValueError(f"plans must be 'relational' or 'concrete', got {plans!r}")
    keys = _start_keys(scenario, config, plans)
    found = Question(scenario, plans, goal, _states(scenario, keys))
    found.request()  # an unknown goal is refused before anything is looked up or asked
    return found


def generate_demonstrations(
    scenario: Scenario,
    model: str | Client = "replay",
    *,
    num_episodes: int = 256,
    seed: int = 0,
    plans: PlanKind = "relational",
    goal: Goal = "learnable",
    config: GenerationConfig | None = None,
    transcript: str | os.PathLike[str] | None = None,
    progress: bool = False,
    reviewers: Sequence[Reviewer] = (),
) -> Demonstrations:
    """Demonstrations by the best plans of `generate_plans`, whose arguments these are, too.

    Args:
      scenario: what is to be instructed.
      model: who answers.
      num_episodes: K, resets on which a relational plan is executed. Concrete plans hold for
        their own starts only: they give one episode each, whatever is said here.
      seed: draws these resets.
      plans: "relational" or "concrete".
      goal: what the model is asked for.
      config: rounds, caps and more.
      transcript: where answers are recorded to, or replayed from.
      progress: show a line per conversation, on stderr or in a notebook's cell.
      reviewers: comment on executed plans.

    Raises:
      ValueError: ``num_episodes`` is not positive; and what `generate_plans` raises.
    """
    if num_episodes < 1:  # refused before anything is paid for
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    generated = generate_plans(
        scenario,
        model,
        plans=plans,
        goal=goal,
        config=config,
        transcript=transcript,
        progress=progress,
        reviewers=reviewers,
    )
    if plans == "concrete":
        keys = _start_keys(scenario, generated.config, plans)
    else:
        keys = demonstration_keys(seed, num_episodes)
    # Concrete plans were made for starts that the prompt shows, and those are scored starts.
    executed = execution.execute(
        scenario, list(generated.plans.values()), keys, scored=plans == "concrete"
    )
    return execution.from_executed(scenario, executed, provenance(scenario, generated, seed))


def demonstration_keys(seed: int, num_episodes: int) -> Key[Array, "K"]:
    """Of the resets on which demonstrations with this seed are executed."""
    return jax.random.split(_folded(seed, _DEMONSTRATIONS), num_episodes)


def provenance(scenario: Scenario, generated: Generated, seed: int) -> dict[str, Any]:
    """Where demonstrations came from, as JSON; holds no key and no path."""
    found = {
        "scenario": {"name": scenario.name, "options": scenario.options},
        "model": generated.model,
        "source": generated.usage.source,
        "plan_kind": generated.kind,
        "goal": generated.goal,
        "seed": seed,
        "prompt_seed": generated.config.prompt_seed,
        "template_version": prompts.TEMPLATE_VERSION,
        "request_hash": generated.request_hash,
        "plans": {
            name: instructions.to_mapping(plan, timed=scenario.vocabulary.timed)
            for name, plan in generated.plans.items()
        },
        "rounds": [dataclasses.asdict(result) for result in generated.rounds],
        "ended": list(generated.ended),
        "usage": generated.usage._asdict(),
        "versions": {name: versions.installed(name) for name in ("leed_jax", "jax", "jaxmarl")},
    }
    return json.loads(json.dumps(found, default=str))


# ---------------------------------------------------------------------------------- parts


def _folded(seed: int, purpose: int) -> Key[Array, ""]:
    return jax.random.fold_in(jax.random.key(seed), purpose)


def _start_keys(scenario: Scenario, config: GenerationConfig, kind: PlanKind) -> Key[Array, "K"]:
    """Of the starts that the prompt describes; a relational plan's prompt shows one."""
    count = scenario.env.scored_episodes(config.concrete_starts) if kind == "concrete" else 1
    return jax.random.split(_folded(config.prompt_seed, _STARTS), count)


def _scored_keys(scenario: Scenario, config: GenerationConfig, kind: PlanKind) -> Key[Array, "K"]:
    """Of the episodes on which plans are scored, the same for every plan."""
    if kind == "concrete":
        return _start_keys(scenario, config, kind)
    count = scenario.env.scored_episodes(config.feedback_episodes)
    return jax.random.split(_folded(config.prompt_seed, _FEEDBACK), count)


def _states(scenario: Scenario, keys: Key[Array, "K"]) -> list[Any]:
    start = jax.jit(lambda key: episodes.reset_state(scenario.env.scored, key))
    return [start(key) for key in keys]


def _result(session: Session, scenario: Scenario, kind: PlanKind, goal: Goal) -> Generated:
    """What a finished session came to, or the error that says why it came to nothing."""
    if session.needed:
        pairs = [zip(e.prompts, e.answers, strict=True) for e in session.needed]
        raise AnswersNeeded([pair for part in pairs for pair in part])
    ended = tuple(
        f"conversation {one.index}: {one.ended}" for one in session.conversations if one.ended
    )
    best = session.best
    if best is None:
        lines = [clients.shorten(str(result), 600) for result in session.results]
        lines += [f"ended: {reason}" for reason in ended]
        where = [str(path) for path in session.transcripts]
        lines += [f"transcript: {path}" for path in where]
        rounds = {(result.conversation, result.round) for result in session.results}
        raise GenerationError(
            f"no valid {kind} plans for {scenario.name} after {len(rounds)} rounds\n  "
            + "\n  ".join(lines or ["nothing was asked"]),
            session.results,
            session.transcripts,
        )
    source = session.setting.source
    asked = "\n\n".join(item.request.text for item in best.accepted)
    name = str(getattr(session.setting.client, "model", "unknown"))
    return Generated(
        plans=best.plans,
        kind=kind,
        goal=goal,
        team_return=best.team_return,
        rounds=tuple(session.results),
        usage=clients.usage(session.budget.answers, name, _SOURCES.get(source, "custom")),
        model=", ".join(dict.fromkeys(item.answer.model for item in best.accepted)),
        request_hash=hashlib.sha256(asked.encode()).hexdigest(),
        config=session.setting.config,
        transcripts=session.transcripts,
        ended=ended,
    )
