"""Demonstrations of plans that are worse than the model's best: what is the plan worth?

The qualities, by name:

    best               the model's best plan, as `generate_demonstrations` has it
    first              of its first valid answer, before any feedback
    corrupted:<share>  the best, in every episode each instruction with this probability replaced by
                       a random one; every episode draws anew
    random:<seed>      one plan drawn from the vocabulary
    adversarial        the worst of 64 such plans, by the score that the model would be told

All are executed from the same starts. The model's answers are the recorded ones or whatever else
`generation.generate_plans` is given.
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from leed_jax import execution, instructions, versions
from leed_jax.demonstrations import Demonstrations
from leed_jax.execution import Executed
from leed_jax.generation import clients, feedback, generate, records, transcripts
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.prompts import Goal, PlanKind
from leed_jax.instructions import Plan
from leed_jax.random_plans import corrupted, random_plan
from leed_jax.scenarios import Scenario

QUALITIES = ("best", "first", "corrupted:<share>", "random:<seed>", "adversarial")
CANDIDATES = 64
"""Random plans, of which the worst is `adversarial`."""
STARTS = 8
"""On which each of them is scored."""


def check(quality: str) -> tuple[str, float]:
    """The kind of quality and its number, 0 where it has none.

    Raises:
      ValueError: not one of `QUALITIES`, or a share outside [0, 1].
    """
    kind, found, text = quality.partition(":")
    numbered = kind in ("corrupted", "random")
    try:
        number = float(text) if numbered else 0.0
    except ValueError:
        number = -1.0
    allowed = kind in ("best", "first", "adversarial", "corrupted", "random")
    good = number >= 0 and (number <= 1 if kind == "corrupted" else number.is_integer())
    if not allowed or bool(found) != numbered or not good:
        raise ValueError(f"quality must be one of {', '.join(QUALITIES)}, got {quality!r}")
    return kind, number


def demonstrations(
    scenario: Scenario,
    quality: str = "best",
    model: str | clients.Client = "replay",
    *,
    num_episodes: int = 256,
    seed: int = 0,
    plans: PlanKind = "relational",
    goal: Goal = "learnable",
    config: GenerationConfig | None = None,
    progress: bool = False,
) -> Demonstrations:
    """Demonstrations of the quality that is asked for.

    Args:
      scenario: what is to be instructed.
      quality: see the top of this file.
      model: who answers, as of `generate_demonstrations`; not asked for plans of chance.
      num_episodes: K.
      seed: draws their starts.
      plans: relational; the best and the first may be concrete.
      goal: what the model is asked for.
      config: of the asking.
      progress: show a line per conversation on stderr.

    Raises:
      ValueError: no such quality, or concrete plans where they cannot be had; and what
        `generate_demonstrations` raises.
    """
    kind, number = check(quality)
    if kind not in ("best", "first") and plans != "relational":
        raise ValueError(f"quality {quality!r} needs relational plans, got {plans!r}")
    asked: dict[str, Any] = {"plans": plans, "goal": goal, "config": config, "progress": progress}
    if kind == "best":
        return generate.generate_demonstrations(
            scenario, model, num_episodes=num_episodes, seed=seed, **asked
        )
    if kind == "first":
        # Before any feedback, so that nobody's remarks were part of it.
        base = dataclasses.replace(config or GenerationConfig(), stability=False)
        asked["config"] = base
        with tempfile.TemporaryDirectory() as folder:
            if model == "replay":
                asked["transcript"] = _first_answers(scenario, plans, goal, Path(folder))
            else:
                asked["config"] = dataclasses.replace(base, max_rounds=1, conversations=1)
            return generate.generate_demonstrations(
                scenario, model, num_episodes=num_episodes, seed=seed, **asked
            )
    if kind == "corrupted":
        generated = generate.generate_plans(scenario, model, **asked)
        (plan,) = generated.plans.values()
        each = [corrupted(plan, scenario.vocabulary, number, k) for k in range(num_episodes)]
        executed = _execute(scenario, each, num_episodes, seed)
        about = generate.provenance(scenario, generated, seed)
        shown = {f"episode_{k}": plan for k, plan in enumerate(each[:1])}
        return execution.from_executed(
            scenario, executed, {**about, "quality": quality, "plans": _mappings(scenario, shown)}
        )
    plan = random_plan(scenario.vocabulary, int(number)) if kind == "random" else worst(scenario)
    executed = _execute(scenario, [plan], num_episodes, seed)
    return execution.from_executed(scenario, executed, _drawn(scenario, plan, quality, seed))


def worst(scenario: Scenario, candidates: int = CANDIDATES) -> Plan:
    """The random plan, of the seeds 0 to ``candidates`` - 1, with the lowest mean score.

    The score is the scenario's own judgement of plans, else the team return, on `STARTS` scored
    starts that are the same for all.
    """
    drawn = [random_plan(scenario.vocabulary, seed) for seed in range(candidates)]
    starts = scenario.env.scored_episodes(STARTS)
    keys = generate.demonstration_keys(0, starts)
    which = np.repeat(np.arange(candidates), starts)
    executed = execution.execute(
        scenario, drawn, keys[np.tile(np.arange(starts), candidates)], which, scored=True
    )
    score = np.asarray(feedback.judge(scenario, executed.episodes).score)
    means = score.reshape(candidates, starts).mean(1)
    return drawn[int(np.argmin(means))]


def _execute(scenario: Scenario, plans: list[Plan], num_episodes: int, seed: int) -> Executed:
    if num_episodes < 1:
        raise ValueError(f"num_episodes must be at least 1, got {num_episodes}")
    return execution.execute(scenario, plans, generate.demonstration_keys(seed, num_episodes))


def _first_answers(scenario: Scenario, plans: PlanKind, goal: Goal, folder: Path) -> Path:
    """The recorded conversation up to its first answers that were executed, as a file."""
    wanted = records.specification(scenario, plans, goal)
    whole = transcripts.recorded(wanted)[0]
    first = min(
        (kept.round for kept in whole.rounds if kept.outcome.team_return is not None),
        default=whole.last_round,
    )
    rounds = [kept for kept in whole.rounds if kept.round <= first]
    path = folder / "first.json"
    transcripts.save(path, whole.model_copy(update={"rounds": rounds, "ended": None}))
    return path


def _drawn(scenario: Scenario, plan: Plan, quality: str, seed: int) -> Mapping[str, Any]:
    """Provenance of a plan that no model wrote."""
    usage = clients.Usage(
        calls=0,
        prompt_tokens=None,
        completion_tokens=None,
        cost_usd=0.0,
        seconds=0.0,
        model="none",
        source="random",
    )
    return {
        "scenario": {"name": scenario.name, "options": scenario.options},
        "model": "none",
        "source": "random",
        "quality": quality,
        "plan_kind": "relational",
        "seed": seed,
        "plans": _mappings(scenario, {instructions.ANY_EPISODE: plan}),
        "usage": usage._asdict(),
        "versions": {name: versions.installed(name) for name in ("leed_jax", "jax", "jaxmarl")},
    }


def _mappings(scenario: Scenario, plans: Mapping[str, Plan]) -> dict[str, Any]:
    timed = scenario.vocabulary.timed
    return {name: instructions.to_mapping(plan, timed=timed) for name, plan in plans.items()}
