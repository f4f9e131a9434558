"""An event loop in a thread of its own, for the requests.

So it makes no difference whether the caller has a loop running (a notebook does), and executing a
plan, which may compile for seconds, does not let the time limits of other requests pass.
Everything else, JAX above all, stays on the caller's thread.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from leed_jax.generation.clients import Answer, Client

PATIENCE_SECONDS = 5.0
"""A client that ignores its cancellation holds up its caller no longer than this."""

Submit = Callable[[Coroutine[Any, Any, Answer]], "concurrent.futures.Future[Answer]"]


@contextlib.contextmanager
def event_loop(client: Client) -> Iterator[Submit]:
    """A function that runs a coroutine in the thread and returns its future.

    At the end, what is still under way is cancelled, and ``client.close()`` awaited if it exists.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="leed-generation", daemon=True)
    thread.start()
    try:
        yield lambda question: asyncio.run_coroutine_threadsafe(question, loop)
    finally:
        with contextlib.suppress(TimeoutError):
            ending = asyncio.run_coroutine_threadsafe(_finish(loop, client), loop)
            ending.result(timeout=PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=PATIENCE_SECONDS)
        if not thread.is_alive():
            loop.close()


async def _finish(loop: asyncio.AbstractEventLoop, client: Client) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    close = getattr(client, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):  # the answers are there: no reason to lose them
            await close()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
