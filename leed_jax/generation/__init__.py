"""The DG module: a language model's instructions become demonstrations."""

from leed_jax.generation.clients import (
    Answer,
    AnswersNeeded,
    Client,
    GenerationError,
    RoundResult,
    Usage,
)
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.generate import Generated, generate_demonstrations, generate_plans
from leed_jax.generation.preview import Preview, preview_generation
from leed_jax.generation.replay import TranscriptDriftWarning

__all__ = [
    "Answer",
    "AnswersNeeded",
    "Client",
    "Generated",
    "GenerationConfig",
    "GenerationError",
    "Preview",
    "RoundResult",
    "TranscriptDriftWarning",
    "Usage",
    "generate_demonstrations",
    "generate_plans",
    "preview_generation",
]
