"""``coin_game/3x3``: two agents, two coins, and whose coin is whose (JaxMARL's coin game).

An episode is one inner episode of JaxMARL's: there the next one starts inside ``step_env`` and the
step that starts it pays nothing, so here the game's own clock is set one step later and never
strikes. An episode of n steps is what JaxMARL pays for with ``num_inner_steps=n + 1``. The game
has no end of its own, every end is the time limit.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.instructions import Choice, Command, Condition, Vocabulary
from leed_jax.scenarios import EVERYONE, Controls, Judgement, Program, Scenario
from leed_jax.types import Measure, State

NAMES = ("coin_game/3x3",)

AGENTS = ("red", "blue")
COLLECT, HOLD = range(2)
OWN, OTHER, NEAREST = range(3)
SIZE = 3
# jaxmarl/environments/coin_game/coin_game.py: (row, column) steps of actions 0 to 4.
MOVES = jnp.array([[0, 1], [0, -1], [1, 0], [-1, 0], [0, 0]])
STAY = 4
MOST_STEPS = 127  # JaxMARL counts an episode's coins in 8 bits
PAYOFFS = ((1, 1, -2), (1, 1, -2))


class Target(NamedTuple):
    """Where an agent is sent."""

    cell: Int[Array, "N 2"]
    """Row and column; its own cell where it is to stay."""
    shunned: Bool[Array, "N 2"]
    """Whether it must not step on its own coin, on the other's coin."""


class InnerEpisode:
    """JaxMARL's coin game, over after ``steps`` steps, with agents named by their colour."""

    def __init__(self, steps: int, **options: Any) -> None:
        self.agents = list(AGENTS)
        self._steps = steps
        self._game = jaxmarl.load(
            "coin_game", num_inner_steps=steps + 1, num_outer_steps=1, **options
        )

    def reset(self, key: Any) -> tuple[dict[str, Any], State]:
        """Observations and state of a new start."""
        observation, state = self._game.reset(key)
        return self._by_colour(observation), state

    def step_env(self, key: Any, state: State, actions: dict[str, Any]) -> Any:
        """As JaxMARL's, but over with the last paid step, and without a reset in it."""
        chosen = {name: actions[agent] for name, agent in zip("01", AGENTS, strict=True)}
        observation, state, reward, _, info = self._game.step_env(key, state, chosen)
        done = {"__all__": state.step >= self._steps}
        return self._by_colour(observation), state, self._by_colour(reward), done, info

    def action_space(self, agent: str) -> Any:
        """Five actions: column + 1, column - 1, row + 1, row - 1, stay."""
        return self._game.action_space("01"[AGENTS.index(agent)])

    def _by_colour(self, values: dict[str, Any]) -> dict[str, Any]:
        return {agent: values[name] for name, agent in zip("01", AGENTS, strict=True)}


def make(
    name: str,
    *,
    num_inner_steps: int = 10,
    egocentric: bool = False,
    shared_rewards: bool = False,
    payoff_matrix: Sequence[Sequence[float]] = PAYOFFS,
) -> Scenario:
    """The scenario; the options are JaxMARL's.

    Args:
      name: of `NAMES`.
      num_inner_steps: steps of an episode, all of them paid.
      egocentric: observations are shifted so that the agent is in their middle.
      shared_rewards: both agents are paid the sum of their points, instead of each its own.
      payoff_matrix: for red, then for blue: points for taking a red coin, for taking a blue coin,
        and for its own coin being taken by the other.

    Raises:
      ValueError: an option out of range.
    """
    if not 1 <= num_inner_steps <= MOST_STEPS:
        allowed = f"num_inner_steps must be 1 to {MOST_STEPS}"
        raise ValueError(f"{name}: {allowed} (JaxMARL counts in 8 bits), got {num_inner_steps}")
    payoffs = [[float(value) for value in row] for row in payoff_matrix]
    if [len(row) for row in payoffs] != [3, 3] or not np.isfinite(payoffs).all():
        raise ValueError(
            f"{name}: payoff_matrix must be two rows (red, blue) of three finite numbers (for a "
            f"red coin, for a blue coin, for its coin being taken), got {payoff_matrix}"
        )
    game = InnerEpisode(
        num_inner_steps,
        egocentric=egocentric,
        shared_rewards=shared_rewards,
        payoff_matrix=payoffs,
    )
    words = {"num_inner_steps": num_inner_steps, "payoff_matrix": payoffs}
    return Scenario(
        name=name,
        options=words | {"egocentric": egocentric, "shared_rewards": shared_rewards},
        env=jaxmarl.as_array_env(game, name=name, horizon=num_inner_steps, measures=_MEASURES),
        vocabulary=vocabulary(num_inner_steps),
        task=_task(num_inner_steps, payoffs),
        describe=_describe,
        controls=Controls(
            init=lambda state: (),
            resolve=resolve,
            controllers=(_collect, _step),
            conditions=tuple(condition for _, condition in _CONDITIONS),
        ),
        advice=_ADVICE,
        feedback=_feedback,
        draw=_draw,
        prompt_options=words,
        judge=lambda episodes: _judge(episodes, shared_rewards),
    )


# ------------------------------------------------------------------------------- in words


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
        conditions=tuple(condition for condition, _ in _CONDITIONS),
        horizon=horizon,
        max_instructions=8,
    )


def _task(steps: int, payoffs: list[list[float]]) -> str:
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


_ADVICE = {
    "learnable": """\
Your plan is executed to produce demonstrations. One small policy per agent is then trained to do \
what its agent did, seeing only that agent's own observation, without a memory. What follows from \
where agents and coins lie now is learnt quickly; what depends on the time, on how often \
something was done or on who took which coin before does not show in the observation and is not \
learnt. Among plans of the first kind choose the one with the highest team score.""",
    "return": """\
Your plan is executed to produce demonstrations. Make the team's score as high as you can.""",
}


def _describe(state: State) -> str:
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


def _feedback(states: State, targets: Target) -> dict[str, str]:
    """Averages over episodes, per agent; the states are those before every step."""
    own, other = _taken(states)  # [K, S, N]
    places, own_coins, other_coins = (np.asarray(values) for values in _split(states))
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


# ----------------------------------------------------------------------------- in numbers


def _split(state: State) -> tuple[Int[Array, "*b N 2"], Int[Array, "*b N 2"], Int[Array, "*b N 2"]]:
    """Cells of the agents, of their own coins, and of the other's coins, as each sees it."""
    coins = jnp.stack([state.red_coin_pos, state.blue_coin_pos], -2)
    return jnp.stack([state.red_pos, state.blue_pos], -2), coins, coins[..., ::-1, :]


def _taken(state: State) -> tuple[Float[Array, "*b N"], Float[Array, "*b N"]]:
    """Coins of its own colour and of the other's that each agent has taken so far."""
    own, other = (state.red_coop, state.blue_coop), (state.red_defect, state.blue_defect)
    count = [jnp.stack(kind, -2).astype(jnp.float32).sum(-1) for kind in (own, other)]
    return count[0], count[1]


def _own_share(state: State) -> Float[Array, ""]:
    own, other = _taken(state)
    return own.sum() / jnp.maximum(own.sum() + other.sum(), 1.0)


def _coins(state: State) -> Float[Array, ""]:
    own, other = _taken(state)
    return own.sum() + other.sum()


_MEASURES = (
    Measure(
        "own_coin_share",
        _own_share,
        "last",
        "share of the coins taken that had the taker's own colour, 0 if none was taken; 1 is best",
    ),
    Measure(
        "coins_taken",
        _coins,
        "last",
        "coins of both colours taken by both agents per episode; higher is better",
    ),
)


def _judge(episodes: Episodes, shared_rewards: bool) -> Judgement:
    """The sum of both agents' points, which agents with shared rewards are both paid."""
    returns = np.asarray(episodes.returns)
    score = returns[:, 0] if shared_rewards else returns.sum(-1)
    return Judgement(score, {m.meaning: np.asarray(episodes.measures[m.name]) for m in _MEASURES})


def _steps_between(one: Int[Array, "... 2"], other: Int[Array, "... 2"]) -> Int[Array, "..."]:
    """On three joined cells a coordinate is equal or one step away."""
    return (one != other).sum(-1)


def resolve(state: State, program: Program, memory: Any) -> tuple[Target, Any]:
    """Where every agent is sent; coins are followed when they move."""
    places, own, other = _split(state)
    first, second = program.arguments[:, 0], program.arguments[:, 1]
    nearer = _steps_between(places, other) < _steps_between(places, own)
    to_other = (first == OTHER) | ((first == NEAREST) & nearer)
    apart = (own != other).any(-1)
    around = (second == 2) | ((second == 1) & apart)
    collecting = (program.op == COLLECT)[:, None]
    cell = jnp.where(collecting, jnp.where(to_other[:, None], other, own), places)
    second_coin = jnp.stack([around & to_other, around & ~to_other], -1)
    left = jnp.stack([(first == 1) | (first == 3), (first == 2) | (first == 3)], -1)
    return Target(cell, jnp.where(collecting, second_coin, left)), memory


def _step(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """The move that ends nearest to the target's cell and on no shunned coin, staying if equal."""
    places, own, other = _split(state)
    reached = (places[agent] + MOVES) % SIZE
    coins = jnp.stack([own[agent], other[agent]])
    on_coin = (reached[:, None] == coins).all(-1)
    price = 2 * _steps_between(reached, target.cell)
    price = price + jnp.where((on_coin & target.shunned).any(-1), 100, 0)
    return price.at[STAY].add(-1).argmin(), jnp.array(False)


def _collect(target: Target, state: State, agent: Int[Array, ""]) -> tuple[Any, Any]:
    """As `_step`; finished with the step onto the coin."""
    action, _ = _step(target, state, agent)
    places, _, _ = _split(state)
    return action, ((places[agent] + MOVES[action]) % SIZE == target.cell).all()


def _other_last(state: State, kind: int) -> Bool[Array, "N"]:
    """The other agent's last coin was of this kind: 1 its own colour, 2 not."""
    return state.last_state[::-1] == kind


def _other_nearer(state: State, target: Target) -> Bool[Array, "N"]:
    places, own, _ = _split(state)
    return _steps_between(places[::-1], own) < _steps_between(places, own)


def _other_coin_nearer(state: State, target: Target) -> Bool[Array, "N"]:
    places, own, other = _split(state)
    return _steps_between(places, other) < _steps_between(places, own)


def _coins_together(state: State, target: Target) -> Bool[Array, "N"]:
    _, own, other = _split(state)
    return (own == other).all(-1)


_CONDITIONS = (
    (
        Condition(
            "other_took_mine_last",
            "the last coin the other agent took (in any earlier step) was of this agent's colour",
        ),
        lambda state, target: _other_last(state, 2),
    ),
    (
        Condition(
            "other_took_its_own_last",
            "the last coin the other agent took (in any earlier step) was of its own colour",
        ),
        lambda state, target: _other_last(state, 1),
    ),
    (
        Condition(
            "other_nearer_to_my_coin",
            "the other agent is fewer steps away from the coin of this agent's colour",
        ),
        _other_nearer,
    ),
    (
        Condition("other_coin_nearer", "the other's coin is fewer steps away than the agent's own"),
        _other_coin_nearer,
    ),
    (Condition("coins_together", "both coins lie on one cell"), _coins_together),
)


def _draw(axes: Any, state: State, targets: Target | None) -> None:
    """Coins as discs, agents as squares with a letter, target cells framed in their colour."""
    from matplotlib.patches import Circle, Rectangle

    colours = ("tab:red", "tab:blue")
    places, coins, _ = (np.asarray(values) for values in _split(state))
    edge = SIZE - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), xticks=[], yticks=[], aspect="equal")
    for line in range(1, SIZE):
        axes.axhline(line - 0.5, color="0.8", linewidth=1, zorder=0)
        axes.axvline(line - 0.5, color="0.8", linewidth=1, zorder=0)
    for n, colour in enumerate(colours):
        side = 0.2 if n else -0.2  # two on a cell are both seen
        row, column = coins[n]
        axes.add_patch(Circle((column + side, row + 0.22), 0.15, color=colour, zorder=2))
        row, column = places[n]
        corner = (column + side - 0.17, row - 0.4)
        axes.add_patch(Rectangle(corner, 0.34, 0.34, color=colour, alpha=0.8, zorder=2))
        middle = {"ha": "center", "va": "center", "weight": "bold", "zorder": 3}
        axes.text(column + side, row - 0.23, AGENTS[n][0].upper(), color="white", **middle)
        if targets is not None:
            to_row, to_column = np.asarray(targets.cell)[n]
            corner = (to_column - 0.47 + 0.03 * n, to_row - 0.47 + 0.03 * n)
            size = 0.94 - 0.06 * n
            frame = Rectangle(corner, size, size, fill=False, edgecolor=colour, linestyle="--")
            axes.add_patch(frame)
