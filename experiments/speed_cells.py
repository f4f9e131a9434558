"""Rows of the speed benchmark: one scenario in one size, all of its programs taking turns."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments import jaxmarl_peer, speed_limits, speed_parts, speed_timing
from experiments.speed_limits import Limits
from experiments.speed_parts import Part, Variant
from experiments.speed_timing import Program
from leed_jax.config import TrainConfig
from leed_jax.optimization import methods, trainer
from leed_jax.scenarios import Scenario, make

JAXMARL = "jaxmarl"
"""Method of rows about JaxMARL's script."""
RUN = "run"
"""Part of rows about whole runs: the start and U updates in one program."""


class Cell(NamedTuple):
    """One scenario in one size."""

    scenario: str
    """As `leed_jax.make` knows it, options behind a colon."""
    num_agents: int | None
    """None: the scenario's own."""
    train: TrainConfig
    against: Path | None
    """A checkout of JaxMARL: whole runs beside its script, instead of parts."""

    def __str__(self) -> str:
        agents = "" if self.num_agents is None else f", {self.num_agents} agents"
        beside = "" if self.against is None else ", against JaxMARL"
        return f"{self.scenario}{agents}, {self.train.num_envs} environments{beside}"

    def check(self) -> None:
        """Raises ``ValueError`` where there is no peer, or its script cannot be imported."""
        if self.against is not None:
            peer = jaxmarl_peer.find(speed_parts.split(self.scenario)[0])
            jaxmarl_peer.settings(self.against, peer)
            jaxmarl_peer.load(self.against, peer)

    def made(self) -> Scenario:
        """The scenario."""
        name, options = speed_parts.split(self.scenario)
        if self.num_agents is not None:
            options["num_agents"] = self.num_agents
        return make(name, **options)


class Rounds(NamedTuple):
    """How programs are timed."""

    repeats: int
    updates: int
    """Calls of a program in a round; of whole runs, updates in one call."""
    trace: Path | None = None
    """Folder for a profile of one call of every program."""


class Timed(NamedTuple):
    """A program with what its row says beside the times."""

    program: Program
    fields: dict[str, Any]


def rows(
    cell: Cell, variants: Sequence[Variant], parts: Sequence[Part], rounds: Rounds, limits: Limits
) -> list[dict[str, Any]]:
    """Builds, times and measures; JSON.

    Args:
      cell: what is run.
      variants: the methods; the first is what the others are compared with, unless there is a peer.
      parts: which, where there is no peer.
      rounds: how they are timed.
      limits: of the machine.

    Raises:
      ValueError: what is asked for does not fit together.
    """
    scenario = cell.made()
    expert = any(
        methods.resolve(each.method, each.config(cell.train)).uses_expert for each in variants
    )
    demos = speed_parts.demonstrations(scenario) if expert else None
    if cell.against is None:
        timed = _parts(scenario, cell.train, variants, parts, demos)
    else:
        timed = _runs(scenario, cell, cell.against, variants, rounds.updates, demos)
    load = os.getloadavg()[0]
    calls = rounds.updates if cell.against is None else 1
    speed_timing.alternate([each.program for each in timed], rounds.repeats, calls)
    common = {
        "scenario": cell.scenario,
        "num_agents": scenario.env.spec.num_agents,
        "num_envs": cell.train.num_envs,
        "load": load,
    }
    found = [common | _row(each, timed, scenario, limits) for each in timed]
    if rounds.trace is not None:
        with jax.profiler.trace(str(rounds.trace)):
            for each in timed:
                with jax.profiler.TraceAnnotation(f"{each.fields['part']} {each.fields['method']}"):
                    results = each.program.call()
                    jax.block_until_ready((each.program.state, results))
    return found


def _row(each: Timed, all_of_them: Sequence[Timed], scenario: Scenario, limits: Limits) -> Any:
    part = each.fields["part"]
    first = next(other.program for other in all_of_them if other.fields["part"] == part)
    row = each.fields | speed_timing.measured(each.program, first)
    num_agents = scenario.env.spec.num_agents
    row["agent_steps_per_second"] = row["env_steps_per_second"] * num_agents
    seconds = row["seconds_median"]
    row["share_of_memory_limit"] = row["megabytes_moved"] * 1e6 / limits.bytes_per_second / seconds
    row["share_of_launch_limit"] = row["kernels"] * limits.launch_seconds / seconds
    if row.get("product"):
        row["product_gflop_per_second"] = _product(*row["product"])
        share = row["matmul_gflop_per_second"] / row["product_gflop_per_second"]
        row["share_of_product"] = share
    return row


_product = functools.lru_cache(maxsize=None)(speed_limits.matmul_gflop_per_second)


def _shape(config: TrainConfig, scenario: Scenario, method: str) -> list[int]:
    """Groups, rows and width of a hidden layer's product in a gradient step.

    Of a recurrent network, that of one step of its scan.
    """
    count = speed_parts.gradient_rows(config, scenario.env)[1]
    count //= config.rollout_steps if config.network.recurrent else 1
    sets, _ = speed_parts.parameters(config, scenario.env, method)
    return [sets, count // sets, config.network.hidden_sizes[-1]]


def _parts(
    scenario: Scenario,
    base: TrainConfig,
    variants: Sequence[Variant],
    parts: Sequence[Part],
    demos: Any,
) -> list[Timed]:
    timed = []
    if "environment" in parts:
        program = speed_parts.environment(scenario.env, base)
        timed.append(Timed(program, {"part": "environment", "method": None}))
    for each in variants:
        config = each.config(base)
        programs = speed_parts.of_method(scenario.env, config, each.method, demos, parts)
        for part, program in programs.items():
            fields: dict[str, Any] = {"part": part, "method": each.label}
            if part in ("update", "step"):
                fields["product"] = _shape(config, scenario, each.method)
            timed.append(Timed(program, fields))
    return timed


def _runs(
    scenario: Scenario,
    cell: Cell,
    checkout: Path,
    variants: Sequence[Variant],
    updates: int,
    demos: Any,
) -> list[Timed]:
    """JaxMARL's script first, then ours."""
    peer = jaxmarl_peer.find(scenario.name)
    defaults = jaxmarl_peer.settings(checkout, peer)
    task = jaxmarl_peer.task(scenario, peer, defaults, cell.train, updates)
    theirs = jaxmarl_peer.program(jaxmarl_peer.load(checkout, peer), task.theirs)
    wanted = jaxmarl_peer.gradient_rows(task.theirs)
    trained = jaxmarl_peer.parameters(theirs.call())
    timed = [Timed(theirs, _fields(f"{JAXMARL} {peer.script}", wanted, trained))]
    timed[0].fields["differences"] = peer.differences
    for each in variants:
        config = each.config(task.ours)
        found = speed_parts.gradient_rows(config, scenario.env)
        if found != wanted:
            raise ValueError(
                f"{each.label}: {found[0]} gradient steps of {found[1]} rows are no equal of "
                f"JaxMARL's {wanted[0]} of {wanted[1]}"
            )
        _, own = speed_parts.parameters(config, scenario.env, each.method)
        fields = _fields(each.label, found, own)
        fields["product"] = _shape(config, scenario, each.method)
        timed.append(Timed(_our_run(scenario, config, each.method, demos), fields))
    return timed


def _fields(method: str, gradient_rows: tuple[int, int], trained: int) -> dict[str, Any]:
    steps, count = gradient_rows
    return {
        "part": RUN,
        "method": method,
        "gradient_steps_per_update": steps,
        "rows_per_gradient_step": count,
        "parameters": trained,
    }


def _our_run(scenario: Scenario, config: TrainConfig, method: str, demos: Any) -> Program:
    """Whole runs with a new key each, the start included, as in JaxMARL's scripts."""
    train = trainer.make_train(scenario, config, method, demos)

    def run(key: Any, data: Any) -> Any:
        key, own = jax.random.split(key)
        return key, train.run(own, data)

    steps = config.num_updates * config.steps_per_update
    return speed_timing.compiled(run, jax.random.key(0), train.data, env_steps=steps)
