"""``coin_game/3x3``: two agents, two coins, and whose coin is whose (JaxMARL's coin game)."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.scenarios import Judgement, Scenario
from leed_jax.scenarios.coin_game import controls, drawing, words
from leed_jax.scenarios.coin_game.game import InnerEpisode, taken
from leed_jax.types import Measure, State

NAMES = ("coin_game/3x3",)

MOST_STEPS = 127  # JaxMARL counts an episode's coins in 8 bits
PAYOFFS = ((1, 1, -2), (1, 1, -2))


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
    said = {"num_inner_steps": num_inner_steps, "payoff_matrix": payoffs}
    return Scenario(
        name=name,
        options=said | {"egocentric": egocentric, "shared_rewards": shared_rewards},
        env=jaxmarl.as_array_env(game, name=name, horizon=num_inner_steps, measures=_MEASURES),
        vocabulary=words.vocabulary(num_inner_steps),
        task=words.task(num_inner_steps, payoffs),
        describe=words.describe,
        controls=controls.CONTROLS,
        advice=words.ADVICE,
        feedback=words.feedback,
        draw=drawing.draw,
        prompt_options=said,
        judge=lambda episodes: _judge(episodes, shared_rewards),
    )


def _own_share(state: State) -> Float[Array, ""]:
    own, other = taken(state)
    return own.sum() / jnp.maximum(own.sum() + other.sum(), 1.0)


def _coins(state: State) -> Float[Array, ""]:
    own, other = taken(state)
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
