from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from dtmetrics._core.try_lock import TryLock
from tests.support.endpoint import PATIENCE
from tests.support.platforms import needs_signals
from tests.support.signal_handler import handling, signal_until
from tests.support.thread_load import in_threads


def in_thread(work: Callable[[], object]) -> None:
    """Call *work* in a new thread and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("switch_often")
def test_one_thread_at_a_time() -> None:
    """Of many threads one holds the lock at a time, and each acquires it."""
    lock, ready = TryLock(), threading.Barrier(8)
    inside = [0]
    most: list[int] = []

    def work(_: int) -> None:
        ready.wait(PATIENCE)
        for _ in range(200):
            with lock.acquire(PATIENCE) as acquired:
                assert acquired
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    in_threads(8, work)
    assert most == [1] * 1_600


@pytest.mark.parametrize(
    "timeout", [0.0, -1.0, 1e300, float("inf"), float("-inf"), float("nan")]
)
def test_any_timeout(timeout: float) -> None:
    """Any float is a valid timeout, whether the lock is free or held by the thread."""
    lock = TryLock()
    with lock.acquire(timeout) as acquired, lock.acquire(timeout) as again:
        assert acquired
        assert not again
        assert lock.held
    assert not lock.held


@pytest.mark.parametrize("timeout", [0.0, -1.0, 0.01, float("nan")])
def test_timeout_in_another_thread(timeout: float) -> None:
    """Another thread fails after its timeout, and does not hold the lock then."""
    lock = TryLock()
    answers: list[tuple[bool, bool, bool]] = []

    def other() -> None:
        before = lock.held
        with lock.acquire(timeout) as acquired:
            during = acquired
        answers.append((before, during, lock.held))

    with lock.acquire(0.0):
        in_thread(other)
        assert lock.held
    assert answers == [(False, False, False)]


def test_failed_acquire_releases_nothing() -> None:
    """The end of a block that did not acquire the lock does not release it."""
    lock = TryLock()
    with lock.acquire(0.0):
        with lock.acquire(0.0):
            pass
        answers: list[bool] = []

        def other() -> None:
            with lock.acquire(0.0) as acquired:
                answers.append(acquired)

        in_thread(other)
        assert answers == [False]


def test_error_releases() -> None:
    """An exception in the block releases the lock."""
    lock = TryLock()
    with suppress(KeyboardInterrupt), lock.acquire(0.0) as acquired:
        assert acquired
        raise KeyboardInterrupt
    with lock.acquire(0.0) as acquired:
        assert acquired


def test_signal_handler_of_the_holder() -> None:
    """A signal handler that interrupts the holder fails at once."""
    lock = TryLock()
    answers: list[bool] = []

    def handle() -> None:
        with lock.acquire(PATIENCE) as acquired:
            answers.append(acquired)

    with handling(signal.SIGTERM, handle):
        with lock.acquire(0.0):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    assert answers == [False, True]


class Interrupt(BaseException):
    """Raised by a signal handler."""


@needs_signals
def test_interrupted_while_waiting() -> None:
    """A thread that is interrupted while it waits can acquire the lock later."""
    lock = TryLock()
    held, waiting, go = threading.Event(), threading.Event(), threading.Event()
    raised: list[bool] = []

    def hold() -> None:
        with lock.acquire(PATIENCE):
            held.set()
            assert waiting.wait(PATIENCE)
            signal_until(go, signal.SIGUSR1)

    def handle() -> None:
        if not raised:
            raised.append(True)
            raise Interrupt

    def wait() -> None:
        waiting.set()
        with lock.acquire(PATIENCE):
            pytest.fail("another thread holds it")

    holder = threading.Thread(target=hold)
    with handling(signal.SIGUSR1, handle):
        try:
            holder.start()
            assert held.wait(PATIENCE)
            with pytest.raises(Interrupt):
                wait()
            assert not lock.held
        finally:
            go.set()
            holder.join(PATIENCE)
    with lock.acquire(0.0) as acquired:
        assert acquired
