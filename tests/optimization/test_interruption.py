"""Signals: training finishes what it does, saves it, and says how to go on."""

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from resuming import require_equal, train, without_seconds

from leed_jax import loggers
from leed_jax.optimization import interruption


@pytest.fixture(autouse=True)
def signals_are_heard() -> Iterator[None]:
    """A process that a script starts in the background ignores SIGINT, and so would training."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting(at: int, *signals: int) -> Any:
    """A `MetricsWriter` stand-in that sends this process signals with its so many-th line."""

    class Metrics(loggers.MetricsWriter):
        count = 0

        def write(self, record: Any) -> None:
            super().write(record)
            self.count += 1
            for number in signals if self.count == at else ():
                os.kill(os.getpid(), number)

    return Metrics


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_chunk_and_saves(tmp_path: Path, number: int) -> None:
    handlers = [signal.getsignal(each) for each in interruption.SIGNALS]
    place, path = tmp_path / "it's", tmp_path / "metrics.jsonl"
    # Of two seeds the third line is the first behind two updates; then comes the fourth.
    with (
        interrupting(3, number)(path) as metrics,
        pytest.raises(
            interruption.Interrupted, match=r"bc interrupted after 2 of 5 .*resume=True"
        ) as e,
    ):
        train("bc", metrics=metrics, checkpoint_dir=place, checkpoint_every=9)
    assert e.value.exit_status == 128 + number and str(place) in str(e.value)
    assert [line["updates"] for line in loggers.read_metrics(path)] == [0, 0, 2, 2]
    assert [signal.getsignal(each) for each in interruption.SIGNALS] == handlers
    with loggers.MetricsWriter(path) as metrics:
        found = train("bc", metrics=metrics, checkpoint_dir=place, checkpoint_every=9, resume=True)
    require_equal(found, train("bc"))
    assert without_seconds(loggers.read_metrics(path)) == without_seconds(found.history)


def test_a_second_signal_stops_at_once_and_without_checkpoints_nothing_is_saved(
    tmp_path: Path,
) -> None:
    first, second = (
        interrupting(3, *[signal.SIGINT] * times)(tmp_path / str(times)) for times in (1, 2)
    )
    with first, pytest.raises(interruption.Interrupted, match="nothing was saved"):
        train("bc", metrics=first)
    with second, pytest.raises(KeyboardInterrupt, match="stopped at once"):
        train("bc", metrics=second)
    assert len(loggers.read_metrics(tmp_path / "2")) == 3


def test_who_waits_for_arrays_hears_signals_and_their_errors() -> None:
    class Slow:
        def __init__(self, looks: float, error: Exception | None = None) -> None:
            self.looks, self.error = looks, error

        def is_ready(self) -> bool:
            self.looks -= 1
            if self.looks in (1, 2):
                os.kill(os.getpid(), signal.SIGINT)
            return self.looks <= 0

        def block_until_ready(self) -> None:
            assert self.is_ready()
            if self.error is not None:
                raise self.error

    with interruption.Watch() as watch:
        watch.wait([Slow(1), jnp.zeros(1)])
        assert watch.heard() == 0
        with pytest.raises(ValueError, match="of the device"):
            watch.wait(Slow(2, ValueError("of the device")))  # and a signal
        assert watch.heard() == signal.SIGINT
        never = Slow(3)
        with pytest.raises(interruption.Interrupted, match="stopped at once"):
            watch.wait(never)
        assert never.looks > 0
    atexit.unregister(interruption._leave)  # for want of which this process would end with 130


def test_other_threads_and_ignored_signals_are_left_alone() -> None:
    seen = []
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with interruption.Watch():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            handler = signal.getsignal(signal.SIGINT)

            def elsewhere() -> None:
                with interruption.Watch() as watch:
                    watch.wait(jnp.zeros(1))
                    seen.append(signal.getsignal(signal.SIGINT))

            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [handler]
