"""LEED at JAX speed: a language model's instructions, demonstrations, per-agent policies.

    import leed_jax as leed

    scenario = leed.make("mpe/simple_spread", num_agents=3)
    demos = leed.generate_demonstrations(scenario)
    result = leed.train(scenario, demos, seeds=3, progress=True)
    print(leed.evaluate(scenario, result))

Source of the method: LEED, Duan et al., arXiv 2509.14680.
"""

from leed_jax.answers import InvalidAnswerError
from leed_jax.checkpoint import load_result, save_result
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.demonstrations import load as load_demonstrations
from leed_jax.demonstrations import merge as merge_demonstrations
from leed_jax.environments.jaxmarl import as_array_env, as_multi_agent_env
from leed_jax.execution import demonstrate, make_expert
from leed_jax.generation import (
    AnswersNeeded,
    Generated,
    GenerationConfig,
    GenerationError,
    TranscriptDriftWarning,
    generate_demonstrations,
    generate_plans,
)
from leed_jax.instructions import AgentPlan, Instruction, Plan, Vocabulary
from leed_jax.optimization.devices import initialize_processes
from leed_jax.optimization.losses import METHODS, Method, Term
from leed_jax.optimization.results import Evaluation, TrainResult, evaluate
from leed_jax.optimization.sweeps import SweepResult, sweep
from leed_jax.optimization.trainer import make_train
from leed_jax.optimization.training import train
from leed_jax.rendering import render
from leed_jax.scenarios import Scenario, make, names
from leed_jax.scenarios.generic import generic_scenario
from leed_jax.types import ArrayEnv, EnvSpec, Expert, Measure, Policy, TimeStep

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "AgentPlan",
    "AnswersNeeded",
    "ArrayEnv",
    "Demonstrations",
    "EnvSpec",
    "Evaluation",
    "Expert",
    "ExpertConfig",
    "Generated",
    "GenerationConfig",
    "GenerationError",
    "Instruction",
    "InvalidAnswerError",
    "Measure",
    "Method",
    "NetworkConfig",
    "Plan",
    "Policy",
    "Scenario",
    "SweepResult",
    "Term",
    "TimeStep",
    "TrainConfig",
    "TrainResult",
    "TranscriptDriftWarning",
    "Vocabulary",
    "as_array_env",
    "as_multi_agent_env",
    "demonstrate",
    "evaluate",
    "generate_demonstrations",
    "generate_plans",
    "generic_scenario",
    "initialize_processes",
    "load_demonstrations",
    "load_result",
    "make",
    "make_expert",
    "make_train",
    "merge_demonstrations",
    "names",
    "render",
    "save_result",
    "sweep",
    "train",
]
