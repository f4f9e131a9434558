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
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai", "httpx", "httpcore")
_NO_SCHEMA_WORDS = ("response_format", "json_schema", "output_format", "grammar")


def load() -> Any:
    """The litellm module, told to fetch no price list, read no ``.env`` and print nothing."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.suppress_debug_info = True
    # Its debug output holds requests with their headers, and goes to stdout.
    litellm.set_verbose = False  # pyright: ignore[reportPrivateImportUsage]
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def price(model: str, prompt_tokens: int, answer_tokens: int) -> float | None:
    """USD for so many tokens, by litellm's own list; None where it does not know the model."""
    return _cost_by_name(load(), model, prompt_tokens, answer_tokens)


class LiteLLM:
    """A `clients.Client` for ``provider/name``, or for a server at ``config.api_base``."""

    source = "litellm"

    def __init__(self, model: str, config: GenerationConfig) -> None:
        self.model = model
        self._config = config
        # A line break behind it, as files have, would be an illegal header that an error quotes.
        self._key = None if config.api_key is None else os.environ.get(config.api_key, "").strip()
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
        failures: list[str] = []
        while True:
            tries += 1
            failure: Exception | None = None
            try:
                call = litellm.acompletion(**self._arguments(request, seed))
                response = await asyncio.wait_for(call, self._config.timeout_seconds)
                answer = self._answer(litellm, request, response, time.monotonic() - began)
                return answer._replace(failures=tuple(failures))
            except Exception as error:
                failure = error
            if self._structured and _refuses_schema(litellm, failure):
                self._structured = False  # for the rest of the generation; our own check remains
                tries -= 1
                failures.append(f"{clients.now()} {self._words(failure)}; asked without the schema")
                continue
            if not _retryable(litellm, failure) or tries > self._config.max_retries:
                failures.append(f"{clients.now()} {self._words(failure)}; given up")
                break
            pause = _pause(failure, tries)
            failures.append(
                f"{clients.now()} {self._words(failure)}; tried again after {pause:.1f} s"
            )
            await asyncio.sleep(pause)
        # Raised here, outside of ``except``: the provider's error, which may quote the key, is
        # not even kept as the context of this one.
        raise GenerationError(self._explain(failure, tries), failures=failures)

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

    def _answer(self, litellm: Any, request: Request, response: Any, seconds: float) -> Answer:
        counts = getattr(response, "usage", None)
        choices = getattr(response, "choices", None)
        content = choices[0].message.content if choices else None
        content = content if isinstance(content, str) else None
        reason = choices[0].finish_reason if choices else "no_choices"
        if choices and not content and reason not in ("length", "content_filter"):
            reason = "no_content"
        prompt = _count(counts, "prompt_tokens") or None  # none is without
        given = _count(counts, "completion_tokens")
        if given == 0 and (content or prompt is None):  # litellm's, of a server that tells nothing
            given = None
        counted = prompt is not None and given is not None
        cost = _cost(litellm, response) if counted else None
        if cost is None:  # the server calls the model by another name, or does not count
            estimate = len(clients.clean(content)) // 3 if given is None else given
            asked = request.tokens if prompt is None else prompt
            cost = _cost_by_name(litellm, self.model, asked, estimate)
        return Answer(
            text=clients.scrub(content, self._key) if content else "",
            model=self._clean(getattr(response, "model", None) or self.model, 200),
            finish_reason=None if reason is None else self._clean(reason, 50),
            prompt_tokens=prompt,
            completion_tokens=given,
            cost_usd=cost,
            seconds=seconds,
            date=clients.now(),
        )

    def _clean(self, text: Any, limit: int) -> str:
        """What a server said, without the key that it may have been told."""
        return clients.one_line(clients.scrub(clients.clean(str(text)), self._key), limit)

    def _words(self, failure: Exception) -> str:
        if isinstance(failure, TimeoutError):
            return f"no whole answer within {self._config.timeout_seconds:g} s"
        return self._clean(f"{type(failure).__name__}: {failure}", 1000)

    def _explain(self, failure: Exception, tries: int) -> str:
        what = self._words(failure)
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


def _count(counts: Any, name: str) -> int | None:
    """A number of tokens; None for what cannot be one: it must not widen a cap."""
    value = getattr(counts, name, None)
    return value if type(value) is int and 0 <= value < 2**40 else None


def _cost(litellm: Any, response: Any) -> float | None:
    """None where litellm has no price: it raises then, by more than one class."""
    try:
        cost = float(litellm.completion_cost(completion_response=response))
    except Exception:
        return None
    return cost if math.isfinite(cost) and cost >= 0 else None


def _cost_by_name(litellm: Any, model: str, prompt: int, given: int) -> float | None:
    """What so many tokens cost of the model that was asked for; None if nobody knows."""
    try:
        parts = litellm.cost_per_token(model=model, prompt_tokens=prompt, completion_tokens=given)
    except Exception:
        return None
    return sum(map(float, parts))
