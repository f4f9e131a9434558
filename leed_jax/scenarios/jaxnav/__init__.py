"""``jaxnav/*``: robots with two driven wheels find their goals among walls (JaxMARL).

JaxMARL's other maps are not here: in jaxmarl 0.2.0 ``Grid-Rand`` (round robots) cannot be stepped,
``Grid-Rand-Barn`` has a single robot, and the hand-made test cases always start alike.
"""

import warnings
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from leed_jax.environments import jaxmarl
from leed_jax.scenarios import Controls, Scenario
from leed_jax.scenarios._quiet import Quiet
from leed_jax.scenarios.jaxnav import controls, routes, words
from leed_jax.scenarios.jaxnav.drawing import draw
from leed_jax.scenarios.jaxnav.words import World
from leed_jax.types import Measure, State

SPARSE, DENSE = "jaxnav/grid_rand_poly", "jaxnav/grid_rand_poly_dense"

NAMES = (SPARSE, DENSE)


def make(
    name: str,
    *,
    num_agents: int = 4,
    map_size: int = 11,
    fill: float | None = None,
    max_steps: int = 300,
    lidar_num_beams: int = 64,
) -> Scenario:
    """The scenario on random maps with square robots.

    ``grid_rand_poly`` has the map, the starts and the goals of JaxMARL's defaults.
    ``grid_rand_poly_dense`` is what Rutherford et al. train on ("No Regrets", 2024): up to 60 % of
    the cells are walls, starts and goals are centres of cells, and goals are smaller.

    Args:
      name: one of `NAMES`.
      num_agents: robots; JaxMARL's default is 2.
      map_size: cells of 1 m along a side of the square map, the walls around it included.
      fill: largest share of the inner cells that are walls; None: 0.3, or 0.6 if dense.
      max_steps: time limit; JaxMARL's default is 500.
      lidar_num_beams: distances that a robot measures around itself; JaxMARL's default, 200, takes
        25 times as long per step on a CPU.

    Raises:
      ValueError: an option is out of range.
    """
    dense = name == DENSE
    fill = (0.6 if dense else 0.3) if fill is None else fill
    _require(name, "map_size", map_size, 6, 40)
    _require(name, "fill", fill, 0.05, 0.8)
    _require(name, "max_steps", max_steps, 10, 5000)
    _require(name, "lidar_num_beams", lidar_num_beams, 4, 400)
    # JaxMARL draws starts until they fit, for ever if they never do.
    most = max(1, int((map_size - 2) ** 2 * (1 - fill) / 4))
    _require(name, "num_agents", num_agents, 1, most, f" on a map of {map_size} filled to {fill}")
    world = World(num_agents, map_size, fill, max_steps, dense, 0.3 if dense else 0.5)
    with warnings.catch_warnings():  # of goals that are clipped to the map, as by JaxMARL's default
        warnings.filterwarnings("ignore", "max_dist_to_goal", UserWarning)
        game = jaxmarl.load(
            "jaxnav",
            num_agents=num_agents,
            map_id="Grid-Rand-Poly",
            map_params={
                "map_size": (map_size, map_size),
                "fill": fill,
                "sample_test_case_type": "grid" if dense else "random",
            },
            max_steps=max_steps,
            lidar_num_beams=lidar_num_beams,
            goal_radius=world.goal_radius,
        )
    env = jaxmarl.as_array_env(
        Quiet(game),
        name=name,
        horizon=max_steps,
        terminated=lambda state: routes.stopped(state).all(),
        decision=lambda state: ~state.move_term,  # a robot that crashed stands still
        measures=MEASURES,
    )
    shown = {"num_agents": num_agents, "map_size": map_size, "fill": fill, "max_steps": max_steps}
    return Scenario(
        name=name,
        options={**shown, "lidar_num_beams": lidar_num_beams},
        env=env,
        vocabulary=words.vocabulary(env.spec.agents, world),
        task=words.task(world),
        describe=words.describe,
        controls=Controls(
            init=routes.distances_at_start,
            resolve=controls.resolve,
            controllers=(controls.drive,) * 4,
            conditions=controls.CONDITIONS,
        ),
        advice=words.ADVICE,
        feedback=lambda states, targets: words.feedback(states, env.spec.agents, world),
        draw=draw,
        prompt_options=shown,
    )


def _require(
    name: str, option: str, value: float, low: float, high: float, where: str = ""
) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: {option} must be in [{low}, {high}]{where}, got {value}")


def _share(flags: Any) -> Float[Array, ""]:
    return flags.astype(jnp.float32).mean()


def _on_the_way(state: State) -> Float[Array, ""]:
    return _share(~routes.stopped(state))


MEASURES = (
    Measure(
        "goals_reached",
        lambda state: _share(state.goal_reached),
        "last",
        "share of robots that reached their goal; 1 is best",
    ),
    Measure(
        "crashed",
        lambda state: _share(state.move_term),
        "last",
        "share of robots that hit a wall or another robot; 0 is best",
    ),
    Measure(
        "timed_out",
        _on_the_way,
        "last",
        "share of robots that neither arrived nor crashed within the time limit; 0 is best",
    ),
)
