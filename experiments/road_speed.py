"""How fast the road environment steps, and what compiling it costs.

    python -m experiments.road_speed
    python -m experiments.road_speed --network luxembourg_full --num-agents 1000 --num-envs 4 16 64

Timed are whole programs of so many steps of all environments, the best of several runs: traffic
alone (`RoadEnvironment.move`), and `RoadEnvironment.step` with observations, rewards and masks.
Actions are random, uniform over the slots of a node; a slot that is not possible counts as the
fastest way on. Nothing is reset in between. Agent-steps count every vehicle in every step.
"""

import dataclasses
import datetime
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
import tyro

from leed_jax import files, summary
from leed_jax.environments import road as environment
from leed_jax.environments.road import RoadEnvironment
from leed_jax.road import fleets, shipped

PARTS = ("traffic only", "full step")
COMPILATIONS = 2
"""Of the programs whose times to compile are compared; the best counts."""


@dataclass(frozen=True)
class SpeedConfig:
    """What is timed."""

    network: str = "luxembourg_full"
    """A shipped network."""
    num_agents: int = 1000
    """N; all depart at once, so that all are on the roads."""
    num_envs: tuple[int, ...] = (16,)
    """Environments side by side; several are timed one after the other."""
    steps: int = 100
    """Steps of a program."""
    repeats: int = 7
    """Runs of every program; the best one counts."""
    small_team: int = 8
    """Number of agents that the time to compile is compared with."""
    kind: str = "hub3"
    """Of the fleet, see `leed_jax.road.fleets.make`."""
    json: Path | None = None
    """File for the raw results."""


def make_environment(config: SpeedConfig, num_agents: int) -> RoadEnvironment:
    """The network with that many cars, each a vehicle of its own."""
    network = shipped.load(config.network)
    fleet = fleets.make(network, config.kind, num_agents, demand=num_agents, window=0.0)
    return environment.make(network, fleet, kind=config.kind)


def compiled(
    env: RoadEnvironment, num_envs: int, steps: int, *, full: bool
) -> tuple[Any, float, Any]:
    """A program of ``steps`` random steps, the seconds to trace and compile it, and its arguments.

    Args:
      env: the environment.
      num_envs: side by side.
      steps: of all of them.
      full: with observations, rewards and masks.
    """
    begin = jax.vmap(env.scored_reset)(jax.random.split(jax.random.key(0), num_envs))
    shape = (num_envs, env.fleet.num_vehicles)

    def run(state: Any, time_step: Any, key: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            state, time_step = carry
            action = jax.random.randint(key, shape, 0, env.network.out_degree)
            if full:
                # Carried along, so that the compiler cannot leave it out.
                state, time_step = jax.vmap(env.step, (None, 0, 0))(key, state, action)
            else:
                state, _ = jax.vmap(env.move)(state, action)
            return (state, time_step), None

        return jax.lax.scan(step, (state, time_step), jax.random.split(key, steps))[0]

    arguments = (*begin, jax.random.key(1))
    began = time.perf_counter()
    program = jax.jit(run).lower(*arguments).compile()
    return program, time.perf_counter() - began, arguments


def measure(config: SpeedConfig) -> dict[str, Any]:
    """All timings; JSON.

    Raises:
      ValueError: a number out of range, or an unknown network or kind of fleet.
    """
    for name in ("steps", "repeats", "small_team"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if not config.num_envs or min(config.num_envs) < 1:
        raise ValueError(f"num_envs must be one or more positive numbers, got {config.num_envs}")
    env = make_environment(config, config.num_agents)
    rows = [_row(env, config, num_envs, part) for num_envs in config.num_envs for part in PARTS]
    teams = make_environment(config, config.small_team), env
    small, large = (_compile_seconds(team, config) for team in teams)
    return {
        "device": summary.device(),
        "cores": os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "command": summary.command(),
        "versions": summary.versions(),
        "config": {**dataclasses.asdict(config), "json": None},
        "links": env.network.num_links,
        "rows": rows,
        "compile": {
            "num_envs": config.num_envs[0],
            "small_team_seconds": small,
            "seconds": large,
            "ratio": large / small,
        },
    }


def _compile_seconds(env: RoadEnvironment, config: SpeedConfig) -> float:
    return min(
        compiled(env, config.num_envs[0], config.steps, full=True)[1] for _ in range(COMPILATIONS)
    )


def _row(env: RoadEnvironment, config: SpeedConfig, num_envs: int, part: str) -> dict[str, Any]:
    program, compile_seconds, arguments = compiled(
        env, num_envs, config.steps, full=part == PARTS[1]
    )
    state = jax.block_until_ready(program(*arguments))[0]
    seconds = []
    load = os.getloadavg()[0]
    for _ in range(config.repeats):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - began)
    agent_steps = num_envs * env.fleet.num_vehicles * config.steps
    return {
        "part": part,
        "num_envs": num_envs,
        "agent_steps_per_second": agent_steps / min(seconds),
        "compile_seconds": compile_seconds,
        "seconds": seconds,
        "load": load,
        "still_under_way": float(np.mean(np.asarray(state.traffic.arrival) < 0)),
    }


def table(result: dict[str, Any]) -> rich.table.Table:
    """A line per program."""
    config, times = result["config"], result["compile"]
    shown = rich.table.Table(
        "program",
        *("environments", "million agent-steps/s", "compile \\[s]", "load", "under way at the end"),
        title=f"{config['network']} ({result['links']} links), {config['num_agents']} agents, "
        f"{result['device']}",
        caption="full step: with observations, rewards and masks. Random actions, uniform over "
        "slots; an impossible one counts as the fastest way on. "
        f"Best of {config['repeats']}. Load: of the machine, {result['cores']} cores. "
        f"Compiling the full step takes {times['small_team_seconds']:.1f} s for "
        f"{config['small_team']} agents and {times['seconds']:.1f} s for {config['num_agents']}: "
        f"ratio {times['ratio']:.2f}.",
    )
    for row in result["rows"]:
        shown.add_row(
            row["part"],
            str(row["num_envs"]),
            f"{row['agent_steps_per_second'] / 1e6:.2f}",
            f"{row['compile_seconds']:.1f}",
            f"{row['load']:.1f}",
            f"{row['still_under_way']:.0%}",
        )
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Measures, prints, and writes the raw results."""
    config = tyro.cli(SpeedConfig, args=arguments, prog="python -m experiments.road_speed")
    # A program kept from an earlier run would be no measurement of compiling.
    jax.config.update("jax_enable_compilation_cache", False)
    result = measure(config)
    rich.console.Console().print(table(result))
    if config.json is not None:
        files.write(config.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
