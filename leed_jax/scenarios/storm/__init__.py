"""``storm/*``: agents gather coins, which are strategies, and play a matrix game by zapping.

All three that JaxMARL registers: ``storm`` (up to eight agents, both have to zap), ``storm_2p``
(two, one zap is enough) and ``storm_np`` (any number on a board of any size, coins at random
cells).

JaxMARL's own rewards are paid on request only (``jaxmarl_rewards``), because in 0.2.0 only
``storm_2p`` pays what its matrix says. ``storm`` pays two agents nothing: its loop over pairs runs
once too often and clears what it found (storm_env.py:578); of three or more agents, later pairs
overwrite what earlier ones got (storm_env.py:633). ``storm_np`` pays the zapping agent's part to
the wrong agents: to both, or to the other alone (storm.py:1184). Here every interaction pays both
agents what the matrix says.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from leed_jax.environments import jaxmarl
from leed_jax.episodes import Episodes
from leed_jax.scenarios import Judgement, Scenario
from leed_jax.scenarios.storm import controls, drawing, games, words
from leed_jax.types import Measure, State

NAMES = tuple(games.VARIANTS)

PRISONERS_DILEMMA = (((3, 0), (5, 1)), ((3, 5), (0, 1)))
SIZE, COINS = 8, 6  # of the boards that are always the same
MOST_AGENTS = 8  # JaxMARL lists the cells that so many start from


def make(
    name: str,
    *,
    num_agents: int = 2,
    num_inner_steps: int = 152,
    freeze_penalty: int = 5,
    payoff_matrix: Sequence[Sequence[Sequence[float]]] = PRISONERS_DILEMMA,
    fixed_coin_location: bool = True,
    grid_size: int = SIZE,
    num_coins: int = COINS,
    jaxmarl_rewards: bool = False,
) -> Scenario:
    """The scenario; the options but the last are JaxMARL's.

    Args:
      name: of `NAMES`.
      num_agents: 2 to 8 in ``storm``, 2 in ``storm_2p``, 2 or more in ``storm_np``.
      num_inner_steps: steps of an episode, all of them paid.
      freeze_penalty: steps that an interaction freezes both for.
      payoff_matrix: [agent's role, row, column]: what the row's and the column's player get; row
        and column 0 are cooperate coins, 1 defect coins.
      fixed_coin_location: coins lie on the same cells in every episode; not for ``storm_np``,
        which draws them in any case.
      grid_size: cells of a side; ``storm_np`` only.
      num_coins: of each kind; ``storm_np`` only.
      jaxmarl_rewards: pay what JaxMARL pays.

    Raises:
      ValueError: an option out of range, or one that the variant does not have.
    """
    variant = games.VARIANTS[name]
    matrix = np.asarray(payoff_matrix, float)
    _check(name, num_agents, num_inner_steps, freeze_penalty, matrix, grid_size, num_coins)
    own: dict[str, Any] = {"fixed_coin_location": fixed_coin_location}
    if name == "storm/storm_np":
        if not fixed_coin_location:
            raise ValueError(f"{name}: fixed_coin_location changes nothing here, leave it out")
        own = {"grid_size": grid_size, "num_coins": num_coins}
    view = games.viewer(variant, freeze_penalty)
    pays = jnp.asarray(matrix, jnp.float32)

    def payoffs(state: State) -> Any:
        return games.payoffs(view(state), pays)

    game = games.InnerEpisode(
        variant,
        num_agents=num_agents,
        steps=num_inner_steps,
        payoff=None if jaxmarl_rewards else payoffs,
        payoff_matrix=pays,
        freeze_penalty=freeze_penalty,
        **own,
    )
    env = jaxmarl.as_array_env(
        game,
        name=name,
        horizon=num_inner_steps,
        decision=lambda state: view(state).frozen == 0,
        measures=_measures(view, payoffs),
    )
    agents = env.spec.agents
    said = {
        "num_agents": num_agents,
        "num_inner_steps": num_inner_steps,
        "freeze_penalty": freeze_penalty,
        "payoff_matrix": matrix.tolist(),
        "fixed_coin_location": fixed_coin_location,
        "grid_size": grid_size,
        "num_coins": num_coins,
    }
    return Scenario(
        name=name,
        options=said | {"jaxmarl_rewards": jaxmarl_rewards},
        env=env,
        vocabulary=words.vocabulary(agents, num_inner_steps, grid_size, num_coins),
        task=words.task(
            variant,
            num_agents=num_agents,
            steps=num_inner_steps,
            size=grid_size,
            coins=num_coins,
            fixed=fixed_coin_location,
            freeze=freeze_penalty,
            matrix=matrix,
        ),
        describe=lambda state: words.describe(view(state)),
        controls=controls.controls(variant, view, grid_size),
        advice=words.ADVICE,
        feedback=lambda states, targets: words.feedback(states, view, agents),
        draw=lambda axes, state, targets: drawing.draw(axes, view(state), targets),
        prompt_options=said,
        judge=_judge,
    )


def _check(
    name: str, agents: int, steps: int, freeze: int, matrix: np.ndarray, size: int, coins: int
) -> None:
    most = {"storm/storm": MOST_AGENTS, "storm/storm_2p": 2}.get(name, size * size - 2 * coins)
    for option, value, least, highest in (
        ("num_inner_steps", steps, 1, 10_000),
        ("freeze_penalty", freeze, 1, 1_000),
        ("grid_size", size, 4, 100),
        ("num_coins", coins, 1, max(1, (size * size - 2) // 2)),
        ("num_agents", agents, 2, most),
    ):
        if not least <= value <= highest:
            raise ValueError(f"{name}: {option} must be {least} to {highest}, got {value}")
    if name != "storm/storm_np" and (size, coins) != (SIZE, COINS):
        raise ValueError(
            f"{name}: grid_size and num_coins are {SIZE} and {COINS} here; storm/storm_np has "
            f"others, got {size} and {coins}"
        )
    if matrix.shape != (2, 2, 2) or not np.isfinite(matrix).all():
        raise ValueError(
            f"{name}: payoff_matrix must be finite numbers [role, row, column] of shape "
            f"(2, 2, 2), got shape {matrix.shape}"
        )


def _measures(view: Any, payoffs: Any) -> tuple[Measure, ...]:
    def cooperating(state: State) -> Any:
        now = view(state)
        cooperates = now.held[:, games.COOPERATE] > now.held[:, games.DEFECT]
        return (now.met.any(-1) & cooperates).sum() / 2

    return (
        Measure(
            "interactions",
            lambda state: view(state).met.any(-1).sum() / 2,
            "sum",
            "interactions of two agents per episode; more are better where they pay",
        ),
        Measure(
            "cooperations",
            cooperating,
            "sum",
            "interactions per episode, each counted by the share of the two agents that held more "
            "cooperate than defect coins; as many as interactions is all",
        ),
        Measure(
            "team_payoff",
            lambda state: payoffs(state).sum(),
            "sum",
            "what the payoff matrix gives both agents of all interactions of an episode; higher "
            "is better",
        ),
    )


def _judge(episodes: Episodes) -> Judgement:
    """What the payoff matrix gives, also where learners are paid something else."""
    measured = {name: np.asarray(values) for name, values in episodes.measures.items()}
    return Judgement(measured.pop("team_payoff"), measured)
