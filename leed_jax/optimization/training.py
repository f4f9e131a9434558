"""Training: as many teams as fit into memory side by side, all of them in one compiled program."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from leed_jax import loggers
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import loop, losses, memory, minibatches, trainer
from leed_jax.optimization.members import Member, Trained, joined, starts
from leed_jax.optimization.results import TrainResult
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv


def train(
    scenario: HasArrayEnv | ArrayEnv,
    demos: Demonstrations | None = None,
    config: TrainConfig | None = None,
    *,
    method: str | losses.Method = "leed",
    seeds: int | Sequence[int] = 1,
    expert: Expert | None = None,
    metrics: loggers.MetricsWriter | None = None,
    progress: bool = False,
    max_memory_mb: float | None = None,
    devices: hardware.Devices = None,
) -> TrainResult:
    """Trains one team per seed, all of them in one compiled program.

    Where they do not fit into memory together they are trained in several calls of one program.
    Results are joined in order; `train_seconds` and the history's ``seconds`` are then sums over
    the calls, while the lines that ``metrics`` gets come call by call with the call's own seconds.

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      config: settings; the defaults learn MPE on a laptop.
      method: a key of `losses.METHODS`, or a `losses.Method` of one's own.
      seeds: how many (0, 1, ...), or which.
      expert: labels visited states, where ``config.expert.labels`` asks for it.
      metrics: gets a line per seed and evaluation.
      progress: shows what memory is needed and a progress bar on stderr.
      max_memory_mb: MiB per device to keep within; by default what the device or the system has
        left, less a tenth.
      devices: how many, or which, share the work (`devices.mesh` says how); by default one, and
        all that there are where several processes train together (`initialize_processes`). Their
        number changes results by rounding alone; ``config.shuffle_groups`` must allow it.

    Raises:
      ValueError: what is given does not fit together, or one team does not fit into memory; the
        message names the field.
    """
    config = config or TrainConfig()
    members = [Member(s, config.learning_rate, config.expert.weight) for s in seeds_of(seeds)]
    trained = train_members(
        scenario,
        demos,
        config,
        losses.resolve(method, config),
        members,
        expert=expert,
        metrics=metrics,
        progress=progress,
        max_memory_mb=max_memory_mb,
        devices=devices,
    )
    return trained.result(config, range(len(members)))


def seeds_of(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Which seeds are meant: so many from 0 on, or those.

    Raises:
      ValueError: none at all.
    """
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen:
        raise ValueError("seeds must be at least 1, or name at least one")
    return chosen


def train_members(
    scenario: HasArrayEnv | ArrayEnv,
    demos: Demonstrations | None,
    config: TrainConfig,
    method: losses.Method,
    members: Sequence[Member],
    *,
    expert: Expert | None = None,
    metrics: loggers.MetricsWriter | None = None,
    progress: bool = False,
    max_memory_mb: float | None = None,
    devices: hardware.Devices = None,
) -> Trained:
    """Trains all members with one compiled program, in as many calls as memory asks for.

    Args:
      scenario: as of `train`.
      demos: as of `train`.
      config: settings; its learning rate and expert weight are the members' own.
      method: from `losses.resolve`.
      members: at least one.
      expert: as of `train`.
      metrics: as of `train`.
      progress: as of `train`.
      max_memory_mb: as of `train`.
      devices: as of `train`.

    Raises:
      ValueError: as of `train`.
    """
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    trainer.check_demonstrations(method, config, demos, env)
    run = trainer.make_trainer(env, config, method, expert)
    material = minibatches.data(demos if method.uses_expert else None, config)
    chosen = hardware.choose(devices)
    here = hardware.local_count(chosen)
    limit = hardware.smallest(memory.limit_bytes(max_memory_mb, num_devices=here))
    if not hardware.first_process():
        metrics, progress = None, False
    began = time.perf_counter()
    programs, plan = memory.fit(
        lambda count: loop.compiled(
            env, run, config, count, material, hardware.mesh(chosen, count, config)
        ),
        len(members),
        limit,
        shared=memory.size(material),
        advice=memory.advice(config),
    )
    compile_seconds = time.perf_counter() - began
    if progress:
        print(plan, file=sys.stderr)
    layout = hardware.layout(programs.mesh)
    material = hardware.place(material, layout.everywhere)
    named = len({member[1:] for member in members}) > 1
    planned = config.num_updates * config.steps_per_update
    label = f"{method.name} on {env.spec.name}"
    loops, params = [], []
    with loggers.TrainingProgress(label, planned * plan.calls, enabled=progress) as bar:
        for first in range(0, len(members), plan.at_once):
            part = tuple(members[first : first + plan.at_once])
            began = time.perf_counter()
            # Filled up to what the program was compiled for; what becomes of these is dropped.
            filled = [*part, *[part[-1]] * (plan.at_once - len(part))]
            state = programs.init(*hardware.place(starts(filled, env.spec), layout.members))
            jax.block_until_ready(state)
            compile_seconds += time.perf_counter() - began
            books = loop.Loop(
                config,
                method,
                part,
                programs,
                metrics,
                named=named,
                offset=planned * len(loops),
            )
            alive = hardware.place(jnp.ones(plan.at_once, bool), layout.everywhere)
            state = books.run(state, alive, material, bar)
            loops.append(books)
            teams = hardware.whole(state.params, programs.mesh)
            params.append(teams if plan.calls == 1 else _kept(teams, len(part)))
            # The next call needs the room.
            del state, teams
    return Trained(
        method=method,
        spec=env.spec,
        members=tuple(members),
        params=params[0] if len(params) == 1 else jax.tree.map(_concatenated, *params),
        history=joined([each.history for each in loops], loops[0].evaluations),
        diverged={
            call * plan.at_once + index: update
            for call, each in enumerate(loops)
            for index, update in each.diverged.items()
        },
        env_steps=loops[0].env_steps(config.num_updates),
        train_seconds=sum(each.seconds for each in loops),
        compile_seconds=compile_seconds,
        peak_memory_mb=memory.peak_mb(),
        plan=plan,
    )


def _kept(params: Any, count: int) -> Any:
    """The first so many members' parameters, on the host."""
    return jax.tree.map(lambda leaf: leaf[:count], jax.device_get(params))


def _concatenated(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
