"""A scenario of one's own in one file: two pickers gather apples on a grid.

    python demos/own_scenario.py

docs/your-own-scenario.md explains it step by step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import leed_jax as leed
from leed_jax.instructions import Choice, Command, Vocabulary
from leed_jax.scenarios import Controls, Program, Scenario

AGENTS, SIZE, APPLES, HORIZON = ("picker_0", "picker_1"), 6, 4, 16
MOVES = jnp.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


class State(NamedTuple):
    """All that the environment knows."""

    places: Any  # [N, 2]
    apples: Any  # [APPLES, 2]
    left: Any  # [APPLES], true until picked
    clock: Any


class Target(NamedTuple):
    """Where every picker is sent."""

    place: Any  # [N, 2]


# 1. The environment: reset and step of one instance, all agents in one array.
def time_step(state: State, reward: Any) -> leed.TimeStep:
    apples = (state.apples - state.places[:, None]) * state.left[:, None]
    other = state.places[::-1] - state.places
    seen = jnp.concatenate([apples.reshape(2, -1), other, jnp.tile(state.left, (2, 1))], -1)
    inside = state.places[:, None] + MOVES
    return leed.TimeStep(
        observation=seen.astype(jnp.float32),
        reward=reward,
        terminated=jnp.broadcast_to(~state.left.any(), (2,)),
        truncated=(state.clock >= HORIZON) & state.left.any(),
        action_mask=((inside >= 0) & (inside < SIZE)).all(-1),
        decision=jnp.ones(2, bool),
        global_state=seen.ravel().astype(jnp.float32),
    )


def reset(key: Any) -> Any:
    cells = jax.random.choice(key, SIZE * SIZE, (2 + APPLES,), replace=False)
    grid = jnp.stack(jnp.divmod(cells, SIZE), -1)
    state = State(grid[:2], grid[2:], jnp.ones(APPLES, bool), jnp.array(0))
    return state, time_step(state, jnp.zeros(2))


def step(key: Any, state: State, action: Any) -> Any:
    places = state.places + MOVES[action]
    on = (places[:, None] == state.apples).all(-1) & state.left  # [N, APPLES]
    picked = on.any(0)
    state = State(places, state.apples, state.left & ~picked, state.clock + 1)
    return state, time_step(state, jnp.full(2, picked.sum() / 2.0))


SIZES = (3 * APPLES + 2,) * 2
SPEC = leed.EnvSpec("orchard/two_pickers", AGENTS, SIZES, (5, 5), HORIZON)
PICKED = leed.Measure("apples", lambda s: (~s.left).sum() * 1.0, "last", "apples picked; 4 is best")
ENV = leed.ArrayEnv(reset, step, SPEC, (PICKED,))

# 2. What can be said: commands with parameters, each with its meaning.
WHICH = ("nearest", "nearest_free", *(f"apple_{i}" for i in range(APPLES)))
PICK = Command(
    "Pick",
    "walk to an apple and pick it; finished when it is gone",
    (Choice("which", WHICH, "nearest_free: the nearest that the other picker is not nearer to"),),
)
VOCABULARY = Vocabulary(AGENTS, (PICK, Command("Wait", "stay; never finished")), (), HORIZON)


# 3. What it means: targets for all agents together, then one controller per command.
def resolve(state: State, program: Program, memory: Any) -> Any:
    away = jnp.abs(state.places[:, None] - state.apples).sum(-1)  # [N, APPLES]
    away = jnp.where(state.left, away, 99)
    free = jnp.where(away <= away[::-1], away, away + 50)
    which = program.arguments[:, 0]
    index = jnp.stack([away.argmin(-1), free.argmin(-1), which - 2]).at[2].max(0)
    index = index[jnp.minimum(which, 2), jnp.arange(2)]
    place = jnp.where(state.left[index][:, None], state.apples[index], state.places)
    return Target(place), memory


def walk(target: Target, state: State, agent: Any) -> Any:
    way = target.place - state.places[agent]
    first = jnp.where(way[0] != 0, jnp.where(way[0] > 0, 1, 2), jnp.where(way[1] > 0, 3, 4))
    return jnp.where((way == 0).all(), 0, first), (way == 0).all()


def wait(target: Target, state: State, agent: Any) -> Any:
    return jnp.array(0), jnp.array(False)


CONTROLS = Controls(init=lambda state: (), resolve=resolve, controllers=(walk, wait))


# 4. The words around it.
def describe(state: State) -> str:
    lines = [f"picker_{i}: {x}, {y}" for i, (x, y) in enumerate(np.asarray(state.places))]
    lines += [f"apple_{i}: {x}, {y}" for i, (x, y) in enumerate(np.asarray(state.apples))]
    return "\n".join(lines)


def feedback(states: State, targets: Target) -> dict[str, str]:
    left = np.asarray(states.left)[:, -1].sum(-1).mean()
    return dict.fromkeys(AGENTS, f"{left:.1f} of {APPLES} apples were left at the end")


def draw(axes: Any, state: State, targets: Target | None) -> None:
    axes.set(xlim=(-0.5, SIZE - 0.5), ylim=(-0.5, SIZE - 0.5), aspect="equal")
    axes.plot(*np.asarray(state.apples)[np.asarray(state.left)].T, "o", color="tab:red")
    for index, place in enumerate(np.asarray(state.places)):
        axes.plot(*place, "s", color=f"C{index}", markersize=12)
        if targets is not None:
            axes.plot(*np.stack([place, targets.place[index]], -1), ":", color=f"C{index}")


SCENARIO = Scenario(
    name=SPEC.name,
    options={},
    env=ENV,
    vocabulary=VOCABULARY,
    task=(
        f"Two pickers walk on a grid of {SIZE} x {SIZE} cells, a cell per step, for {HORIZON} "
        f"steps. {APPLES} apples lie on it. A picker that enters a cell with an apple picks it; "
        "every apple pays both pickers 0.5. A picker observes where all apples and the other "
        "picker are."
    ),
    describe=describe,
    controls=CONTROLS,
    advice={"learnable": "Pick all apples early.", "return": "Pick all apples."},
    feedback=feedback,
    draw=draw,
)

if __name__ == "__main__":
    picking = leed.Instruction("Pick", {"which": "nearest_free"})
    plan = dict.fromkeys(AGENTS, leed.AgentPlan((picking,), repeat=True))  # or a model's: see below
    demos = leed.demonstrate(SCENARIO, plan, num_episodes=256)
    # demos = leed.generate_demonstrations(SCENARIO, model="openai/gpt-4o-mini")
    print(demos)
    config = leed.TrainConfig(total_steps=100_000, eval_every_steps=50_000)
    result = leed.train(SCENARIO, demos, config, seeds=1, progress=True)
    print(leed.evaluate(SCENARIO, result))
    leed.render(SCENARIO, result, "orchard.gif")
