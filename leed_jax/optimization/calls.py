"""The calls of the compiled programs that train all members, one call after the other."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from leed_jax import console, displays, loggers
from leed_jax.config import TrainConfig
from leed_jax.optimization import devices as hardware
from leed_jax.optimization import (
    interruption,
    loop,
    memory,
    methods,
    minibatches,
    programs,
    stages,
)
from leed_jax.optimization.books import Books
from leed_jax.optimization.members import Member, starts
from leed_jax.optimization.saving import Call, Saving, Unfinished
from leed_jax.optimization.states import Trainer
from leed_jax.types import ArrayEnv


class Job(NamedTuple):
    """What is to be trained."""

    env: ArrayEnv
    run: Trainer
    config: TrainConfig
    method: methods.Method
    members: tuple[Member, ...]
    material: minibatches.Data
    start: stages.Start | None


def train_rest(
    job: Job,
    calls: list[Call],
    saving: Saving | None,
    chosen: Any,
    plan: memory.Plan,
    metrics: loggers.MetricsWriter | None,
    progress: bool,
    listeners: Sequence[loggers.Logger] = (),
) -> memory.Plan:
    """Trains what is not finished, call by call.

    Args:
      job: what is to be trained.
      calls: that are finished; the others are appended.
      saving: where checkpoints go; None: nowhere.
      chosen: devices, from `devices.choose`.
      plan: members and how many of them to train at once, with the limit of memory.
      metrics: gets a line per member and evaluation.
      progress: shows the memory that is needed and how far the training is.
      listeners: get every line of the metrics, too.

    Returns:
      How many were trained at once.

    Raises:
      Interrupted: a signal was heard; the running chunk was finished, and saved.
      OSError: a checkpoint could not be written.
      ValueError: one team does not fit into memory, or not as many as the checkpoints are of.
    """
    config, members = job.config, job.members
    shared = memory.size(job.material)

    def compiled_for(count: int) -> tuple[programs.Programs, int | None]:
        mesh = hardware.mesh(chosen, count, config)
        made, needed = programs.compiled(job.env, job.run, config, count, job.material, mesh)
        if saving is not None and needed is not None:
            needed += memory.checkpoint_bytes(memory.argument_bytes(made.advance) - shared)
        return made, needed

    began = time.perf_counter()
    compiled, found = memory.fit(
        compiled_for,
        plan.at_once,
        plan.limit,
        shared=shared,
        advice=memory.advice(config, replays=job.method.mixer is not None),
    )
    if saving is not None and saving.record is not None and found.at_once < plan.at_once:
        raise ValueError(
            f"the run in {saving.settings.folder} trains {plan.at_once} teams side by side, of "
            f"which {found.at_once} fit into memory now; raise max_memory_mb, or make room"
        )
    plan = found._replace(members=len(members))
    layout = hardware.layout(compiled.mesh)
    material = hardware.place(job.material, layout.everywhere)
    if saving is not None:
        saving.begin(plan.at_once, metrics)
    compile_seconds = time.perf_counter() - began
    if progress:
        displays.say(str(plan))
    named = len({member[1:] for member in members}) > 1
    planned = config.num_updates * config.steps_per_update
    label = f"{job.method.name} on {job.env.spec.name}"
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(interruption.Watch())
        bar = console.TrainingProgress(label, planned * plan.calls, enabled=progress)
        stack.enter_context(bar)
        for number in range(len(calls), plan.calls):
            began = time.perf_counter()
            state, alive, done, books = _begun(job, compiled, plan, number, saving)
            jax.block_until_ready(state)
            books.compile_seconds += compile_seconds + time.perf_counter() - began
            compile_seconds = 0.0
            part = members[number * plan.at_once : (number + 1) * plan.at_once]
            if saving is not None and saving.record is not None and metrics is not None:
                begun = saving.record.position
                books.repair(metrics, part, job.method.name, named=named, begun=begun)
            store = None if saving is None else stack.enter_context(saving.store(number))
            books_of = loop.Loop(
                config,
                job.method,
                part,
                compiled,
                metrics,
                named=named,
                offset=planned * number,
                since=(0, 0.0) if job.start is None else (job.start.updates, job.start.seconds),
                books=books,
                store=store,
                listeners=listeners,
            )
            state = books_of.run(state, alive, material, bar, watch, done)
            if store is not None:
                store.wait()
            books.peak_memory_mb = max(books.peak_memory_mb, memory.peak_mb())
            teams = job.run.finish(hardware.whole(state.params, compiled.mesh))
            if plan.calls > 1:
                teams = kept(teams, len(part))
            calls.append(Call(books, teams))
            # The next call needs the room.
            del state, teams
    return plan


def _begun(
    job: Job, compiled: programs.Programs, plan: memory.Plan, number: int, saving: Saving | None
) -> Unfinished:
    """Where a call, counted from 0, begins: at a checkpoint, or at the start."""
    layout = hardware.layout(compiled.mesh)
    if saving is not None:
        shardings = None if compiled.mesh is None else compiled.advance.input_shardings[0][:2]
        found = saving.unfinished(shardings)
        if found is not None:
            return found
    first, last = number * plan.at_once, len(job.members) - 1
    # Filled up to what the program was compiled for; what becomes of these is dropped.
    indices = [min(first + i, last) for i in range(plan.at_once)]
    filled = [job.members[index] for index in indices]
    state = compiled.init(*hardware.place(starts(filled, job.env.spec), layout.members))
    if job.start is not None:
        state = stages.begin(state, job.start, indices, layout.members)
    alive = hardware.place(jnp.ones(plan.at_once, bool), layout.everywhere)
    return Unfinished(state, alive, 0, Books() if saving is None else saving.first_books())


def kept(params: Any, count: int) -> Any:
    """The first so many members' parameters, on the host."""
    return jax.tree.map(lambda leaf: leaf[:count], jax.device_get(params))
