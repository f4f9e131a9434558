"""What is said to the model about Storm: vocabulary, task, advice, descriptions, feedback."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax.instructions import Choice, Command, Condition, Number, Vocabulary
from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.storm.games import COOPERATE, VIEW, Variant, View
from leed_jax.types import State

FACINGS = ("east", "south", "west", "north")

CONDITIONS = (
    Condition("holds_coin", "the agent holds at least one coin"),
    Condition("other_ready", "another agent holds at least one coin and is not frozen"),
    Condition("sees_cooperate_coin", "a cooperate coin lies in the agent's view"),
    Condition("sees_defect_coin", "a defect coin lies in the agent's view"),
    Condition("sees_agent", "another agent is in its view"),
    Condition("in_reach", "another agent that is not frozen is in reach of its zap"),
    Condition("frozen", "it has just interacted and is frozen"),
)


def vocabulary(agents: tuple[str, ...], horizon: int, size: int, coins: int) -> Vocabulary:
    """What an agent can be told.

    Args:
      agents: their names.
      horizon: steps of an episode.
      size: cells of a side of the board.
      coins: of each kind on the board at the start.
    """
    around = Choice(
        "coins_on_the_way",
        ("step_on", "go_around"),
        "step_on: take the shortest way, which also takes every coin it leads over; go_around: "
        "keep off all coins that it does not gather, by a detour where needed",
    )
    line = dict(low=0, high=size - 1, resolution=1)
    return Vocabulary(
        agents=agents,
        commands=(
            Command(
                "Gather",
                "go to the nearest such coin, by a shortest way, and to the next one until it "
                "holds the amount (coins are shared out: no two agents go to the same one). "
                "Finished when it holds the amount or no such coin is left, and at once if so "
                "already; not finished while frozen",
                (
                    Choice(
                        "coin",
                        ("cooperate", "defect", "any"),
                        "the kind of coin; any: whichever is nearer",
                    ),
                    Number("amount", 1, coins, 1, "coins of this kind to hold"),
                    around,
                ),
            ),
            Command(
                "Interact",
                "go by a shortest way to where the partner is in reach of its zap, facing it, and "
                "zap until they have interacted (also while they cannot yet: it then zaps without "
                "effect). Waits while there is no partner. Finished when it is frozen by an "
                "interaction",
                (
                    Choice(
                        "partner",
                        ("nearest", "paired", *agents),
                        "nearest: the nearest agent that is not frozen, whatever it is doing; "
                        "paired: of the agents that are just now told to Interact with paired, "
                        "closest two first, so that partners always come to each other; or an "
                        "agent by its name (its own name: nobody)",
                    ),
                    around,
                ),
            ),
            Command(
                "GoTo",
                "go to a cell by a shortest way; finished there",
                (
                    Number("row", **line, meaning="0 is the northern edge"),
                    Number("column", **line, meaning="0 is the western edge"),
                    around,
                ),
            ),
            Command(
                "Face",
                "stay on its cell and keep turned towards an agent; never finished",
                (
                    Choice(
                        "partner",
                        ("nearest", *agents),
                        "the nearest agent that is not frozen, or one by its name",
                    ),
                ),
            ),
            Command(
                "Explore",
                "go straight on, over coins too, and turn clockwise near a wall or where another "
                "agent stands in the way; never finished",
                (
                    Number(
                        "margin",
                        0,
                        size // 2 - 1,
                        1,
                        "cells between it and the wall at which it turns; 0: it goes up to it",
                    ),
                ),
            ),
            Command("Wait", "stay and do nothing; never finished"),
        ),
        conditions=CONDITIONS,
        horizon=horizon,
        max_instructions=8,
    )


def task(
    variant: Variant,
    *,
    num_agents: int,
    steps: int,
    size: int,
    coins: int,
    fixed: bool,
    freeze: int,
    matrix: Any,
) -> str:
    """The rules; arguments as the options of `storm.make`."""
    (row_cc, row_cd), (row_dc, row_dd) = matrix[0]
    (column_cc, column_cd), (column_dc, column_dd) = matrix[1]
    fire = {
        "storm": "the two interact if both zap in the same step, each being in reach of the other",
        "storm_2p": "the two interact if one of them zaps while the other is in its reach",
        "storm_np": "the two interact if one zaps the other",
    }[variant.registered]
    reach = "one and two cells ahead, and the cell diagonally ahead to its right"
    if variant.registered != "storm_np":
        reach += " and to its left"
    back = {
        "storm": "their coins are taken away and they go on from random cells near the corners. "
        "Taken coins come back to their cells one by one, after 3 to 9 steps or a multiple of it",
        "storm_2p": "their coins are taken away, both go on from random cells near opposite "
        "corners or edges, and all coins lie on their cells again",
        "storm_np": "their coins are taken away, they go on from random free cells, and all "
        "taken coins come back on random free cells",
    }[variant.registered]
    where = "on the same cells in every episode" if fixed else "on cells drawn anew every episode"
    pickup = "whether it holds any coins" if variant.registered == "storm_np" else "what it holds"
    if variant.registered == "storm_np":
        where = "on random cells"
    return f"""\
{num_agents} agents play a social dilemma on a board of {size} x {size} cells with walls around. \
{coins} cooperate coins and {coins} defect coins lie on it, {where}. An agent stands on a cell and \
faces east, south, west or north; in each of the {steps} steps of an episode it turns by 90 \
degrees, goes one cell forward, zaps, or stays. An agent cannot enter the cell of one that stays. \
Who enters the cell of a coin takes it and holds it, whether it wanted it or not.

A zap reaches {reach}. If both agents hold at least one coin and neither is frozen, {fire}. Both \
are then paid and frozen for {freeze} steps; after that {back}.

Payment: an agent plays cooperate with the share of cooperate coins among those it holds, and \
defect with the rest; only the shares matter, not how many. With pure strategies, of the two the \
agent with the lower number gets {row_cc:g} and the other {column_cc:g} if both cooperate; \
{row_cd:g} and {column_cd:g} if the lower-numbered alone cooperates; {row_dc:g} and {column_dc:g} \
if the other alone cooperates; {row_dd:g} and {column_dd:g} if both defect; mixed strategies are \
paid the average. Nothing else is paid. Each agent's reward is its own and the interests are \
mixed: what is good for one can be worse for both. The team's score, by which a plan is judged, \
is the sum of all agents' rewards over the episode.

What one agent observes: {VIEW} x {VIEW} cells, its own row and {VIEW - 1} ahead of it, \
{VIEW // 2} to either side, turned as it faces (coins, walls, agents, traces of zaps); {pickup}, \
which of the others hold any coins, and what frozen agents hold. It sees nothing behind itself and \
not where on the board it is, and it has no memory."""


ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation. What an agent can decide from what \
it sees (coins and agents in view, what it holds) is learnt quickly; what depends on the time or \
on how often something was done does not show and is hardly learnt. Short lists with repeat, in \
which what it holds tells where in the list it is, serve best. Among such plans choose the one \
with the highest team score, so interact often, with the coins that pay the two together most.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def describe(view: View) -> str:
    """A start in words."""
    place, facing, held, _, coins, *_ = (np.asarray(values) for values in view)
    lines = [
        f"agent_{n}: row {row}, column {column}, facing {FACINGS[facing[n]]}, holding "
        f"{held[n, 0]:.0f} cooperate and {held[n, 1]:.0f} defect coins"
        for n, (row, column) in enumerate(place)
    ]
    for name, lies in zip(("cooperate", "defect"), coins, strict=True):
        cells = ", ".join(f"({row}, {column})" for row, column in np.argwhere(lies))
        lines.append(f"{name} coins at (row, column): {cells or 'none'}")
    return "\n".join(lines)


def feedback(
    states: State, view: Callable[[State], View], agents: tuple[str, ...]
) -> dict[str, str]:
    """Averages over episodes, per agent; the states are those before every step."""
    seen = jax.jit(jax.vmap(jax.vmap(view)))(jax.tree.map(jnp.asarray, states))
    held, frozen, met = (np.asarray(x) for x in (seen.held, seen.frozen, seen.met))
    count = met.any(-1).sum(1).mean(0)
    share = held[..., COOPERATE] / np.maximum(held.sum(-1), 1)
    times = np.maximum(met.any(-1).sum((0, 1)), 1)
    mean_share = (share * met.any(-1)).sum((0, 1)) / times
    mean_held = (held.sum(-1) * met.any(-1)).sum((0, 1)) / times
    empty = ((held.sum(-1) == 0) & (frozen == 0)).mean((0, 1))
    ready = ((held.sum(-1) > 0) & (frozen == 0)).mean((0, 1))
    told = {}
    for n, agent in enumerate(agents):
        text = f"{count[n]:.1f} interactions per episode"
        if count[n] > 0:
            text += f", holding {mean_held[n]:.1f} coins, {mean_share[n]:.0%} of them cooperate"
        told[agent] = (
            f"{text}; without a coin in {empty[n]:.0%} of the steps, with coins but not yet "
            f"interacting in {ready[n]:.0%}, frozen in {1 - empty[n] - ready[n]:.0%}"
        )
    pairs = met.any(-1).sum((1, 2)).mean() / 2
    return {EVERYONE: f"{pairs:.1f} interactions of two per episode.", **told}
