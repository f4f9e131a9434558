"""Training: as many teams as fit into memory side by side, all of them in one compiled program."""

import math
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.loggers import Logger, MetricsWriter
from leed_jax.optimization import calls as calling
from leed_jax.optimization import (
    checks,
    memory,
    methods,
    minibatches,
    programs,
    runs,
    stages,
    trainer,
)
from leed_jax.optimization import devices as hardware
from leed_jax.optimization.members import Member, Trained, joined
from leed_jax.optimization.results import TrainResult
from leed_jax.optimization.saving import Saving
from leed_jax.types import ArrayEnv, Expert, HasArrayEnv


def train(
    scenario: HasArrayEnv | ArrayEnv,
    demos: Demonstrations | None = None,
    config: TrainConfig | None = None,
    *,
    method: str | methods.Method = "leed",
    seeds: int | Sequence[int] = 1,
    expert: Expert | None = None,
    metrics: MetricsWriter | None = None,
    progress: bool = False,
    max_memory_mb: float | None = None,
    devices: hardware.Devices = None,
    initial: TrainResult | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    keep: int = 3,
    checkpoint_every: int = 1,
    loggers: Sequence[Logger] = (),
) -> TrainResult:
    """Trains one team per seed, all of them in one compiled program.

    Where they do not fit into memory together they are trained in several calls of one program.
    Results are joined in order; `train_seconds` and the history's ``seconds`` are then sums over
    the calls, while the lines that ``metrics`` gets come call by call with the call's own seconds.

    Args:
      scenario: a scenario, or any `ArrayEnv`.
      demos: demonstrations; needed by methods with an expert term over demonstrations.
      config: settings; the defaults learn MPE on a laptop.
      method: a key of `methods.METHODS`, or a `methods.Method` of one's own.
      seeds: how many (0, 1, ...), or which.
      expert: labels visited states, where ``config.expert.labels`` asks for it; by default the
        plan behind ``demos``, where they know it and ``scenario`` has the states it reads.
      metrics: gets a line per seed and evaluation.
      progress: shows what memory is needed and how far it is, on stderr or in a notebook's cell.
      max_memory_mb: MiB per device to keep within; by default what the device or the system has
        left, less a tenth.
      devices: how many, or which, share the work (`devices.mesh` says how); by default one, and
        all that there are where several processes train together (`initialize_processes`). Their
        number changes results by rounding alone; ``config.shuffle_groups`` must allow it.
      initial: teams to go on from, one for each seed or a single one for all: their actors, and
        critics where there are any; optimisers are new.
      checkpoint_dir: gets a checkpoint after every chunk, see docs/reliability.md; None: none.
      resume: go on from the newest checkpoint there, as if the run had never stopped; from the
        beginning where there is none.
      keep: so many checkpoints, the newest; and the one with the best evaluation.
      checkpoint_every: evaluations between two checkpoints.
      loggers: get the lines of ``metrics``, too, e.g. `leed_jax.logging_backends.TensorBoard`; they
        are not closed.

    Raises:
      FileExistsError: ``checkpoint_dir`` holds something, and is not to be resumed.
      Interrupted: by Ctrl-C or SIGTERM; the running chunk was finished, and saved.
      OSError: a checkpoint could not be written.
      ValueError: what is given does not fit together, what is to be resumed is another run, or one
        team does not fit into memory; the message names the field.
    """
    config = config or TrainConfig()
    resolved = methods.resolve(method, config)
    rate = methods.learning_rate(resolved, config)
    members = [Member(s, rate, config.expert.weight) for s in seeds_of(seeds)]
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    start = None
    if initial is not None:
        start = stages.of_result(initial, env.spec, config, len(members))
    trained = train_members(
        scenario,
        demos,
        config,
        resolved,
        members,
        expert=expert,
        metrics=metrics,
        progress=progress,
        max_memory_mb=max_memory_mb,
        devices=devices,
        start=start,
        checkpointing=runs.checkpointing(
            checkpoint_dir, resume=resume, keep=keep, checkpoint_every=checkpoint_every
        ),
        loggers=loggers,
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
    method: methods.Method,
    members: Sequence[Member],
    *,
    expert: Expert | None = None,
    metrics: MetricsWriter | None = None,
    progress: bool = False,
    max_memory_mb: float | None = None,
    devices: hardware.Devices = None,
    start: stages.Start | None = None,
    checkpointing: runs.Checkpointing | None = None,
    loggers: Sequence[Logger] = (),
) -> Trained:
    """Trains all members with one compiled program, in as many calls as memory asks for.

    Args:
      scenario: as of `train`.
      demos: as of `train`.
      config: settings; its learning rate and expert weight are the members' own.
      method: from `methods.resolve`.
      members: at least one.
      expert: as of `train`.
      metrics: as of `train`.
      progress: as of `train`.
      max_memory_mb: as of `train`.
      devices: as of `train`.
      start: what the members begin with; None: random parameters.
      checkpointing: where checkpoints go; None: nowhere.
      loggers: as of `train`.

    Raises:
      FileExistsError: as of `train`.
      Interrupted: as of `train`.
      OSError: as of `train`.
      ValueError: as of `train`.
    """
    if method.before is not None:
        if start is not None:
            raise ValueError(f"initial: method {method.name!r} begins with a stage of its own")

        def stage(config: Any, method: Any, members: Any, start: Any) -> Trained:
            place = checkpointing
            if place is not None:
                name = "stage-1" if start is None else "stage-2"
                place = place._replace(folder=place.folder / name)
            return train_members(
                scenario,
                demos,
                config,
                method,
                members,
                expert=expert,
                metrics=metrics,
                progress=progress,
                max_memory_mb=max_memory_mb,
                devices=devices,
                start=start,
                checkpointing=place,
                loggers=loggers,
            )

        return stages.in_turn(stage, method, config, members)
    env = scenario if isinstance(scenario, ArrayEnv) else scenario.env
    checks.check_demonstrations(method, config, demos, env)
    expert = checks.guide(env, demos, expert) if method.uses_expert else None
    run = trainer.make_trainer(env, config, method, expert)
    used = demos if method.uses_expert else None
    job = calling.Job(
        env, run, config, method, tuple(members), minibatches.data(used, config), start
    )
    chosen = hardware.choose(devices)
    here = hardware.local_count(chosen)
    limit = hardware.smallest(memory.limit_bytes(max_memory_mb, num_devices=here))
    saving, calls, at_once = None, [], len(members)
    if checkpointing is not None:
        initial = None if start is None else start.params
        described = runs.describe(
            scenario, env.spec, config, method, members, used, expert, initial
        )
        saving = Saving(checkpointing, described)
        if saving.record is not None:
            at_once = saving.record.at_once
            shapes = programs.shapes(run, at_once, env.spec)
            count = math.ceil(len(members) / at_once)
            calls = saving.finished(shapes, config.num_updates, count)
            calls = [call._replace(params=run.finish(call.params)) for call in calls]
    plan = memory.Plan(len(members), at_once, None, limit)
    if len(calls) < plan.calls:
        if not hardware.first_process():
            metrics, progress, loggers = None, False, ()
        plan = calling.train_rest(job, calls, saving, chosen, plan, metrics, progress, loggers)
    params = [call.params for call in calls]
    if len(params) > 1:
        sizes = [min(plan.at_once, len(members) - i * plan.at_once) for i in range(len(calls))]
        params = [calling.kept(teams, size) for teams, size in zip(params, sizes, strict=True)]
    books = [call.books for call in calls]
    return Trained(
        method=method,
        spec=env.spec,
        members=tuple(members),
        params=params[0] if len(params) == 1 else jax.tree.map(_concatenated, *params),
        history=joined([each.history for each in books], books[0].evaluations),
        diverged={
            call * plan.at_once + index: why
            for call, each in enumerate(books)
            for index, why in each.diverged.items()
        },
        env_steps=config.num_updates * config.steps_per_update if method.uses_rollout else 0,
        train_seconds=sum(each.seconds for each in books),
        compile_seconds=sum(each.compile_seconds for each in books),
        peak_memory_mb=max(each.peak_memory_mb for each in books),
        plan=plan,
    )


def _concatenated(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)
