"""LEED at JAX speed: a language model's instructions, demonstrations, per-agent policies.

    import leed_jax as leed

    scenario = leed.make("mpe/simple_spread", num_agents=3)
    demos = leed.generate_demonstrations(scenario)
    result = leed.train(scenario, demos, seeds=3, progress=True)
    print(leed.evaluate(scenario, result))

Source of the method: LEED, Duan et al., arXiv 2509.14680.
"""

from leed_jax.answers import InvalidAnswerError
from leed_jax.checking import check
from leed_jax.checkpoint import load_result, save_result
from leed_jax.config import ExpertConfig, NetworkConfig, TrainConfig
from leed_jax.demonstrations import Demonstrations
from leed_jax.demonstrations import load as load_demonstrations
from leed_jax.demonstrations import merge as merge_demonstrations
from leed_jax.environments.jaxmarl import as_array_env, as_multi_agent_env, import_jaxmarl
from leed_jax.execution import demonstrate, make_expert
from leed_jax.generation import (
    AnswersNeeded,
    Generated,
    GenerationConfig,
    GenerationError,
    Preview,
    TranscriptDriftWarning,
    generate_demonstrations,
    generate_plans,
    preview_generation,
)
from leed_jax.imitation_feedback import ImitationReviewer
from leed_jax.instructions import AgentPlan, Instruction, Plan, Vocabulary
from leed_jax.interchange import (
    demonstrations_from_arrays,
    demonstrations_from_policy,
    load_minari,
    read_demonstrations,
    save_minari,
)
from leed_jax.mixed_teams import demonstrations_of, evaluate_policy, mixed_team, with_scripted
from leed_jax.optimization import losses
from leed_jax.optimization.devices import initialize_processes
from leed_jax.optimization.interruption import Interrupted
from leed_jax.optimization.losses import Term
from leed_jax.optimization.methods import METHODS, Method
from leed_jax.optimization.results import Diverged, Evaluation, TrainResult, evaluate
from leed_jax.optimization.sweeps import SweepResult, sweep
from leed_jax.optimization.trainer import make_train
from leed_jax.optimization.training import train
from leed_jax.plans import plan, random_plan
from leed_jax.policies import NumpyPolicy, load_policy
from leed_jax.rendering import render
from leed_jax.scenarios import Scenario, make, names
from leed_jax.scenarios.generic import generic_scenario
from leed_jax.timelines import Timeline, timeline
from leed_jax.types import ArrayEnv, EnvSpec, Expert, Measure, Policy, TimeStep
from leed_jax.wrapping import wrap

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "AgentPlan",
    "AnswersNeeded",
    "ArrayEnv",
    "Demonstrations",
    "Diverged",
    "EnvSpec",
    "Evaluation",
    "Expert",
    "ExpertConfig",
    "Generated",
    "GenerationConfig",
    "GenerationError",
    "ImitationReviewer",
    "Instruction",
    "Interrupted",
    "InvalidAnswerError",
    "Measure",
    "Method",
    "NetworkConfig",
    "NumpyPolicy",
    "Plan",
    "Policy",
    "Preview",
    "Scenario",
    "SweepResult",
    "Term",
    "TimeStep",
    "Timeline",
    "TrainConfig",
    "TrainResult",
    "TranscriptDriftWarning",
    "Vocabulary",
    "as_array_env",
    "as_multi_agent_env",
    "check",
    "demonstrate",
    "demonstrations_from_arrays",
    "demonstrations_from_policy",
    "demonstrations_of",
    "evaluate",
    "evaluate_policy",
    "generate_demonstrations",
    "generate_plans",
    "generic_scenario",
    "import_jaxmarl",
    "initialize_processes",
    "load_demonstrations",
    "load_minari",
    "load_policy",
    "load_result",
    "losses",
    "make",
    "make_expert",
    "make_train",
    "merge_demonstrations",
    "mixed_team",
    "names",
    "plan",
    "preview_generation",
    "random_plan",
    "read_demonstrations",
    "render",
    "save_minari",
    "save_result",
    "sweep",
    "timeline",
    "train",
    "with_scripted",
    "wrap",
]
