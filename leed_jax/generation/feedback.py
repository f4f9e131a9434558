"""What became of executed plans, in words and numbers for the model."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from leed_jax.episodes import Episodes
from leed_jax.execution import Executed
from leed_jax.instructions import Plan
from leed_jax.scenarios import EVERYONE, Judgement, Scenario


class Score(NamedTuple):
    """How good plans were."""

    team_return: float
    """Mean over the episodes of the sum over agents and steps, or what the scenario counts."""
    measures: Mapping[str, float]
    """Further numbers, with their meaning; for several plans the score of each."""
    agents: Mapping[str, str]
    """Per agent, what happened."""
    everyone: str | None = None
    """What the scenario says about the whole team."""
    remarks: tuple[str, ...] = ()
    """Lines of reviewers about the whole team."""


def score(scenario: Scenario, plans: Mapping[str, Plan], executed: Executed) -> Score:
    """What is told about the executed ``plans``, the order of which is their index."""
    ran = executed.episodes
    judged = judge(scenario, ran)
    team = judged.score
    measures = {name: float(np.mean(values)) for name, values in judged.measures.items()}
    if len(plans) > 1:
        for index, name in enumerate(plans):
            mine = executed.plan_index == index
            measures[f"team score of {name}"] = float(team[mine].mean())
    general = _progress(scenario, list(plans.values()), executed)
    kept = _standing_still(ran.record.state, ran.length, ran.valid.shape[1])
    targets = _standing_still(ran.record.memory.targets, ran.length, ran.valid.shape[1])
    special = scenario.feedback(kept, targets)
    agents = {
        agent: "; ".join(filter(None, (text, special.get(agent))))
        for agent, text in general.items()
    }
    return Score(float(team.mean()), measures, agents, special.get(EVERYONE))


def judge(scenario: Scenario, ran: Episodes) -> Judgement:
    """What the episodes are worth: to the scenario, or the team return and all measures."""
    if scenario.judge is not None:
        return scenario.judge(ran)
    measures = {
        f"{measure.name} ({measure.meaning})": np.asarray(ran.measures[measure.name])
        for measure in scenario.env.measures
    }
    return Judgement(np.asarray(ran.returns).sum(-1), measures)


def _standing_still(values: Any, length: Int[Any, "K"], steps: int) -> Any:
    """``values`` [K S ...] with the last step of an episode repeated in its padding.

    A scenario's feedback gets no mask, and what the environment makes of the time after the end
    must not count.
    """
    step = np.minimum(np.arange(steps), np.asarray(length)[:, None] - 1)
    episode = np.arange(step.shape[0])[:, None]
    return jax.tree.map(lambda leaf: leaf[episode, step], values)


def _progress(scenario: Scenario, plans: list[Plan], executed: Executed) -> dict[str, str]:
    """How far every agent got in its list, means over the episodes."""
    if scenario.controls.applies is not None:
        return _uses(scenario, plans, executed)
    ran, memory = executed.episodes, executed.episodes.record.memory
    episode, last = np.arange(len(ran.length)), np.asarray(ran.length) - 1
    completed = np.asarray(memory.completed)[episode, last]
    timed_out = np.asarray(memory.timed_out)[episode, last]
    reached = _furthest(np.asarray(memory.counter), np.asarray(ran.valid))
    said = {}
    for n, agent in enumerate(scenario.env.spec.agents):
        mine = [plans[index][agent] for index in executed.plan_index]
        count = np.array([len(plan.instructions) for plan in mine])
        if (count == 1).all() and not any(plan.repeat for plan in mine):
            # Where nothing else could end it, that says nothing.
            said[agent] = ""
            if scenario.vocabulary.timed:
                said[agent] = "its only instruction stayed in force"
            continue
        unstarted = (count - 1 - reached[:, n]).mean()
        ended = f"{completed[:, n].mean():.1f} ended as finished"
        if scenario.vocabulary.timed:
            ended += f" or by their until, {timed_out[:, n].mean():.1f} by max_steps alone"
        said[agent] = (
            f"of its {count.mean():g} instruction{'' if (count == 1).all() else 's'}, per episode "
            f"{ended}, {unstarted:.1f} were never started"
        )
    return said


def _uses(scenario: Scenario, plans: list[Plan], executed: Executed) -> dict[str, str]:
    """How often every rule of an agent decided its action, means over a plan's episodes."""
    step, valid = executed.episodes.record, np.asarray(executed.episodes.valid)
    deciding = valid[:, :, None] & np.asarray(step.time_step.decision)
    counter = np.asarray(step.memory.counter)
    said = {}
    for n, agent in enumerate(scenario.env.spec.agents):
        texts = []
        for index, plan in enumerate(plans):
            mine = executed.plan_index == index
            used = [
                f"{number + 1} {rule.command} "
                f"{(deciding & (counter == number))[mine, :, n].sum(1).mean():.1f}"
                for number, rule in enumerate(plan[agent].instructions)
            ]
            texts.append(", ".join(used))
        said[agent] = (
            "decisions per episode by rule (those where none applied count for the last): "
            + " | ".join(texts)
        )
    return said


def _furthest(
    counter: Int[np.ndarray, "K S N"], valid: Bool[np.ndarray, "K S"]
) -> Int[np.ndarray, "K N"]:
    """Index of the last instruction that was in force for at least a step.

    The counter that a step leaves behind is the instruction of the step after it.
    """
    in_force = np.where(valid[:, 1:, None], counter[:, :-1], 0)
    return np.max(in_force, axis=1, initial=0)
