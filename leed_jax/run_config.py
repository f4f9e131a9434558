"""`RunConfig`: Python, notebook and shell share one configuration of a whole run."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from leed_jax import loggers as listeners
from leed_jax import plan_quality
from leed_jax.config import TrainConfig
from leed_jax.generation import GenerationConfig
from leed_jax.optimization import methods

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = tyro.extras.literal_type_from_choices(tuple(methods.METHODS))
ASKING = (
    *("model", "plans", "goal", "quality", "num_demonstrations", "demonstration_seed"),
    "generation",
)
"""Settings that say how demonstrations are made, and nothing where they are in a file."""
FILES = ("demonstrations", "initial")
"""Settings that name a file, the SHA-256 of which has a setting of its own."""
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
    methods: tuple[MethodName, ...] = ("leed", "ippo")
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
    quality: str = "best"
    """Which plan is executed: best (of the model's), first (of its first valid answer),
    corrupted:<share> of its instructions, random:<seed>, or adversarial (the worst of many random
    ones)."""
    num_demonstrations: int = 256
    """Episodes that the plan is executed in."""
    demonstration_seed: int = 0
    """Draws their starts."""
    demonstrations: Path | None = None
    """File or folder of demonstrations to learn from instead of asking a model: a `.npz` of this
    package or of plain arrays, a run's folder, or a Minari dataset; docs/everyday.md says more."""
    demonstrations_sha256: str | None = None
    """Of what is in it, so that nobody goes on with, or repeats, a run with other demonstrations;
    None: whatever is there, and config.json tells it."""
    initial: Path | None = None
    """Saved team that every method goes on from instead of from random parameters, such as
    results/my-run/checkpoints/bc: one team for all seeds, or one for each."""
    initial_sha256: str | None = None
    """Of its parameters' file; likewise."""
    results: Path = Path("results")
    """Folder of all results."""
    name: str | None = None
    """Of this run's folder; None: scenario and time. A folder that exists is resumed if its
    configuration is the same, and refused otherwise."""
    checkpoints: int = 3
    """Kept while a method trains, the newest so many and the best, to go on from after an
    interruption; 0: none, and an interrupted method begins anew."""
    render: bool = True
    """Draw an episode of the plan and of every method as an animation at the end."""
    progress: bool = True
    """Show progress on stderr: time left, speed, and a table of the last evaluation."""
    loggers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Who gets the lines of metrics.jsonl besides that file; needs the extra `logging`. Weights &
    Biases heeds WANDB_MODE=offline, WANDB_PROJECT and WANDB_ENTITY."""
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
        if self.checkpoints < 0:
            raise ValueError(f"checkpoints must be at least 0, got {self.checkpoints}")
        plan_quality.check(self.quality)
        self._check_files()
        if not self.methods or len(set(self.methods)) != len(self.methods):
            raise ValueError(f"methods must be one or more, each once, got {self.methods}")
        if len(set(self.loggers)) != len(self.loggers):
            raise ValueError(f"loggers must be named once each, got {self.loggers}")
        if "num_agents" in self.options:
            raise ValueError("options must not hold num_agents: it is a setting of its own")
        if self.name is not None and not NAME.fullmatch(self.name):
            raise ValueError(
                "name must be letters, digits, '.', '_', '+', '-', at most 100, starting with a "
                f"letter or digit, got {self.name!r}"
            )

    def as_json(self) -> dict[str, Any]:
        """The form that `settings.from_json` reads."""
        fields = dataclasses.asdict(self)
        paths = {name: str(value) for name, value in fields.items() if isinstance(value, Path)}
        return listeners.jsonable({**fields, **paths})

    def _check_files(self) -> None:
        for name in FILES:
            if getattr(self, name) is None and getattr(self, f"{name}_sha256") is not None:
                raise ValueError(f"{name}_sha256 needs {name}, the file that it is of")
        if self.demonstrations is None:
            return
        usual = type(self)()
        for name in ASKING:
            if getattr(self, name) != getattr(usual, name):
                raise ValueError(
                    f"{name} says how a model is asked for demonstrations, and these come from "
                    f"{self.demonstrations}: leave {name} or demonstrations out"
                )
