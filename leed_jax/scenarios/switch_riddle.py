"""``switch_riddle/prisoners``: who knows that everyone was in the room? (JaxMARL)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from leed_jax.environments import jaxmarl
from leed_jax.instructions import Choice, Command, Number, Parameter, Vocabulary
from leed_jax.scenarios import EVERYONE, Controls, Program, Scenario
from leed_jax.types import ArrayEnv, Measure, State, TimeStep

NAMES = ("switch_riddle/prisoners",)

NOTHING, SWITCH, TELL = range(3)
"""Commands, and JaxMARL's actions (jaxmarl/environments/switch_riddle/switch_riddle.py)."""
LIGHTS = ("off", "on", "any")


class Prison(NamedTuple):
    """The riddle, and how it ended: JaxMARL's state does not say."""

    game: Any
    told: Bool[Array, ""]
    """Someone said that all have been in the room."""
    right: Bool[Array, ""]
    """And so it was."""


class Remembered(NamedTuple):
    """What each prisoner counts; no observation shows it."""

    visits: Int[Array, "N"]
    """Days in the room before today."""
    switches: Int[Array, "N"]
    """How often it has switched the light."""


class Target(NamedTuple):
    """What every prisoner's rules say now."""

    action: Int[Array, "N"]
    applied: Bool[Array, "N"]
    """The rule in force applies; false: none did, and nothing is done."""


def days(num_agents: int) -> int:
    """The time limit, JaxMARL's."""
    return 4 * num_agents - 6


def make(name: str, *, num_agents: int = 3) -> Scenario:
    """The scenario for a number of prisoners.

    Raises:
      ValueError: fewer than three, JaxMARL's minimum.
    """
    if num_agents < 3:
        raise ValueError(f"{name}: num_agents must be at least 3, got {num_agents}")
    env = _array_env(name, num_agents)
    words = _vocabulary(env.spec.agents)
    return Scenario(
        name=name,
        options={"num_agents": num_agents},
        env=env,
        vocabulary=words,
        task=_task(num_agents),
        describe=_describe,
        controls=_controls(words.commands[0].parameters),
        advice=_ADVICE,
        feedback=lambda states, targets: _feedback(states, targets, env.spec.agents),
        draw=_draw,
    )


def _array_env(name: str, num_agents: int) -> ArrayEnv:
    game = jaxmarl.load("switch_riddle", num_agents=num_agents)
    agents = game.agents

    def mask(state: Any) -> dict[str, Any]:
        """Outside the room there is nothing to do."""
        doing = jnp.arange(3) == NOTHING
        return {agent: doing | (state.agent_in_room == n) for n, agent in enumerate(agents)}

    env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=days(num_agents),
        action_mask=mask,
        decision=lambda state: jnp.arange(num_agents) == state.agent_in_room,
    )

    def reset(key: Any) -> tuple[Prison, TimeStep]:
        state, step = env.reset(key)
        return Prison(state, jnp.array(False), jnp.array(False)), step

    def step(key: Any, state: Prison, action: Any) -> tuple[Prison, TimeStep]:
        told = action[state.game.agent_in_room] == TELL
        after, step = env.step(key, state.game, action)
        right = told & (after.has_been > 0).all()
        # Telling ends the riddle; only without it the time limit does.
        ended = jnp.broadcast_to(told, step.terminated.shape)
        step = step._replace(terminated=ended, truncated=step.truncated & ~told)
        return Prison(after, told, right), step

    measures = (
        Measure(
            "freed",
            lambda state: state.right.astype(jnp.float32),
            "last",
            "share of episodes in which it is told rightly; higher is better",
        ),
        Measure(
            "executed",
            lambda state: (state.told & ~state.right).astype(jnp.float32),
            "last",
            "share of episodes in which it is told too early; lower is better",
        ),
        Measure(
            "all_were_there",
            lambda state: (state.game.has_been > 0).all().astype(jnp.float32),
            "last",
            "share of episodes in which all were in the room by the end: none can be won without",
        ),
    )
    return ArrayEnv(reset=reset, step=step, spec=env.spec, measures=measures)


# ------------------------------------------------------------------------------- in words


def _vocabulary(agents: tuple[str, ...]) -> Vocabulary:
    last = days(len(agents))
    whole = dict(resolution=1)
    when: tuple[Parameter, ...] = (
        Choice("light", LIGHTS, "applies only if the light is so when the prisoner comes in"),
        Number("min_visit", 1, last, **whole, meaning="earliest visit; 1 is its first"),
        Number("max_visit", 1, last, **whole, meaning="latest visit"),
        Number("min_switches", 0, last, **whole, meaning="fewest times it has switched so far"),
        Number("max_switches", 0, last, **whole, meaning="most times it has switched so far"),
        Number("first_day", 1, last, **whole, meaning="earliest day"),
        Number("last_day", 1, last, **whole, meaning="latest day"),
    )
    return Vocabulary(
        agents=agents,
        commands=(
            Command("Nothing", "leave the light as it is and say nothing", when),
            Command("Switch", "switch the light: on if it is off, off if it is on", when),
            Command("Tell", "say that all have been in the room; this ends the riddle", when),
        ),
        conditions=(),
        horizon=last,
        max_instructions=8,
        timed=False,
    )


def _task(num_agents: int) -> str:
    return f"""\
{num_agents} prisoners and a room with a light. Every day one of the prisoners is drawn at random \
(each equally likely, also those who were drawn before) and taken to the room. There it sees \
whether the light is on, and may switch it, or say that all {num_agents} have been in the room, or \
do neither. The light is off at the start and is changed by nobody else. The prisoners cannot \
communicate in any other way.

If a prisoner says so and it is true (the day's own visit counts), all get a reward of 1; if it is \
not, all get -1. Either ends the episode. After {days(num_agents)} days it ends anyway, with 0. \
The team's score of an episode is the sum over the prisoners: {num_agents}, -{num_agents} or 0. \
Some episodes cannot be won, because not all have been drawn in time; telling on a mere chance may \
cost more than it wins.

What one prisoner observes: whether it is in the room and, only there, whether the light is on. \
Rules may also use the day, how often this prisoner was in the room, and how often it has itself \
switched the light: it counts them, as a policy with memory could.

A rule applies if all its parameters hold: the light as found, the number of this visit (the \
first is 1), the prisoner's own switches before this visit, and the day (the first is 1). If no \
rule applies, the prisoner does nothing. Only the prisoner in the room acts."""


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One policy with memory per prisoner is then \
trained to do what its prisoner did, seeing only that prisoner's own observations, so rules that \
need few counts are learnt soonest. What matters is what the light means: all prisoners' rules \
must agree on it, on every day. Among plans like that choose the one with the highest score.""",
    "return": """\
Make the team's score as high as you can. What matters is what the light means: all prisoners' \
rules must agree on it, on every day.""",
}


def _describe(state: Prison) -> str:
    game = state.game
    been = [f"agent_{n}" for n in np.flatnonzero(np.asarray(game.has_been))]
    return (
        f"day {int(game.step) + 1}: agent_{int(game.agent_in_room)} is in the room, the light is "
        f"{'on' if bool(game.bulb_state) else 'off'}; in the room before: {', '.join(been) or '-'}"
    )


def _feedback(states: Prison, targets: Target, agents: tuple[str, ...]) -> dict[str, str]:
    """Averages over episodes, per prisoner and for all."""
    game = states.game
    day = np.asarray(game.step)
    # An ended episode is repeated up to the horizon: only what moves on is counted.
    once = np.concatenate([np.ones_like(day[:, :1]), np.diff(day)], 1) > 0
    room, action = np.asarray(game.agent_in_room), np.asarray(targets.action)
    applied = np.asarray(targets.applied)
    been = np.asarray(game.has_been) > 0
    said = {}
    lasting = once.sum(1)
    for n, agent in enumerate(agents):
        inside = once & (room == n)
        telling = inside & (action[..., n] == TELL)
        now = been.copy()
        now[..., n] = True
        truly = telling & now.all(-1)
        said[agent] = (
            f"per episode {inside.sum(1).mean():.1f} visits, "
            f"{(inside & (action[..., n] == SWITCH)).sum(1).mean():.1f} switches, no rule applied "
            f"in {(inside & ~applied[..., n]).sum(1).mean():.1f}; it told in "
            f"{telling.any(1).mean():.0%} of the episodes, rightly in {truly.any(1).mean():.0%}"
        )
    said[EVERYONE] = f"Episodes took {lasting.mean():.1f} days on average."
    return said


# ----------------------------------------------------------------------------- in numbers


def _controls(parameters: tuple[Parameter, ...]) -> Controls:
    """Rules as actions; they count in the memory what a prisoner has to remember."""

    def applies(state: Prison, program: Program, memory: Remembered) -> Bool[Array, "N"]:
        of = {
            parameter.name: code if isinstance(parameter, Choice) else parameter.low + code
            for parameter, code in zip(parameters, program.arguments.T, strict=True)
        }
        day, visit = state.game.step + 1, memory.visits + 1
        light = state.game.bulb_state.astype(jnp.int32)
        return (
            ((of["light"] == light) | (of["light"] == LIGHTS.index("any")))
            & (visit >= of["min_visit"])
            & (visit <= of["max_visit"])
            & (memory.switches >= of["min_switches"])
            & (memory.switches <= of["max_switches"])
            & (day >= of["first_day"])
            & (day <= of["last_day"])
        )

    def resolve(state: Prison, program: Program, memory: Remembered) -> tuple[Target, Remembered]:
        holds = applies(state, program, memory)
        inside = jnp.arange(program.op.shape[0]) == state.game.agent_in_room
        action = jnp.where(inside & holds, program.op, NOTHING)
        switched = (action == SWITCH).astype(jnp.int32)
        after = Remembered(memory.visits + inside.astype(jnp.int32), memory.switches + switched)
        return Target(action, holds), after

    def act(target: Target, state: Prison, agent: Int[Array, ""]) -> tuple[Any, Any]:
        del state, agent
        return target.action, jnp.array(False)

    def init(state: State) -> Remembered:
        zeros = jnp.zeros(state.game.has_been.shape, jnp.int32)
        return Remembered(zeros, zeros)

    return Controls(init=init, resolve=resolve, controllers=(act,) * 3, applies=applies)


def _draw(axes: Any, state: Prison, targets: Target | None) -> None:
    """The room with its light above, the prisoners below; those who were there are filled."""
    from matplotlib import colormaps
    from matplotlib.patches import Circle, Rectangle

    game = state.game
    been, inside = np.asarray(game.has_been) > 0, int(game.agent_in_room)
    lit = bool(game.bulb_state)
    count = len(been)
    middle = (count - 1) / 2
    axes.add_patch(
        Rectangle((middle - 0.9, 0.8), 1.8, 1.6, facecolor="#fff6c9" if lit else "0.75", ec="black")
    )
    axes.add_patch(
        Circle((middle + 0.55, 2.05), 0.18, facecolor="#ffd21f" if lit else "0.3", ec="black")
    )
    for n in range(count):
        x, y = (middle, 1.25) if n == inside else (float(n), 0.0)
        colour = colormaps["tab10"](n % 10)
        axes.add_patch(
            Circle((x, y), 0.32, facecolor=colour if been[n] else "white", ec=colour, linewidth=2)
        )
        axes.text(x, y, f"{n}", color="white" if been[n] else colour, ha="center", va="center")
    text = f"day {int(game.step) + 1}"
    if targets is not None:
        doing = ("does nothing", "switches the light", "says that all were here")
        text += f": agent_{inside} {doing[int(np.asarray(targets.action)[inside])]}"
    axes.text(middle, 2.65, text, ha="center", fontsize=8)
    width = max(middle + 0.7, 1.6)
    axes.set(
        xlim=(middle - width, middle + width), ylim=(-0.6, 3.0), xticks=[], yticks=[],
        aspect="equal",
    )  # fmt: skip
