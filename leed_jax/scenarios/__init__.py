"""Tasks that can be instructed: an environment, and the words to instruct it.

A scenario is one module of this folder, or of a package in it, that offers ``NAMES``
(``family/task``, all it can make) and ``make(name, **options)``; the package's `make` finds it by
name, no central list names it.
"""

import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.episodes import Episodes
from leed_jax.instructions import Vocabulary
from leed_jax.types import ArrayEnv, Memory, State

EVERYONE = "everyone"
"""Key of a feedback's text about the whole team."""


class Program(NamedTuple):
    """The instruction that every agent is following now."""

    op: Int[Array, "N"]
    """Index of the command."""
    arguments: Int[Array, "N P"]
    """Codes of its parameters."""
    started: Bool[Array, "N"]
    """This is the instruction's first step."""


class Controls(NamedTuple):
    """What turns instructions into actions, all of it pure JAX on a single environment."""

    init: Callable[[State], Memory]
    """State at the start of an episode -> memory of the resolver."""
    resolve: Callable[[State, Program, Memory], tuple[Any, Memory]]
    """Targets for all agents together, [N, ...] in every leaf, so that claims never collide."""
    controllers: tuple[Callable[[Any, State, Any], tuple[Any, Any]], ...]
    """Per command: (an agent's target, state, agent's index) -> action, finished."""
    conditions: tuple[Callable[[State, Any], Bool[Array, "N"]], ...] = ()
    """Per condition of the vocabulary: (state, targets) -> true for the agents it holds for."""
    passed: Callable[[State, Program], Bool[Array, "N"]] | None = None
    """Where an instruction has nothing to do, so that the next one is in force in this very step;
    None: every instruction takes a step at least."""
    applies: Callable[[State, Program, Memory], Bool[Array, "N"]] | None = None
    """With it plans are lists of rules in order of priority: in every step the first rule that
    applies is in force, or the last of the list where none does; no rule ever ends. The vocabulary
    is then not timed. None: plans are carried out one instruction after another."""


class Judgement(NamedTuple):
    """What executed plans are worth, as the model is told."""

    score: Float[np.ndarray, "K"]
    """Per episode, high is good: plans are ranked by it."""
    measures: dict[str, Float[np.ndarray, "K"]]
    """Further numbers, by their meaning."""


class Threshold(NamedTuple):
    """When a policy counts as good, for "steps to threshold"."""

    metric: str
    value: float
    why: str


class Scenario(NamedTuple):
    """An environment with a vocabulary, and the words and functions that go with both."""

    name: str
    options: dict[str, Any]
    """What `make` was told, defaults included: with the name it identifies the scenario."""
    env: ArrayEnv
    vocabulary: Vocabulary
    task: str
    """What the agents are to achieve and how it is rewarded, in words for the model."""
    describe: Callable[[State], str]
    """A given start of an episode in words, numbers rounded."""
    controls: Controls
    advice: dict[str, str]
    """By goal of the generation: what makes a plan good, in words for the model."""
    feedback: Callable[[State, Any], dict[str, str]]
    """(states [K S ...], targets [K S N ...]) of executed episodes -> per agent, what happened;
    and, by the name `EVERYONE`, what is to be said about the whole team, in one line or more."""
    draw: Callable[[Any, State, Any], None]
    """(matplotlib axes, state, targets or None): one frame of a rendering."""
    threshold: Threshold | None = None
    plan_request: str | None = None
    """Asks for one plan for every start, in front of the description of an example; None: the
    prompt's own sentences, which speak of different starts."""
    for_agents: Callable[[tuple[str, ...]], "Scenario"] | None = None
    """Some of the agents, in their order -> this scenario with words (``task``, ``describe``,
    ``plan_request``, ``vocabulary.agents``) that speak to these agents alone. With it a team whose
    prompt would be too long is asked in groups; None: it is always asked as a whole."""
    prompt_options: dict[str, Any] | None = None
    """The options that the words depend on, which key recorded answers; None: all of them."""
    judge: Callable[[Episodes], Judgement] | None = None
    """What plans are worth where it is not the team return, which may depend on what the learners
    are paid for; None: the team return and the environment's measures."""


@functools.cache
def _modules() -> dict[str, Any]:
    """The module behind every scenario's name."""
    return {name: module for module in _offering(__path__, __name__) for name in module.NAMES}


def _offering(path: Iterable[str], package: str) -> Iterator[Any]:
    """Modules with ``NAMES``; a package that has none is looked through for such modules."""
    for found in pkgutil.iter_modules(path):
        if not found.name.startswith("_"):
            module = importlib.import_module(f"{package}.{found.name}")
            if hasattr(module, "NAMES"):
                yield module
            elif found.ispkg:
                yield from _offering(module.__path__, module.__name__)


def names() -> list[str]:
    """Every scenario that `make` knows."""
    return sorted(_modules())


def make(name: str, **options: Any) -> Scenario:
    """The scenario ``family/task``.

    Args:
      name: one of `names`.
      options: the scenario's own, e.g. ``num_agents``.

    Raises:
      ValueError: no such scenario (the nearest names are listed), or an option out of range.
      TypeError: an option that the scenario does not have.
    """
    module = _modules().get(name)
    if module is None:
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.3) or names()
        raise ValueError(f"no scenario {name!r}; nearest: {', '.join(near)}")
    known = inspect.signature(module.make).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        allowed = ", ".join(list(known)[1:])
        raise TypeError(f"{name} has no option {', '.join(unknown)}; its options: {allowed}")
    return module.make(name, **options)


def rounded(values: Any) -> list[float]:
    """Numbers for a prompt: two decimals, and no negative zero."""
    flat: Sequence[float] = np.round(np.asarray(values, float), 2).ravel().tolist()
    return [value + 0.0 for value in flat]
