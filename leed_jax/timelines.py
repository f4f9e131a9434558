"""What became of a plan in one episode: who followed which instruction when, and how it ended."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from leed_jax import execution, files, rendering, timeline_figure
from leed_jax.demonstrations import Demonstrations
from leed_jax.instructions import Instruction, Plan
from leed_jax.scenarios import Scenario

End = Literal["finished", "condition", "timed out", "skipped", "overruled", "dead", "episode"]
WORDS: dict[str, str] = {
    "finished": "finished",
    "condition": "its condition held",
    "timed out": "timed out",
    "skipped": "skipped, nothing to do",
    "overruled": "another rule applied",
    "dead": "the agent's part was over",
    "episode": "in force to the end",
}
"""How an instruction ends, in words."""
MAX_AGENTS = 40
"""That a figure shows."""
MAX_LINES = 24
"""Of an agent that a text shows."""
MAX_NUMBERS = 4
"""Of a target: longer ones are left out of texts."""


class Stretch(NamedTuple):
    """An instruction of an agent, from its first step to the one after its last."""

    agent: str
    number: int
    """In the agent's list, from 0."""
    instruction: Instruction
    start: int
    stop: int
    end: End
    bound: dict[str, Any]
    """What the scenario resolved its parameters to in its first step, by the target's fields."""
    bound_last: dict[str, Any]
    """The same in its last step."""
    refused: int
    """Steps in which its action was illegal and another was taken."""

    @property
    def said(self) -> str:
        """The instruction in one line."""
        told = self.instruction
        values = told.arguments.values()
        parts = [told.command]
        parts += [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        parts += [] if told.until is None else [f"until {told.until}"]
        parts += [] if told.max_steps is None else [f"for {told.max_steps}"]
        return " ".join(parts)

    def __str__(self) -> str:
        return _line([self])


class Timeline(NamedTuple):
    """An episode of a plan; ``print`` tells it, `save` draws it."""

    name: str
    agents: tuple[str, ...]
    length: int
    """Steps of the episode."""
    team_return: float
    stretches: tuple[Stretch, ...]
    """Agent by agent, in order."""

    def of(self, agent: str) -> tuple[Stretch, ...]:
        """The stretches of one agent."""
        return tuple(each for each in self.stretches if each.agent == agent)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.length} steps, team return {self.team_return:.2f}"]
        for agent in self.agents:
            # Repetitions in one line: a list of a single instruction can end in every step.
            alike = itertools.groupby(self.of(agent), lambda each: (each.number, each.end))
            told = [_line(list(group)) for _, group in alike]
            lines += [agent, *told[:MAX_LINES]]
            if len(told) > MAX_LINES:
                lines.append(f"          and {len(told) - MAX_LINES} more")
        return "\n".join(lines)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        agents: Sequence[str] | None = None,
        steps: tuple[int, int] | None = None,
    ) -> None:
        """Writes the figure as a PNG, whole or not at all.

        A row per agent, a bar per instruction, a colour per command; a mark at its end says how it
        ended, a stroke below it where an action was illegal.

        Args:
          path: of the file.
          agents: which to show; None: the first `MAX_AGENTS`.
          steps: from which step to which; None: all of them.

        Raises:
          ValueError: an agent that is not in the timeline, more than `MAX_AGENTS`, or steps that
            the episode does not have.
        """
        shown = tuple(self.agents[:MAX_AGENTS] if agents is None else agents)
        unknown = [agent for agent in shown if agent not in self.agents]
        if unknown or not 0 < len(shown) <= MAX_AGENTS:
            raise ValueError(
                f"agents must be 1 to {MAX_AGENTS} of {list(self.agents[:MAX_AGENTS])}, got "
                f"{unknown or len(shown)}"
            )
        first, last = steps or (0, self.length)
        if not 0 <= first < last <= self.length:
            raise ValueError(f"steps must be within 0..{self.length}, got {steps}")
        figure = timeline_figure.draw(self, shown, (first, last), WORDS)
        with files.whole(Path(path)) as partial:
            figure.savefig(partial, format="png")


def timeline(
    scenario: Scenario,
    what: Plan | Demonstrations,
    key: Key[Array, ""] | None = None,
    *,
    start: int = 0,
) -> Timeline:
    """What becomes of a plan in the episode that `leed_jax.render` shows.

    Args:
      scenario: where.
      what: a plan, or relational demonstrations, whose plan is executed anew.
      key: of the start, a scored one; None: the one that renderings show.
      start: number of that start.

    Raises:
      ValueError: the plan holds what the vocabulary does not, or demonstrations hold no one plan.
    """
    plan = rendering.plan_of(what) if isinstance(what, Demonstrations) else what
    key = rendering.start_key(start) if key is None else key
    played = execution.execute(scenario, [plan], key[None], scored=True).episodes
    length = int(played.length[0])
    step = jax.device_get(jax.tree.map(lambda leaf: leaf[0, :length], played.record))
    stretches = [
        each
        for index, agent in enumerate(scenario.vocabulary.agents)
        for each in _of_agent(scenario, plan, step, agent, index)
    ]
    total = float(np.asarray(played.rewards)[0].sum())
    return Timeline(scenario.name, scenario.vocabulary.agents, length, total, tuple(stretches))


def _of_agent(
    scenario: Scenario, plan: Plan, step: execution.Step, agent: str, index: int
) -> list[Stretch]:
    """Stretches of one agent, from the executor's counters after every step."""
    told = plan[agent].instructions
    rules = scenario.controls.applies is not None
    counter, elapsed = step.memory.counter[:, index], step.memory.elapsed[:, index]
    done = np.diff(step.memory.completed[:, index], prepend=0)
    late = np.diff(step.memory.timed_out[:, index], prepend=0)
    gone = step.time_step.terminated[:, index]
    living = len(gone) if not gone.any() else int(gone.argmax())
    found: list[Stretch] = []
    begin = now = 0

    def close(stop: int, end: End) -> None:
        bound: dict[str, Any] = {}
        last: dict[str, Any] = {}
        if end != "skipped":
            bound = _bound(step.memory.targets, begin, index, len(plan))
            last = _bound(step.memory.targets, stop - 1, index, len(plan))
        refused = int((~step.legal[begin:stop, index]).sum())
        found.append(Stretch(agent, now, told[now], begin, stop, end, bound, last, refused))

    for s in range(living):
        if rules:
            if s == 0:
                now = int(counter[0])
            elif counter[s] != now:
                close(s, "overruled")
                begin, now = s, int(counter[s])
            continue
        left = elapsed[s] == 0
        # A completion that is not this step's leaving is that of an instruction passed over.
        if done[s] - int(left and not late[s]):
            close(s, "skipped")
            begin, now = s, now + 1
        if left:
            until = told[now].until is not None
            close(s + 1, "timed out" if late[s] else "condition" if until else "finished")
            begin, now = s + 1, int(counter[s])
    if begin < living:
        close(living, "dead" if living < len(gone) else "episode")
    return found


def _bound(targets: Any, at: int, index: int, num_agents: int) -> dict[str, Any]:
    """An agent's target as short numbers, by the names of the target's fields."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(targets):
        values = np.asarray(leaf)
        if values.ndim < 2 or values.shape[1] != num_agents:
            continue
        own = values[at, index]
        if own.size <= MAX_NUMBERS:
            name = jax.tree_util.keystr(path).strip(".[]'") or "target"
            found[name] = (
                np.round(own.astype(float), 2).tolist() if own.dtype.kind == "f" else own.tolist()
            )
    return found


def _line(alike: Sequence[Stretch]) -> str:
    """One instruction in one line, how often it was carried out in a row with the same end."""
    first, last = alike[0], alike[-1]
    start, stop = first.start, last.stop
    steps = f"{start}-{stop - 1}" if stop - start > 1 else f"{start}"
    text = f"{steps:>8}  {first.number + 1}. {first.said}: {WORDS[first.end]}"
    if len(alike) > 1:
        text += f" {len(alike)} times, first in step {max(first.stop - 1, first.start)}"
    refused = sum(each.refused for each in alike)
    if refused:
        text += f"; {refused} illegal actions"
    changed = {k: v for k, v in last.bound_last.items() if v != first.bound[k]}
    bound = _targets(first.bound) + (f" -> {_targets(changed)}" if _targets(changed) else "")
    return f"{text}; {bound}" if bound else text


def _targets(bound: dict[str, Any]) -> str:
    """Fields and their values; of true or false ones those that are true."""
    parts = [
        name if value is True else f"{name} {value}".replace("[", "(").replace("]", ")")
        for name, value in bound.items()
        if value is not False
    ]
    return ", ".join(parts)
