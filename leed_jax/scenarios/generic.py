"""Any discrete-action JaxMARL environment without a scenario of its own: commands are its actions.

`generic_scenario` takes an environment, the names of its actions and a sentence about the task.
Plans are then open loops of actions and their counts: good for short tasks, for tasks with one
start, and for a first try. What makes plans good for thousands of starts, commands that look at the
state, is written in ``docs/your-own-scenario.md``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from leed_jax import quoting
from leed_jax.environments import jaxmarl
from leed_jax.instructions import Command, Number, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario, rounded
from leed_jax.types import ArrayEnv, Measure, State

NAMES = ("mpe/simple",)

MAX_SHOWN_NUMBERS = 64
"""An observation of more numbers is not written into a prompt."""

_SIMPLE = (
    "One agent and one landmark lie on a plane, both in [-1, 1] x [-1, 1] at the start. The agent "
    "is paid minus its squared distance from the landmark, per step. A push gives 0.5 units/s, a "
    "quarter of the speed is lost per step of 0.1 s. It observes its velocity (x, y) and where the "
    "landmark is relative to itself (x, y)."
)


class Order(NamedTuple):
    """The action an agent was told, and whether this was the last time."""

    action: Int[Array, "N"]
    last: Array


def make(name: str) -> Scenario:
    """``mpe/simple``, an example: JaxMARL's simplest environment with its actions as commands."""
    return generic_scenario(
        "MPE_simple_v3",
        name=name,
        task=_SIMPLE,
        action_names=("Stay", "Left", "Right", "Down", "Up"),
        horizon=26,  # done is read before the clock moves
    )


def generic_scenario(
    env: Any,
    *,
    name: str,
    task: str,
    action_names: Sequence[str] | Mapping[str, Sequence[str]],
    horizon: int,
    terminated: Callable[[State], Any] | None = None,
    action_mask: Callable[[State], dict[str, Any]] | None = None,
    decision: Callable[[State], Any] | None = None,
    describe: Callable[[State], str] | None = None,
    measures: tuple[Measure, ...] = (),
    max_instructions: int = 32,
) -> Scenario:
    """A scenario whose commands are the actions of a discrete-action JaxMARL environment.

    Args:
      env: a ``MultiAgentEnv``, or the name of a registered one.
      name: ``family/task``, of the scenario.
      task: what the agents are to achieve, how it is rewarded, what they observe: all that a
        language model needs to know.
      action_names: of all agents, in the order of their numbers; or a list for every agent.
        They become the commands, so each is one word.
      horizon: steps after which the environment's own clock says done.
      terminated: see `leed_jax.as_array_env`, as are ``action_mask``, ``decision``, ``measures``.
      action_mask: legal actions of a state.
      decision: whose action matters.
      describe: a start of an episode in words; by default every agent's observation, if it has at
        most `MAX_SHOWN_NUMBERS` numbers.
      measures: success metrics.
      max_instructions: L, of a plan, per agent.

    Raises:
      TypeError: the actions are not discrete.
      ValueError: names that are missing, doubled, or no words.
    """
    game = jaxmarl.load(env) if isinstance(env, str) else env
    array_env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=horizon,
        terminated=terminated,
        action_mask=action_mask,
        decision=decision,
        measures=measures,
    )
    spec = array_env.spec
    if spec.continuous:
        raise TypeError(f"{name}: actions must be discrete; it has {spec.action_sizes} components")
    named = _by_agent(array_env, action_names)
    commands = tuple(dict.fromkeys(word for names in named.values() for word in names))
    # Of an action that an agent does not have: no action at all, so the executor takes a legal one.
    numbers = np.array(
        [
            [names.index(word) if word in names else spec.num_actions for word in commands]
            for names in named.values()
        ]
    )
    times = Number("times", 1, horizon, 1, "how many steps in a row")

    def resolve(state: State, program: Program, memory: Any) -> tuple[Order, Any]:
        del state
        done = jnp.where(program.started, 0, memory) + 1
        wanted = times.decode(program.arguments[:, 0])
        action = jnp.asarray(numbers)[jnp.arange(spec.num_agents), program.op]
        return Order(action, done >= wanted), done

    return Scenario(
        name=name,
        options={},
        env=array_env,
        vocabulary=Vocabulary(
            agents=spec.agents,
            commands=tuple(Command(word, _meaning(word, named), (times,)) for word in commands),
            conditions=(),
            horizon=horizon,
            max_instructions=max_instructions,
        ),
        task=f"{task}\n\nAn episode has at most {horizon} steps. Agents: {_listed(spec.agents)}.",
        describe=describe or (lambda state: _observations(game, state, spec.agents)),
        controls=Controls(
            init=lambda state: jnp.zeros(spec.num_agents, jnp.int32),
            resolve=resolve,
            controllers=(lambda order, state, agent: (order.action, order.last),) * len(commands),
        ),
        advice=_ADVICE,
        feedback=lambda states, orders: _feedback(orders, named),
        draw=lambda axes, state, orders: _draw(axes, game, state, orders, named),
    )


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. The commands are plain actions and \
look at nothing: choose sequences that are right in as many starts as possible.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the sum of all agents' rewards as high as \
you can.""",
}


def _by_agent(
    env: ArrayEnv, action_names: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """A list of names for every agent, checked."""
    spec, found = env.spec, {}
    for agent, size in zip(spec.agents, spec.action_sizes, strict=True):
        given = action_names.get(agent, ()) if isinstance(action_names, Mapping) else action_names
        if len(given) != size or len(set(given)) != size:
            raise ValueError(
                f"action_names must be {size} different names for {agent}, got {list(given)}"
            )
        wrong = [word for word in given if not word.isidentifier()]
        if wrong:
            raise ValueError(f"action_names must be words of letters, digits and _, got {wrong}")
        found[agent] = list(given)
    return found


def _listed(agents: Sequence[str]) -> str:
    return ", ".join(map(quoting.named, agents))


def _meaning(word: str, named: Mapping[str, Sequence[str]]) -> str:
    having = [agent for agent, names in named.items() if word in names]
    whose = "" if len(having) == len(named) else f" (only {_listed(having)} can)"
    return f"the action {word}{whose}"


def _seen(game: Any, state: State, agents: Sequence[str]) -> dict[str, np.ndarray]:
    observed = game.get_obs(state)
    return {agent: np.asarray(observed[agent], float).ravel() for agent in agents}


def _observations(game: Any, state: State, agents: Sequence[str]) -> str:
    seen = _seen(game, state, agents)
    if max(values.size for values in seen.values()) > MAX_SHOWN_NUMBERS:
        return "(the observations are too large to be shown)"
    lines = [
        f"{quoting.named(agent)} observes {', '.join(f'{x:g}' for x in rounded(values))}"
        for agent, values in seen.items()
    ]
    return "\n".join(lines)


def _feedback(orders: Order, named: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """How often every action was asked for."""
    told = {}
    for index, (agent, names) in enumerate(named.items()):
        asked = np.asarray(orders.action)[..., index]
        shares = [f"{word} {(asked == n).mean():.0%}" for n, word in enumerate(names)]
        refused = (asked >= len(names)).mean()
        told[agent] = "was told " + ", ".join(shares)
        told[agent] += f"; actions it does not have {refused:.0%}" if refused else ""
    return told


def _draw(
    axes: Any, game: Any, state: State, orders: Order | None, named: Mapping[str, Sequence[str]]
) -> None:
    """Every agent's observation as a row of colours, and the action it was told."""
    seen = _seen(game, state, list(named))
    width = max(values.size for values in seen.values())
    rows = np.full((len(seen), width), np.nan)
    for row, values in zip(rows, seen.values(), strict=True):
        row[: values.size] = values / max(np.abs(values).max(), 1e-9)
    axes.imshow(rows, aspect="auto", cmap="coolwarm", vmin=-1, vmax=1, interpolation="nearest")
    labels = list(named)
    if orders is not None:
        told = [
            (*names, "(none)")[min(int(number), len(names))]
            for number, names in zip(np.asarray(orders.action), named.values(), strict=True)
        ]
        labels = [f"{agent}\n{word}" for agent, word in zip(labels, told, strict=True)]
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_xticks([])
