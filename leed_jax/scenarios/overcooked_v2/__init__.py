"""``overcooked_v2/<layout>``: two cooks make soup (JaxMARL's Overcooked V2).

Layouts and rules: Gessler et al., OvercookedV2 (arXiv 2503.17821); the first five layouts: Carroll
et al., On the Utility of Learning about Humans for Human-AI Coordination (arXiv 1910.05789).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.scenarios import Judgement, Scenario
from leed_jax.scenarios.overcooked_v2 import controls, drawing, feedback, kitchen, vocabulary, words
from leed_jax.types import Measure

LAYOUTS: dict[str, int | None] = {
    "cramped_room": None,
    "coord_ring": None,
    "counter_circuit": None,
    "asymm_advantages": None,
    "forced_coord": None,
    "grounded_coord_simple": 2,
}
"""How many cells a cook sees in every direction; None: the whole kitchen."""
NAMES = tuple(f"overcooked_v2/{layout}" for layout in LAYOUTS)


class KitchenState(NamedTuple):
    """JaxMARL's state, and what the last step was paid."""

    game: Any
    points: Float[Array, ""]
    """Of each cook, without shaping: 20 per soup handed in."""


class _Paid:
    """JaxMARL's environment with the points of the last step kept in its state."""

    def __init__(self, game: Any) -> None:
        self.game, self.agents, self.action_space = game, game.agents, game.action_space

    def reset(self, key: Any) -> tuple[Any, KitchenState]:
        observation, state = self.game.reset(key)
        return observation, KitchenState(state, jnp.zeros(()))

    def step_env(self, key: Any, state: KitchenState, actions: dict[str, Any]) -> tuple[Any, ...]:
        observation, game, reward, done, info = self.game.step_env(key, state.game, actions)
        return observation, KitchenState(game, reward[self.agents[0]]), reward, done, info


def make(name: str, *, shaping: float = 0.0) -> Scenario:
    """The scenario on one of JaxMARL's layouts, the cooks at random places in their rooms.

    Args:
      name: ``overcooked_v2/<layout>``.
      shaping: this times JaxMARL's shaped reward (3 for a useful ingredient in a pot, 3 for a
        useful plate, 5 for taking a soup out) is added to what the cooks are paid. Plans and
        measures are about deliveries whatever it is.

    Raises:
      ValueError: ``shaping`` is negative or not finite.
    """
    if not 0 <= shaping < np.inf:
        raise ValueError(f"{name}: shaping must be a number of at least 0, got {shaping}")
    layout = name.removeprefix("overcooked_v2/")
    view = LAYOUTS[layout]
    game = jaxmarl.load(
        "overcooked_v2",
        layout=layout,
        max_steps=words.HORIZON,
        random_agent_positions=True,
        agent_view_size=view,
    )
    where = kitchen.of_layout(game.layout)

    def shaped(paid: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
        return {agent: paid[agent] + shaping * info["shaped_reward"][agent] for agent in paid}

    env = jaxmarl.as_array_env(
        _Paid(game),
        name=name,
        horizon=words.HORIZON,
        reward=shaped if shaping else None,
        measures=_measures(where),
    )
    agents = env.spec.agents
    homes = {
        agent: int(where.rooms[where.cell_at[y, x]])
        for agent, (x, y) in zip(agents, game.layout.agent_positions, strict=True)
    }
    told = vocabulary.make(where, agents, words.HORIZON)
    return Scenario(
        name=name,
        options={"shaping": shaping},
        env=env,
        vocabulary=told,
        task=words.task(where, homes, view),
        describe=lambda state: words.describe(where, agents, state),
        controls=controls.make(where, told, view),
        advice=words.advice(view),
        feedback=lambda states, targets: feedback.told(where, agents, states, targets),
        draw=lambda axes, state, targets: drawing.draw(where, axes, state.game, targets),
        prompt_options={},
        judge=_judge,
    )


def _measures(where: kitchen.Kitchen) -> tuple[Measure, ...]:
    def started(state: KitchenState) -> Float[Array, ""]:
        tiles = state.game.grid
        pots = tiles[..., 0] == kitchen.POT
        # The clock runs from the step in which the third ingredient goes in.
        return (pots & (tiles[..., 2] == words.COOKING_STEPS - 1)).sum().astype(jnp.float32)

    def pressed(state: KitchenState) -> Float[Array, ""]:
        tiles = state.game.grid
        lit = (tiles[..., 0] == kitchen.BUTTON) & (tiles[..., 2] == words.LIGHT_STEPS - 1)
        return lit.sum().astype(jnp.float32)

    def delivered(state: KitchenState) -> Float[Array, ""]:
        paid = state.points + words.BUTTON_COST * pressed(state)
        return jnp.round(paid / words.DELIVERY_REWARD)

    found = (
        Measure("deliveries", delivered, "sum", "soups handed in per episode; many are good"),
        Measure("soups_started", started, "sum", "pots filled per episode; many are good"),
        Measure(
            "points",
            lambda state: state.points,
            "sum",
            f"reward of each cook per episode without shaping, {words.DELIVERY_REWARD} per soup "
            "handed in; high is good",
        ),
    )
    if not (where.kind == kitchen.BUTTON).any():
        return found
    cost = Measure("button_presses", pressed, "sum", "presses of the button per episode, each "
                   f"costs {words.BUTTON_COST} points; few are good")  # fmt: skip
    return (*found, cost)


def _judge(played: Episodes) -> Judgement:
    """A plan is worth its points, whatever the learners are paid for."""
    measures = played.measures
    return Judgement(
        np.asarray(measures["points"]),
        {
            "soups handed in per episode": np.asarray(measures["deliveries"]),
            "pots filled per episode": np.asarray(measures["soups_started"]),
        },
    )
