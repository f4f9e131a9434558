"""``leed generate``: instructions by a language model, and the demonstrations they make."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from leed_jax import run_folder, scenarios
from leed_jax.arguments import parse_as, scenario_options
from leed_jax.generation import GenerationConfig, generate_demonstrations
from leed_jax.generation.preview import preview_generation


@dataclass(frozen=True)
class GenerateConfig:
    """Asks for instructions, executes them, and saves the demonstrations that come of it."""

    scenario: str = "mpe/simple_spread"
    """What is to be learnt; `leed_jax.names()` lists them."""
    num_agents: int | None = None
    """Team size, where the scenario offers a choice; None: its own default."""
    options: dict[str, str] = field(default_factory=dict)
    """Further options of the scenario, e.g. `--options seed 2 reward team`."""
    model: str = "replay"
    """Who writes the instructions: replay (recorded answers), provider/name as litellm knows it,
    or files:<folder> for a chat window."""
    plans: Literal["relational", "concrete"] = "relational"
    """One plan for every start of an episode, or one for each of several given starts."""
    goal: Literal["learnable", "return"] = "learnable"
    """What the model is asked for: plans a local policy can follow, or the highest return."""
    num_demonstrations: int = 256
    """Episodes that the plan is executed in."""
    demonstration_seed: int = 0
    """Draws their starts."""
    out: Path = Path("demonstrations.npz")
    """File for the demonstrations; one that exists is not replaced."""
    transcript: Path | None = None
    """Folder to record answers to; None: leed_transcripts. For replay: where to read from."""
    dry_run: bool = False
    """Show the prompts, their tokens and the expected cost; nobody is asked."""
    progress: bool = True
    """Show progress on stderr."""
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    """Asking the language model."""

    def __post_init__(self) -> None:
        if self.num_demonstrations < 1:
            raise ValueError(
                f"num_demonstrations must be at least 1, got {self.num_demonstrations}"
            )
        if self.out.suffix != ".npz":
            raise ValueError(f"out must end in .npz, got {str(self.out)!r}")


def generate(arguments: Sequence[str]) -> None:
    """The command, with its arguments.

    Raises:
      FileExistsError: there is such a file of demonstrations.
      GenerationError, OSError, ValueError: what was asked for cannot be done.
    """
    config = parse_as(GenerateConfig, arguments, "leed generate")
    scenario = scenarios.make(
        config.scenario, **scenario_options(config.num_agents, config.options)
    )
    asked = {"plans": config.plans, "goal": config.goal, "config": config.generation}
    if config.dry_run:
        print(preview_generation(scenario, config.model, **asked))
        return
    # All that can be refused is refused before anything is paid for.
    if config.out.exists():
        raise FileExistsError(f"out: {config.out} exists; choose another name")
    run_folder.require_writable(config.out.parent)
    demos = generate_demonstrations(
        scenario,
        config.model,
        num_episodes=config.num_demonstrations,
        seed=config.demonstration_seed,
        transcript=config.transcript,
        progress=config.progress,
        **asked,
    )
    demos.save(config.out)
    print(demos, file=sys.stderr)
    print(config.out)
