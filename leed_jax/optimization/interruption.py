"""Ctrl-C and SIGTERM during training: the running chunk is finished first, a second one stops.

Python runs signal handlers between two operations of the main thread, which would stand still in
XLA for a whole chunk. So it sleeps, and looks now and then whether the chunk is finished.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from leed_jax.optimization import devices

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHORTEST_PAUSE, LONGEST_PAUSE = 0.0005, 0.01
"""Seconds between two looks."""
NOTICE = b"finishing the running chunk of updates; a second Ctrl-C stops at once\n"


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal; says how far it was and how to go on."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        """Says ``message``; ``number`` is the signal's."""
        super().__init__(message)
        self.signal = number

    @property
    def exit_status(self) -> int:
        """Of a process that ends because of it: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal


def _is_ready(leaf: Any) -> bool:
    # Random keys cannot be asked; they come with all the rest.
    return leaf.is_ready() if hasattr(leaf, "is_ready") else True


def _leave(leaf: Any, status: int) -> None:
    """Ends a process that would wait for a chunk which nobody wants any more."""
    if not _is_ready(leaf):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


class Watch:
    """Notes signals while it is entered, and lets the training ask whether there was one.

    The second signal raises `Interrupted` wherever the main thread is. Outside of the main thread,
    and for signals that are ignored or handled outside of Python, everything stays as it is.
    Use as a context manager.
    """

    def __init__(self) -> None:
        """Hears nothing yet."""
        self._heard = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Watch":
        """Itself, with its handlers in the place of those before."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before not in (None, signal.SIG_IGN):
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Puts the handlers before it back."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._heard:
            raise Interrupted(
                "stopped at once; what the last checkpoint holds, if there is one, is safe", number
            )
        self._heard = number
        with contextlib.suppress(OSError):
            os.write(2, NOTICE)  # not by print, which is not to be entered twice

    def wait(self, tree: Any) -> None:
        """Until all arrays of a pytree are there; raises what their computation raised."""
        pause = SHORTEST_PAUSE
        for leaf in jax.tree.leaves(tree) if self._before else []:
            try:
                while not _is_ready(leaf):
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
            except Interrupted as error:
                atexit.register(_leave, leaf, error.exit_status)
                raise
        jax.block_until_ready(tree)

    def heard(self) -> int:
        """The signal that was heard, 0 if none; all processes are told the same."""
        if not devices.several_processes():
            return self._heard
        # Those that stopped alone would leave the others waiting for them for ever.
        return int(np.max(multihost_utils.process_allgather(np.array(self._heard, np.int32))))
