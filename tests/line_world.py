"""A toy scenario for tests: agents on the places 0 to 9 of a line, everything countable by hand."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from leed_jax.instructions import (
    AgentPlan,
    Choice,
    Command,
    Condition,
    Instruction,
    Number,
    Vocabulary,
)
from leed_jax.scenarios import Controls, Program, Scenario
from leed_jax.types import ArrayEnv, EnvSpec, Measure, TimeStep

STAY, LEFT, RIGHT = range(3)
BEYOND, NEGATIVE = 7, -1
"""Two numbers that are no action of this world; its controllers can be told to give them."""
HORIZON = 8
LAST_PLACE = 9
AGENTS = ("ann", "bob")


class Line(NamedTuple):
    """Where everyone is, and the time."""

    place: Int[Array, "N"]
    clock: Int[Array, ""]


class Goal(NamedTuple):
    """What the resolver hands to the controllers."""

    place: Int[Array, "N"]
    action: Int[Array, "N"]


def array_env(
    start: tuple[int, int] | None = (0, 5),
    end: int = 100,
    scored: tuple[int, int] | None = None,
) -> ArrayEnv:
    """The world; an agent's reward is the place it reaches, and its life ends at ``end``.

    Args:
      start: places at reset; None: drawn at random.
      end: an agent that reaches this place is terminated.
      scored: places at the only scored start; None: as at any reset.
    """

    def time_step(state: Line, reward: Any) -> TimeStep:
        allowed = [state.place >= 0, state.place > 0, state.place < LAST_PLACE]
        return TimeStep(
            observation=state.place.astype(jnp.float32)[:, None],
            reward=reward,
            terminated=state.place >= end,
            truncated=state.clock >= HORIZON,
            action_mask=jnp.stack(allowed, -1),
            decision=jnp.ones(2, bool),
            global_state=state.place.astype(jnp.float32),
        )

    def reset(key: Any) -> tuple[Line, TimeStep]:
        place = jax.random.randint(key, (2,), 0, 6) if start is None else jnp.array(start)
        state = Line(place, jnp.array(0))
        return state, time_step(state, jnp.zeros(2))

    def scored_reset(key: Any) -> tuple[Line, TimeStep]:
        del key
        state = Line(jnp.array(scored), jnp.array(0))
        return state, time_step(state, jnp.zeros(2))

    def step(key: Any, state: Line, action: Any) -> tuple[Line, TimeStep]:
        del key
        place = state.place + jnp.array([0, -1, 1])[action]
        state = Line(place, state.clock + 1)
        return state, time_step(state, place.astype(jnp.float32))

    measures = tuple(
        Measure(f"place_{over}", lambda state: state.place[0].astype(jnp.float32), over, "ann's")
        for over in ("last", "mean", "sum")
    )
    spec = EnvSpec("toy/line", AGENTS, (1, 1), (3, 3), HORIZON)
    if scored is None:
        return ArrayEnv(reset, step, spec, measures)
    return ArrayEnv(reset, step, spec, measures, scored_reset, scored_starts=1)


VOCABULARY = Vocabulary(
    agents=AGENTS,
    commands=(
        Command("GoTo", "go there; finished there", (Number("place", 0, 9, 1, "where"),)),
        Command(
            "Do",
            "do this; never finished",
            (Choice("what", ("left", "right", "beyond", "negative"), "what"),),
        ),
    ),
    conditions=(
        Condition("met", "both are at one place"),
        Condition("late", "the clock shows 4 or more"),
    ),
    horizon=HORIZON,
    max_instructions=3,
)


def scenario(max_instructions: int = 3, **options: Any) -> Scenario:
    """The world with words for it; its memory counts the instructions each agent started."""

    def resolve(state: Line, program: Program, starts: Any) -> tuple[Goal, Any]:
        del state
        code = program.arguments[:, 0]
        action = jnp.array([LEFT, RIGHT, BEYOND, NEGATIVE])[code % 4]
        return Goal(code, action), starts + program.started.astype(jnp.int32)

    def go(goal: Goal, state: Line, agent: Any) -> tuple[Any, Any]:
        away = goal.place - state.place[agent]
        return jnp.select([away < 0, away > 0], [LEFT, RIGHT], STAY), away == 0

    def do(goal: Goal, state: Line, agent: Any) -> tuple[Any, Any]:
        del state, agent
        return goal.action, jnp.array(False)

    def met(state: Line, goal: Goal) -> Any:
        del goal
        return jnp.broadcast_to(state.place[0] == state.place[1], (2,))

    def late(state: Line, goal: Goal) -> Any:
        del goal
        return jnp.broadcast_to(state.clock >= 4, (2,))

    return Scenario(
        name="toy/line",
        options=dict(options),
        env=array_env(**options),
        vocabulary=VOCABULARY._replace(max_instructions=max_instructions),
        task="Walk.",
        describe=str,
        controls=Controls(lambda state: jnp.zeros(2, jnp.int32), resolve, (go, do), (met, late)),
        advice={"learnable": "", "return": ""},
        feedback=lambda states, targets: dict.fromkeys(AGENTS, ""),
        draw=lambda axes, state, targets: None,
    )


def go(place: int, **ends: Any) -> Instruction:
    """``GoTo place``."""
    return Instruction("GoTo", {"place": place}, **ends)


def do(what: str, **ends: Any) -> Instruction:
    """``Do what``."""
    return Instruction("Do", {"what": what}, **ends)


def plan(*ann: Instruction, bob: Any = None, repeat: bool = False) -> dict[str, AgentPlan]:
    """A plan for ann; bob goes to the place where he is unless told otherwise."""
    return {"ann": AgentPlan(ann, repeat), "bob": bob or AgentPlan((go(5),))}


def all_right() -> dict[str, AgentPlan]:
    """Everyone goes to the right, for ever."""
    return plan(do("right"), bob=AgentPlan((do("right"),)))
