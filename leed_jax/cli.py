"""The command line: arguments, and a whole run from instructions to a results folder."""

import contextlib
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from leed_jax import (
    checkpoint,
    compilation,
    demonstrations,
    execution,
    files,
    loggers,
    logging_backends,
    plan_quality,
    rendering,
    run_folder,
    run_inputs,
    scenarios,
)
from leed_jax import summary as summaries
from leed_jax.arguments import parse, scenario_options
from leed_jax.demonstrations import Demonstrations
from leed_jax.generation import GenerationError
from leed_jax.instructions import Plan
from leed_jax.optimization import devices, methods, training
from leed_jax.optimization.interruption import Interrupted
from leed_jax.optimization.results import TrainResult
from leed_jax.run_config import RunConfig
from leed_jax.scenarios import Scenario

FINISHED = b"finished"
"""What the first of several processes says about a method that need not be trained again."""


class EndedError(Exception):
    """A run that did not get to its end; says why, in words for the user."""

    def __init__(self, kind: str, message: str, status: int) -> None:
        """Of this ``kind`` of error; ``status`` is that of the process."""
        super().__init__(message)
        self.kind, self.status = kind, status


def carry_out(arguments: Sequence[str] | None = None) -> Path:
    """Parses arguments and runs; returns the results folder.

    SIGTERM ends it as Ctrl-C does.

    Raises:
      EndedError: for all that a user, a model's provider or a disk can do to a run.
    """
    try:
        with _heeding_sigterm():
            config = parse(arguments)
            compilation.announce_cache(config.compilation_cache)
            return run(config)
    except KeyboardInterrupt as error:
        said = str(error) or "stopped"
        status = getattr(error, "exit_status", 128 + signal.SIGINT)
        kind, cause = "Interrupted", error
    except OSError as error:
        kind, said, status, cause = type(error).__name__, files.in_words(error), 1, error
    except (GenerationError, ValueError, TypeError, ImportError) as error:
        kind, said, status, cause = type(error).__name__, str(error), 1, error
    notes = getattr(cause, "__notes__", [])
    raise EndedError(kind, "\n".join([said, *notes]), status) from None


@contextlib.contextmanager
def _heeding_sigterm() -> Iterator[None]:
    """SIGTERM raises; training has handlers of its own, which finish a chunk first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted("stopped by SIGTERM", number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(config: RunConfig) -> Path:
    """Carries out a run, or the rest of it; returns its results folder.

    Processes behind the first train along and write nothing; they get the folder of all results.

    Raises:
      FileExistsError: the folder holds a run with another configuration.
      Interrupted: by Ctrl-C or SIGTERM while a method was trained; a note says how to go on.
      OSError: something cannot be read or written.
      ValueError, GenerationError: what was asked for cannot be done; the message says why.
    """
    if config.distributed:
        devices.initialize_processes()
    scenario = scenarios.make(
        config.scenario, **scenario_options(config.num_agents, config.options)
    )
    for method in config.methods:
        methods.resolve(method, config.train)
    logging_backends.require(config.loggers)
    if not devices.first_process():
        return _follow(config, scenario)
    config = run_inputs.known(config, scenario.env)
    # A folder that is refused is refused before a model is asked, and made only once it answered.
    folder, described = run_folder.prepare(config)
    with run_folder.resumable(folder):
        _carry_out(config, scenario, folder, described)
    return folder


def _carry_out(
    config: RunConfig, scenario: Scenario, folder: Path, described: dict[str, Any]
) -> None:
    demos = _demonstrations(config, scenario, folder, described)
    if devices.several_processes():
        devices.share((folder / "demonstrations.npz").read_bytes())
    initial = run_inputs.initial(config, folder)
    summary = {**summaries.head(scenario, demos), "command": described["command"]}
    run_folder.drop_unfinished(folder)
    trained: dict[str, TrainResult] = {}
    for method in config.methods:
        trained[method] = _train(config, scenario, folder, method, demos, initial)
        summary["methods"][method] = summaries.of_method(scenario, trained[method])
        run_folder.write_json(folder / "summary.json", summary)
    if config.render:
        single = execution.expert_behind(scenario, demos) is not None
        _render(scenario, folder, trained, rendering.plan_of(demos) if single else None)


# ------------------------------------------------------------------------------ its steps


def _demonstrations(
    config: RunConfig, scenario: Scenario, folder: Path, described: dict[str, Any]
) -> Demonstrations:
    """From the model, a file, or an earlier call of the same run: answers are not paid for twice.

    New ones begin the folder, with ``config.json``.
    """
    path = folder / "demonstrations.npz"
    kept = run_inputs.kept_demonstrations(config, scenario.env, path)
    if kept is not None:
        return kept
    demos = run_inputs.given_demonstrations(config, scenario.env) or plan_quality.demonstrations(
        scenario,
        config.quality,
        config.model,
        num_episodes=config.num_demonstrations,
        seed=config.demonstration_seed,
        plans=config.plans,
        goal=config.goal,  # pyright: ignore[reportArgumentType]
        config=config.generation,
        progress=config.progress,
    )
    run_folder.write_json(folder / "config.json", described)
    demos.save(path)
    return demos


def _train(
    config: RunConfig,
    scenario: Scenario,
    folder: Path,
    method: str,
    demos: Demonstrations,
    initial: TrainResult | None,
) -> TrainResult:
    """Trains a method, or loads it where an earlier call finished it."""
    path = run_folder.checkpoints(folder, method)
    finished = path.with_suffix(".json").exists()
    devices.share(FINISHED if finished else str(path).encode())
    if finished:
        return checkpoint.load_result(path)
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(loggers.MetricsWriter(folder / "metrics.jsonl"))
        others = logging_backends.make(config.loggers, folder, _shown(config))
        for each in others:
            stack.callback(each.close)
        result = _trained(config, scenario, path, method, demos, initial, metrics, others)
    checkpoint.save_result(result, path)
    run_folder.discard_checkpoints(folder, method)
    return result


def _trained(
    config: RunConfig,
    scenario: Scenario,
    place: Path,
    method: str,
    demos: Demonstrations,
    initial: TrainResult | None,
    metrics: loggers.MetricsWriter | None,
    others: Sequence[loggers.Logger] = (),
) -> TrainResult:
    return training.train(
        scenario,
        demos,
        config.train,
        method=method,
        seeds=config.seeds,
        expert=execution.expert_behind(scenario, demos),
        metrics=metrics,
        progress=config.progress,
        max_memory_mb=config.max_memory_mb,
        devices=config.devices,
        initial=initial,
        checkpoint_dir=place if config.checkpoints else None,
        resume=config.checkpoints > 0,
        keep=max(1, config.checkpoints),
        loggers=others,
    )


def _shown(config: RunConfig) -> dict[str, Any]:
    """What a logger shows beside its charts; of the asking, which may hold an address, nothing."""
    said = config.as_json()
    return {name: said[name] for name in said if name != "generation"}


def _follow(config: RunConfig, scenario: Scenario) -> Path:
    """What all processes but the first do: train what it trains, and write nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "demonstrations.npz")
        path.write_bytes(devices.share(None))
        demos = demonstrations.load(path)
        initial = run_inputs.initial(config, Path(folder))
    for method in config.methods:
        place = devices.share(None)
        if place != FINISHED:
            _trained(config, scenario, Path(place.decode()), method, demos, initial, None)
    return config.results


def _render(
    scenario: Scenario, folder: Path, trained: dict[str, TrainResult], plan: Plan | None
) -> None:
    """The plan and every method's best seed from the same start, the first of a fixed seed."""
    key = rendering.start_key()
    clips = [] if plan is None else [rendering.demonstration_clip(scenario, plan, key)]
    clips += [
        rendering.policy_clip(scenario, result.policy(), key, title=method.upper())
        for method, result in trained.items()
    ]
    rendering.save_gif(scenario, clips, folder / "episode.gif")
