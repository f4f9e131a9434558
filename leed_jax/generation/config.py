"""Settings of the generation: how often to ask, on what to score, and where to stop."""

import dataclasses
import math
import re
from dataclasses import dataclass

_ENVIRONMENT_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class GenerationConfig:
    """One generation of plans; every cap is kept by this package, not by the provider."""

    max_rounds: int = 2
    """Questions per conversation, those with a rejected answer included; to a team that is asked
    in groups, questions to each of them."""
    conversations: int = 1
    """Independent conversations; the best plan of all of them is kept."""
    concurrency: int = 4
    """Requests under way at the same time, at most."""
    feedback_episodes: int = 64
    """Resets on which a relational plan is scored."""
    concrete_starts: int = 4
    """Given starts of episodes, when every start gets a plan of its own."""
    stability: bool = False
    """The model is also told what errors of the others do to every agent's own return; the plan is
    executed 2 N + 1 times more for it (4 N + 1 times in teams of 3 to 8 agents)."""
    stability_share: float = 0.1
    """Share of its steps in which an agent errs there, beside acting at random altogether."""
    stability_episodes: int = 16
    """Of `feedback_episodes`, on which that is done, at most."""
    prompt_seed: int = 0
    """Draws the starts that the prompt shows and the resets of the scoring; another seed makes
    other prompts, which recorded transcripts do not answer."""
    temperature: float | None = None
    """Sampling temperature; None: the model's own, and nothing is sent."""
    seed: int | None = None
    """Sampling seed, for providers that take one; None: nothing is sent."""
    max_prompt_tokens: int = 32_000
    """A team whose first prompt is longer, by estimate (3 characters a token), is asked in the
    fewest equal groups of agents that keep to it, if the scenario has words for groups. Prompts of
    later rounds are longer by the previous answer and what became of it."""
    max_answer_tokens: int = 4096
    """An answer is cut there; a cut answer is a rejected round."""
    timeout_seconds: float = 120.0
    """A try is given up after this long, from the first byte sent to the last one received."""
    max_retries: int = 3
    """Further tries of a request that failed on its way (rate limit, broken connection)."""
    max_total_tokens: int | None = None
    """No request is sent that would, by estimate, bring all of them together above this."""
    max_cost_usd: float | None = None
    """No request is sent once this is spent; refused for a model whose price is not known."""
    max_seconds: float | None = None
    """Everything still under way is given up after this long."""
    api_base: str | None = None
    """Address of an OpenAI-compatible server, e.g. a local one."""
    api_key: str | None = dataclasses.field(default=None, repr=False)
    """Name of the environment variable that holds the key, never the key itself; None: the
    variable that the provider's own documentation names, or no key for an `api_base`."""

    def __post_init__(self) -> None:
        at_least_one = ("max_rounds", "conversations", "concurrency", "feedback_episodes")
        at_least_one += ("stability_episodes",)
        at_least_one += ("concrete_starts", "max_answer_tokens", "max_prompt_tokens")
        limits = {name: (1, 10_000) for name in at_least_one}
        limits |= {"max_answer_tokens": (1, 1_000_000), "max_prompt_tokens": (1, 100_000_000)}
        limits |= {"max_retries": (0, 20)}
        limits |= {"prompt_seed": (0, 2**31 - 1), "max_total_tokens": (1, 10**12)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
            if not whole and not (name == "max_total_tokens" and value is None):
                _refuse(name, value, f"a whole number from {low} to {high}")
        for name in ("timeout_seconds", "max_cost_usd", "max_seconds"):
            value = getattr(self, name)
            if value is None and name != "timeout_seconds":
                continue
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                _refuse(name, value, "a positive number")
        share = self.stability_share
        if not (isinstance(share, int | float) and 0 < share < 1):
            _refuse("stability_share", share, "in (0, 1)")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            _refuse("temperature", self.temperature, "from 0 to 2, or None")
        if self.api_key is not None and not _ENVIRONMENT_VARIABLE.fullmatch(self.api_key):
            # The value is not repeated: it may be a key that was put here by mistake.
            raise ValueError(
                "generation.api_key must be the name of an environment variable that holds the "
                "key, e.g. OPENAI_API_KEY; what was given is no such name"
            )


def _refuse(name: str, value: object, allowed: str) -> None:
    raise ValueError(f"generation.{name} must be {allowed}, got {value!r}")
