"""Any language model through litellm: the only file that imports it, and only when it is asked.

litellm's own time limit holds for each read, not for the whole; its retries are silent or, with
``num_retries``, need a package that it does not install. So the limit and the retries are ours.
"""

import asyncio
import contextlib
import email.utils
import logging
import math
import os
import random
import time
from typing import Any

from leed_jax.generation import clients
from leed_jax.generation.clients import Answer, GenerationError
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.prompts import Request

FIRST_WAIT_SECONDS = 1.0
"""Before the first retry; doubled for every further one, and varied by a quarter."""
MAX_WAIT_SECONDS = 60.0
"""A server that asks for a longer pause is obeyed only so far."""
_NO_SCHEMA_WORDS = ("response_format", "json_schema", "output_format", "grammar")


def load() -> Any:
    """The litellm module, told to fetch no price list, read no ``.env`` and print nothing."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
    return litellm


class LiteLLM:
    """A `clients.Client` for ``provider/name``, or for a server at ``config.api_base``."""

    source = "litellm"

    def __init__(self, model: str, config: GenerationConfig) -> None:
        self.model = model
        self._config = config
        self._key = None if config.api_key is None else os.environ.get(config.api_key)
        self._structured = True
        self._require_key()
        self._require_price()

    def _require_key(self) -> None:
        """A missing key is found here: in a call litellm reports it as a server's error."""
        if self._config.api_key is not None:
            if not self._key:
                # The name is not repeated: it may be a key that was put there by mistake.
                raise GenerationError(
                    "the environment variable that generation.api_key names is not set"
                )
        elif self._config.api_base is None:
            report = load().validate_environment(self.model)
            missing = [name for name in report["missing_keys"] if name.endswith("_API_KEY")]
            if missing and not report["keys_in_environment"]:
                raise GenerationError(
                    f"{self.model} needs an API key: set the environment variable "
                    f"{' or '.join(missing)}; without a key use model='replay' (recorded "
                    "answers) or model='files:<folder>' (your own chat window)"
                )

    def _require_price(self) -> None:
        if self._config.max_cost_usd is None:
            return
        try:
            load().cost_per_token(model=self.model, prompt_tokens=1, completion_tokens=1)
        except Exception:  # litellm raises a bare Exception subclass of its own for unknown names
            raise GenerationError(
                f"the price of {self.model} is not known, so generation.max_cost_usd cannot be "
                "kept; leave it None and set max_total_tokens"
            ) from None

    async def ask(self, request: Request, round: int, conversation: int) -> Answer:
        """See `clients.Client`; tries that failed on their way are made again.

        Raises:
          GenerationError: refused, or failed after all retries; holds no key.
        """
        litellm = load()
        seed = self._config.seed
        # Independent conversations would all get the same answer from the same seed.
        seed = None if seed is None else seed + 10_000 * conversation + round
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            failure: Exception | None = None
            try:
                call = litellm.acompletion(**self._arguments(request, seed))
                response = await asyncio.wait_for(call, self._config.timeout_seconds)
                return self._answer(litellm, response, time.monotonic() - began)
            except Exception as error:
                failure = error
            if self._structured and _refuses_schema(litellm, failure):
                self._structured = False  # for the rest of the generation; our own check remains
                tries -= 1
                continue
            if not _retryable(litellm, failure) or tries > self._config.max_retries:
                break
            await asyncio.sleep(_pause(failure, tries))
        # Raised here, outside of ``except``: the provider's error, which may quote the key, is
        # not even kept as the context of this one.
        raise GenerationError(self._explain(failure, tries))

    async def close(self) -> None:
        """Ends the connections that litellm keeps open."""
        await load().close_litellm_async_clients()

    def _arguments(self, request: Request, seed: int | None) -> dict[str, Any]:
        config = self._config
        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in request.messages],
            "max_tokens": config.max_answer_tokens,
            "timeout": config.timeout_seconds + 5,  # ours comes first
            "max_retries": 0,
        }
        if self._structured:
            schema = {"name": "plans", "strict": True, "schema": request.schema}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        if config.temperature is not None:
            arguments["temperature"] = config.temperature
        if seed is not None:
            arguments["seed"] = seed
        if self._key:
            arguments["api_key"] = self._key
        if config.api_base is not None:
            arguments["api_base"] = config.api_base
            # Not a provider's key from the environment: the address may be anybody's.
            arguments.setdefault("api_key", "none")
        return arguments

    def _answer(self, litellm: Any, response: Any, seconds: float) -> Answer:
        counts = getattr(response, "usage", None)
        choices = getattr(response, "choices", None)
        content = choices[0].message.content if choices else None
        content = content if isinstance(content, str) else None
        reason = choices[0].finish_reason if choices else "no_choices"
        if choices and not content and reason not in ("length", "content_filter"):
            reason = "no_content"
        return Answer(
            text=clients.scrub(content, self._key) if content else "",
            model=str(getattr(response, "model", None) or self.model),
            finish_reason=reason,
            prompt_tokens=getattr(counts, "prompt_tokens", None),
            completion_tokens=getattr(counts, "completion_tokens", None),
            cost_usd=_cost(litellm, response),
            seconds=seconds,
            date=clients.now(),
        )

    def _explain(self, failure: Exception, tries: int) -> str:
        if isinstance(failure, TimeoutError):
            what = f"no whole answer within {self._config.timeout_seconds:g} s"
        else:
            what = f"{type(failure).__name__}: {failure}"
        what = clients.shorten(clients.scrub(what, self._key), 1000)
        return f"{self.model} gave no answer ({tries} {'try' if tries == 1 else 'tries'}): {what}"


def _retryable(litellm: Any, failure: Exception) -> bool:
    passing = (
        litellm.RateLimitError,
        litellm.Timeout,
        litellm.ServiceUnavailableError,
        litellm.InternalServerError,  # also refused and broken connections, and bodies not JSON
        litellm.APIConnectionError,
        TimeoutError,
    )
    # A key that is set but empty passes `_require_key`, and surfaces as a server's error.
    return isinstance(failure, passing) and "missing credentials" not in str(failure).lower()


def _refuses_schema(litellm: Any, failure: Exception) -> bool:
    if isinstance(failure, litellm.ContextWindowExceededError):
        return False
    text = str(failure).lower()
    return isinstance(failure, litellm.BadRequestError) and any(w in text for w in _NO_SCHEMA_WORDS)


def _pause(failure: Exception, tries: int) -> float:
    """Seconds until the next try: what the server asks for, else exponential."""
    headers = getattr(failure, "litellm_response_headers", None) or {}
    asked = _retry_after(headers.get("retry-after"))
    if asked is None:
        # Varied, so that conversations refused together do not come back together.
        asked = FIRST_WAIT_SECONDS * 2 ** (tries - 1) * random.uniform(0.75, 1.25)
    return min(max(asked, 0.0), MAX_WAIT_SECONDS)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from either form that the header has (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    with contextlib.suppress(ValueError, TypeError):
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    return None


def _cost(litellm: Any, response: Any) -> float | None:
    """None where litellm has no price: it raises then, by more than one class."""
    try:
        return float(litellm.completion_cost(completion_response=response))
    except Exception:
        return None
