"""The coin game in words: vocabulary, task, starts, and what happened."""

import numpy as np

from leed_jax.instructions import Choice, Command, Condition, Vocabulary
from leed_jax.scenarios import EVERYONE
from leed_jax.scenarios.coin_game.controls import Target
from leed_jax.scenarios.coin_game.game import AGENTS, SIZE, split, taken
from leed_jax.types import State

CONDITIONS = (
    Condition(
        "other_took_mine_last",
        "the last coin the other agent took (in any earlier step) was of this agent's colour",
    ),
    Condition(
        "other_took_its_own_last",
        "the last coin the other agent took (in any earlier step) was of its own colour",
    ),
    Condition(
        "other_nearer_to_my_coin",
        "the other agent is fewer steps away from the coin of this agent's colour",
    ),
    Condition("other_coin_nearer", "the other's coin is fewer steps away than the agent's own"),
    Condition("coins_together", "both coins lie on one cell"),
)


def vocabulary(horizon: int) -> Vocabulary:
    """What an agent can be told."""
    return Vocabulary(
        agents=AGENTS,
        commands=(
            Command(
                "Collect",
                "go to a coin by a shortest way and take it; if the other agent takes it before, "
                "go on to where it lies then. Of two shortest ways the one that changes the "
                "column first. Finished with the step that takes the coin (the last instruction "
                "of a list then goes on with the next coin)",
                (
                    Choice(
                        "coin",
                        ("own", "other", "nearest"),
                        "own: the coin of the agent's own colour, wherever it lies now; other: "
                        "the coin of the other agent's colour; nearest: the one fewer steps away "
                        "now, its own if they are equally far",
                    ),
                    Choice(
                        "second_coin",
                        ("ignore", "go_around", "never_take"),
                        "what to do about the coin it is not sent to. ignore: step on it where it "
                        "lies on the way, which takes it too; go_around: choose another shortest "
                        "way (there always is one), and only where both coins lie on one cell "
                        "take both; never_take: go around it, and where both coins lie on one "
                        "cell wait next to it",
                    ),
                ),
            ),
            Command(
                "Hold",
                "stay on its cell, which takes a coin that lies there or appears there; "
                "never finished",
                (
                    Choice(
                        "leave_for",
                        ("no_coin", "own", "other", "both"),
                        "step aside to a cell without such a coin, instead of taking it, when a "
                        "coin of this kind lies on the agent's cell: none, the one of its own "
                        "colour, the one of the other's colour, any",
                    ),
                ),
            ),
        ),
        conditions=CONDITIONS,
        horizon=horizon,
        max_instructions=8,
    )


def task(steps: int, payoffs: list[list[float]]) -> str:
    """The rules, for episodes of so many steps and what `make` was told of payoffs."""
    (red_red, red_blue, red_lost), (blue_red, blue_blue, blue_lost) = payoffs
    return f"""\
Two agents, red and blue, move on a grid of {SIZE} x {SIZE} cells whose edges are joined (from \
row 2 on to row 0, from column 2 on to column 0), so that every cell is at most 2 steps away. One \
red and one blue coin lie on it. In each step both agents at the same time move to one of the four \
neighbouring cells or stay. They may be on the same cell and do not hinder each other; coins may \
lie on one cell, too. Who ends a step on a coin's cell (also by staying there) takes the coin; it \
then lies, from the next step on, on a cell drawn uniformly from all {SIZE * SIZE}. If both come \
to it in the same step, both count as having taken it. An episode has {steps} steps; every start \
draws the cells of agents and coins uniformly.

Points per coin: red gets {red_red:+g} for taking a red coin and {red_blue:+g} for taking a blue \
one, blue gets {blue_red:+g} for a red coin and {blue_blue:+g} for a blue one. When blue takes a \
red coin, red gets {red_lost:+g} on top; when red takes a blue coin, blue gets {blue_lost:+g}. \
Each agent's points are its own and the interests are mixed: what is good for one can be worse \
for both. The team's score, by which a plan is judged, is the sum of both agents' points over the \
episode.

What one agent observes: the four cells of itself, the other agent, the coin of its own colour \
and the coin of the other's colour. It observes neither the time nor who took which coin before."""


ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation, without a memory. What follows from \
where agents and coins lie now is learnt quickly; what depends on the time, on how often \
something was done or on who took which coin before does not show in the observation and is not \
learnt. Among plans of the first kind choose the one with the highest team score.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def describe(state: State) -> str:
    """The four cells."""
    lines = [
        f"{what}: row {int(row)}, column {int(column)}"
        for what, (row, column) in (
            ("red", np.asarray(state.red_pos)),
            ("blue", np.asarray(state.blue_pos)),
            ("red coin", np.asarray(state.red_coin_pos)),
            ("blue coin", np.asarray(state.blue_coin_pos)),
        )
    ]
    return "\n".join(lines)


def feedback(states: State, targets: Target) -> dict[str, str]:
    """Averages over episodes, per agent; the states are those before every step."""
    own, other = taken(states)  # [K, S, N]
    places, own_coins, other_coins = (np.asarray(values) for values in split(states))
    count = own[:, -1].mean(0), other[:, -1].mean(0)
    idle = (np.diff(places, axis=1) == 0).all(-1).mean((0, 1)) if places.shape[1] > 1 else [0, 0]
    together = (own_coins == other_coins).all(-1)[..., 0].mean()
    told = {
        agent: (
            f"took {count[0][n]:.1f} coins of its own colour and {count[1][n]:.1f} of the other's "
            f"per episode; the other took {count[1][1 - n]:.1f} of its colour; it stayed on its "
            f"cell in {idle[n]:.0%} of the steps"
        )
        for n, agent in enumerate(AGENTS)
    }
    team = (
        f"Coins are counted without the last step of each episode; both lay on one cell in "
        f"{together:.0%} of the steps."
    )
    return {EVERYONE: team, **told}
