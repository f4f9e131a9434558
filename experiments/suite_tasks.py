"""The tasks of the suites, as data, and the cell that a method on one of them is.

Budgets and network sizes per task are chosen for two CPU cores; what is not named is the package's
default, on every task. Equal budgets for all methods of a task.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.suite_cells import Cell
from leed_jax.optimization.value_based_presets import PRESETS

GRU = {"train.network.kind": "gru", "train.expert.batch_size": 8}
"""SMAX is partially observable: recurrent networks; batches of demonstrations are episodes then."""
VALUE_BASED = ("vdn", "qmix")
"""They have JaxMARL's published settings for a family of tasks instead of ours for PPO."""
VALUE_BASED_CHANGES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mpe": ("mpe", {}),
    # Width of all other methods: the published 512 would take hours on two cores.
    "smax": ("smax", {"train.network.hidden_sizes": [64]}),
    # The network of all other methods, and QMIX's as wide. Observations are large: half as many
    # steps to remember.
    "overcooked_v2": (
        "overcooked",
        {
            "train.network.kind": "mlp",
            "train.value_based.replay_steps": 50_000,
            "train.value_based.hypernetwork_width": 64,
        },
    ),
    # Nothing is published for roads. Episodes are longer and many agents take room: a batch has
    # about as many steps as the published 32 rollouts of 26. 5 seeds on either road: on two cores
    # they take longer than the 10 that other methods have on the smaller one.
    "road": (
        "mpe",
        {
            "seeds": 5,
            "train.rollout_steps": 128,
            "train.gamma": 1.0,
            "train.value_based.replay_steps": 32_768,
            "train.value_based.batch_size": 8,
        },
    ),
}
"""By family of scenarios: the family of the published settings, and what is other here."""
STORED = {"train.expert.labels": "demonstrations"}
"""Of ablations and of the search's first round: no labels for visited states."""
ROAD = {"options": {"seed": "0"}, "train.gamma": 1.0, "num_demonstrations": 64}


class Task(NamedTuple):
    """A scenario with its settings for all methods."""

    name: str
    settings: Mapping[str, Any]

    def changed(self, *changes: Mapping[str, Any]) -> "Task":
        """The task with other settings."""
        settings = dict(self.settings)
        for each in changes:
            settings |= each
        return self._replace(settings=settings)

    def cell(self, suite: str, method: str, variant: str | None = None, group: str = "") -> Cell:
        """A method on this task; in tables under its own name unless ``variant`` is given."""
        settings = {**self.settings, "methods": [method]}
        if method in VALUE_BASED:
            settings |= _value_based(self.settings)
        return Cell(suite, self.name, variant or method, settings, group)


def task(scenario: str, steps: int, seeds: int, evaluations: int = 40, **more: Any) -> Task:
    """A scenario by its name, at a budget; ``more`` are settings."""
    agents = more.get("num_agents")
    name = scenario if agents is None else f"{scenario}, N = {agents}"
    settings = {"scenario": scenario, "seeds": seeds, "train.total_steps": steps}
    settings |= {"train.eval_every_steps": max(1, steps // evaluations)}
    return Task(name, settings | more)


def spread(agents: int, steps: int, seeds: int, **more: Any) -> Task:
    """simple_spread; ``more`` are settings, the number of evaluations among them."""
    return task("mpe/simple_spread", steps, seeds, num_agents=agents, **more)


def _smax(name: str, steps: int) -> Task:
    # Rollouts of 64 steps, between the two settings that were tried. With 64 demonstrations instead
    # of the usual 256, LEED ends lower on 2s3z: 0.74 won instead of 0.79.
    return task(f"smax/{name}", steps, 5, 24, **GRU, **{"train.rollout_steps": 64})


def overcooked(layout: str, steps: int, seeds: int) -> Task:
    """A kitchen."""
    # An episode has 400 steps: 32 of them per evaluation, or evaluating would cost most of it.
    more = {"num_demonstrations": 64, "train.eval_episodes": 32}
    return task(f"overcooked_v2/{layout}", steps, seeds, 32, **more)


def road(agents: int, steps: int, seeds: int, **more: Any) -> Task:
    """The first fleet of that many vehicles; ``more`` are settings."""
    return task("road/berlin_adlershof", steps, seeds, num_agents=agents, **(ROAD | more))


MPE = {"train.gamma": 0.9, "train.gae_lambda": 1.0}
"""On MPE, all PPO methods: the discount of JaxMARL's published VDN and QMIX there, and no
bootstrapping, since the critics' bias is what hurts on simple_spread (see `search`)."""

# Not simple_speaker_listener: its agents differ, and MAPPO, VDN and QMIX share their parameters.
PAPER = (
    spread(3, 1_000_000, 5, **MPE),
    spread(6, 1_000_000, 5, **MPE),
    overcooked("cramped_room", 819_200, 5),
    overcooked("counter_circuit", 409_600, 5),
    road(16, 204_800, 10, **{"train.eval_every_steps": 8192}),
    road(64, 204_800, 5, **{"train.eval_every_steps": 8192}),
    _smax("3m", 393_216),
    _smax("2s3z", 98_304),
    task("mpe/simple_tag", 409_600, 5, 40, **MPE),
)


def _value_based(task: Mapping[str, Any]) -> dict[str, Any]:
    published, changes = VALUE_BASED_CHANGES[task["scenario"].partition("/")[0]]
    settings: dict[str, Any] = {"train.num_minibatches": 1}
    for name, value in PRESETS[published].items():
        if dataclasses.is_dataclass(value):
            nested = dataclasses.asdict(value)  # pyright: ignore[reportArgumentType]
            settings |= {f"train.{name}.{key}": item for key, item in nested.items()}
        else:
            settings[f"train.{name}"] = value
    settings |= changes
    # Places that are never filled take memory all the same.
    name = "train.value_based.replay_steps"
    return {**settings, name: min(settings[name], task["train.total_steps"])}
