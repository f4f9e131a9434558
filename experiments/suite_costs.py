"""What a cell will cost, from rates that were measured: those of all ``summary.json`` there are."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from experiments import suite_cells
from experiments.suite_cells import Cell
from leed_jax.cli import RunConfig

RECORDS = Path("docs/results")
"""Results folders and published cells."""
COSTS = {
    "ippo": 1.0,
    "ippo_shared": 1.0,
    "mappo": 1.2,
    "mappo_per_agent": 1.2,
    "leed": 1.4,
    "kickstarting": 1.4,
    "dapg": 1.4,
    "bc_ppo": 1.2,
    "dagger": 1.4,
    "bc": 0.5,
    "vdn": 5.0,
    "qmix": 8.0,
}
"""Seconds beside IPPO's for as many steps, where a method was not measured on a task; rough."""
UNKNOWN = 5_000.0
"""Environment steps of all seeds per second of IPPO where nothing like the task was measured."""
EVALUATION = 0.25
"""Seconds of a step of an evaluation beside those of a training step: no gradients."""
HORIZONS: Mapping[str, int] = {"mpe": 26, "smax": 101, "overcooked_v2": 400, "road": 400}
"""Steps of an episode, about."""
START = 45.0
"""Seconds of a cell before its first step: imports, demonstrations, compilation."""


class Rate(NamedTuple):
    """A measurement."""

    scenario: str
    num_agents: int
    """1 where the scenario gives no choice."""
    recurrent: bool
    method: str
    steps_per_second: float
    """Environment steps of all seeds."""


def rates(folder: Path = RECORDS) -> list[Rate]:
    """Everything that was measured below a folder; of methods that take steps."""
    found = []
    for path in sorted(folder.rglob("summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        kept = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        scenario, train = summary["scenario"], kept["config"]["train"]
        agents = (scenario.get("options") or {}).get("num_agents") or 1
        recurrent = train["network"]["kind"] == "gru"
        for method, entry in summary["methods"].items():
            rate = entry.get("env_steps_per_second")
            if rate:
                found.append(Rate(scenario["name"], agents, recurrent, method, rate))
    return found


def seconds(cell: Cell, known: Iterable[Rate]) -> float:
    """How long a cell will take; far from exact, as the rates are of a shared machine."""
    config = suite_cells.config(cell)
    train = config.train
    steps = config.seeds * train.total_steps
    evaluations = 1 + train.num_updates / train.updates_per_eval
    rate = _rate(config, list(known))
    horizon = HORIZONS.get(config.scenario.partition("/")[0], 100)
    episodes = 1 if config.scenario.startswith("road/") else train.eval_episodes
    watched = config.seeds * evaluations * episodes * horizon
    return START + (steps + EVALUATION * watched) / rate


def _rate(config: RunConfig, known: list[Rate]) -> float:
    """Of the same method on the same task, or from the nearest that is known."""
    method, agents = config.methods[0], config.num_agents or 1
    recurrent = config.train.network.recurrent
    same = [r for r in known if r.scenario == config.scenario and r.recurrent == recurrent]
    exact = [r for r in same if r.method == method and r.num_agents == agents]
    if exact:
        # The machine was shared: the fastest time is the one least disturbed.
        return max(r.steps_per_second for r in exact)
    family = config.scenario.partition("/")[0]
    near = same or [
        r for r in known if r.scenario.partition("/")[0] == family and r.recurrent == recurrent
    ]
    if not near:
        return UNKNOWN / _cost(method)
    distance = min(abs(r.num_agents - agents) for r in near)
    nearest = [r for r in near if abs(r.num_agents - agents) == distance]
    # Seconds of a step grow with the number of agents.
    of_ippo = max(r.steps_per_second * _cost(r.method) * r.num_agents / agents for r in nearest)
    return of_ippo / _cost(method)


def _cost(method: str) -> float:
    return COSTS.get(method, max(COSTS.values()))


def hours(value: float) -> str:
    """Seconds for people: 42 s, 3.5 min, 2.1 h."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 5400 else f"{value / 3600:.1f} h"
