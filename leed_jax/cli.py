"""The command line: `RunConfig`, and a whole run from instructions to a results folder.

Python, notebook and shell share one configuration. What a run leaves in ``results/<name>`` is an
interface that other programs read; its keys stay.
"""

import dataclasses
import datetime
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from leed_jax import checkpoint, demonstrations, files, loggers, rendering, scenarios
from leed_jax import summary as summaries
from leed_jax.config import TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.execution import make_expert
from leed_jax.generation import GenerationConfig, generate_demonstrations
from leed_jax.instructions import Plan
from leed_jax.optimization import devices, losses, training
from leed_jax.optimization.results import TrainResult
from leed_jax.scenarios import Scenario

LISTS = ("methods", "train.network.hidden_sizes")
"""Options whose ``a=b,c`` spelling is a list."""
FINISHED = b"finished"
"""What the first of several processes says about a method that need not be trained again."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")


@dataclass(frozen=True)
class RunConfig:
    """Instructions, demonstrations, training of every method, and a report."""

    scenario: str = "mpe/simple_spread"
    """What is to be learnt; `leed_jax.names()` lists them."""
    num_agents: int | None = None
    """Team size, where the scenario offers a choice; None: its own default."""
    options: dict[str, str] = field(default_factory=dict)
    """Further options of the scenario, e.g. `--options seed 2 reward team`."""
    methods: tuple[Literal["leed", "ippo", "ippo_shared", "bc"], ...] = ("leed", "ippo")
    """Trained one after the other with the same network and settings."""
    seeds: int = 3
    """Teams per method, trained side by side in one program."""
    model: str = "replay"
    """Who writes the instructions: replay (recorded answers), provider/name as litellm knows it,
    or files:<folder> for a chat window."""
    plans: Literal["relational", "concrete"] = "relational"
    """One plan for every start of an episode, or one for each of several given starts."""
    goal: str = "learnable"
    """What the model is asked for: learnable, or return."""
    num_demonstrations: int = 256
    """Episodes that the plan is executed in."""
    demonstration_seed: int = 0
    """Draws their starts."""
    results: Path = Path("results")
    """Folder of all results."""
    name: str | None = None
    """Of this run's folder; None: scenario and time. A folder that exists is resumed if its
    configuration is the same, and refused otherwise."""
    progress: bool = True
    """Show progress on stderr."""
    max_memory_mb: float | None = None
    """MiB per device that training may take; seeds that do not fit together are trained in turn.
    None: what the device or the system has left, less a tenth."""
    devices: int | None = None
    """Devices that train together; `train.shuffle_groups` must allow it. None: one, or with
    `distributed` all of all hosts."""
    distributed: bool = False
    """This process is one of several that train together, started by SLURM, mpirun, Kubernetes or
    on a TPU pod; the first of them writes the results."""
    compilation_cache: str | None = None
    """Folder for compiled programs, or off; None: $JAX_COMPILATION_CACHE_DIR, else
    ~/.cache/leed_jax/compilation."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Asking the language model."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods must be one or more, each once, got {self.methods}")
        if "num_agents" in self.options:
            raise ValueError("options must not hold num_agents: it is a setting of its own")
        if self.name is not None and not NAME.fullmatch(self.name):
            raise ValueError(
                "name must be letters, digits, '.', '_', '+', '-', starting with a letter or "
                f"digit, got {self.name!r}"
            )


def parse(arguments: Sequence[str] | None = None) -> RunConfig:
    """`RunConfig` from ``--a.b value`` and, for users of Hydra, ``a.b=value`` arguments.

    Options of the scenario are spelled ``--options seed 2`` or ``options.seed=2``.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    spelled: list[str] = []
    options: list[str] = []
    for argument in given:
        key, found, value = argument.partition("=")
        if found and key.startswith("options."):
            options += [key.removeprefix("options."), value]
        elif found and re.fullmatch(r"[A-Za-z_][\w.]*", key):
            spelled += [f"--{key}", *(value.split(",") if key in LISTS else [value])]
        else:
            spelled.append(argument)
    if options:
        spelled += ["--options", *options]
    return tyro.cli(RunConfig, args=spelled, prog="python -m experiments.run")


def run(config: RunConfig) -> Path:
    """Carries out a run; returns its results folder.

    Processes behind the first train along and write nothing; they get the folder of all results.

    Raises:
      FileExistsError: the folder holds a run with another configuration.
      ValueError, GenerationError: what was asked for cannot be done; the message says why.
    """
    if config.distributed:
        devices.initialize_processes()
    scenario = scenarios.make(
        config.scenario, **scenario_options(config.num_agents, config.options)
    )
    for method in config.methods:
        losses.resolve(method, config.train)
    if not devices.first_process():
        return _follow(config, scenario)
    # A folder that is refused is refused before a model is asked, and made only once it answered.
    folder, described = _folder(config)
    demos = _demonstrations(config, scenario, folder, described)
    if devices.several_processes():
        devices.share((folder / "demonstrations.npz").read_bytes())
    plan = rendering.plan_of(demos) if config.plans == "relational" else None
    summary = summaries.head(scenario, demos)
    _drop_unfinished(folder)
    trained: dict[str, TrainResult] = {}
    for method in config.methods:
        trained[method] = _train(config, scenario, folder, method, demos, plan)
        summary["methods"][method] = summaries.of_method(scenario, trained[method])
        _write_json(folder / "summary.json", summary)
    _render(scenario, folder, trained, plan)
    return folder


# ------------------------------------------------------------------------------ its steps


def scenario_options(num_agents: int | None, options: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments of `scenarios.make`; what reads as JSON, e.g. a number, is what it says."""

    def read(value: str) -> Any:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value

    values = {name: read(value) for name, value in options.items()}
    return values if num_agents is None else {"num_agents": num_agents, **values}


def _demonstrations(
    config: RunConfig, scenario: Scenario, folder: Path, described: dict[str, Any]
) -> Demonstrations:
    """From the model, or from an earlier call of the same run: answers are not paid for twice.

    New ones begin the folder, with ``config.json``.
    """
    path = folder / "demonstrations.npz"
    if path.exists():
        found = demonstrations.load(path)
        demonstrations.require_match(found, scenario.env.spec)
        return found
    demos = generate_demonstrations(
        scenario,
        config.model,
        num_episodes=config.num_demonstrations,
        seed=config.demonstration_seed,
        plans=config.plans,
        goal=config.goal,  # pyright: ignore[reportArgumentType]
        config=config.generation,
        progress=config.progress,
    )
    _write_json(folder / "config.json", described)
    demos.save(path)
    return demos


def _train(
    config: RunConfig,
    scenario: Scenario,
    folder: Path,
    method: str,
    demos: Demonstrations,
    plan: Plan | None,
) -> TrainResult:
    """Trains a method, or loads it where an earlier call finished it."""
    path = folder / "checkpoints" / method
    finished = path.with_suffix(".json").exists()
    devices.share(FINISHED if finished else b"to be trained")
    if finished:
        return checkpoint.load_result(path)
    with loggers.MetricsWriter(folder / "metrics.jsonl") as metrics:
        result = _trained(config, scenario, method, demos, plan, metrics)
    checkpoint.save_result(result, path)
    return result


def _trained(
    config: RunConfig,
    scenario: Scenario,
    method: str,
    demos: Demonstrations,
    plan: Plan | None,
    metrics: loggers.MetricsWriter | None,
) -> TrainResult:
    return training.train(
        scenario,
        demos,
        config.train,
        method=method,
        seeds=config.seeds,
        expert=None if plan is None else make_expert(scenario, plan),
        metrics=metrics,
        progress=config.progress,
        max_memory_mb=config.max_memory_mb,
        devices=config.devices,
    )


def _follow(config: RunConfig, scenario: Scenario) -> Path:
    """What all processes but the first do: train what it trains, and write nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "demonstrations.npz")
        path.write_bytes(devices.share(None))
        demos = demonstrations.load(path)
    plan = rendering.plan_of(demos) if config.plans == "relational" else None
    for method in config.methods:
        if devices.share(None) != FINISHED:
            _trained(config, scenario, method, demos, plan, None)
    return config.results


def _drop_unfinished(folder: Path) -> None:
    """Takes the lines of methods that were cut off out of ``metrics.jsonl``."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    finished = {card.stem for card in (folder / "checkpoints").glob("*.json")}
    lines = [line for line in loggers.read_metrics(path) if line["method"] in finished]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    files.write(path, text)


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


def _folder(config: RunConfig) -> tuple[Path, dict[str, Any]]:
    """The results folder and what its ``config.json`` says; resumed only with the same settings."""
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = config.name or f"{config.scenario.replace('/', '-')}_{now}"
    folder = config.results / name
    described = {
        "config": loggers.jsonable({**dataclasses.asdict(config), "results": str(config.results)}),
        "command": summaries.command(),
        "versions": summaries.versions(),
        "device": summaries.device(),
        "git_revision": summaries.git_revision(),
    }
    path = folder / "config.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        ignored = ("progress", "results", "name", "max_memory_mb", "compilation_cache")
        ignored += ("devices", "distributed")
        differing = [
            key
            for key, value in described["config"].items()
            if key not in ignored and found["config"].get(key) != value
        ]
        if differing:
            raise FileExistsError(
                f"{folder} holds a run whose {', '.join(differing)} is another; choose another "
                "--name, or the same configuration to resume it"
            )
        return folder, found
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} exists and is no run; choose another --name")
    return folder, described


def _write_json(path: Path, content: Any) -> None:
    files.write(path, json.dumps(loggers.jsonable(content), indent=1) + "\n")
