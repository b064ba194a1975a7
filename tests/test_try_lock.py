from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from dtmetrics._core.try_lock import TryLock
from tests.support.endpoint import PATIENCE


def in_thread(work: Callable[[], object]) -> None:
    """Do *work* in a thread of its own, and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("switch_often")
def test_one_thread_at_a_time() -> None:
    """However many threads want in, one is inside at a time, and each gets in."""
    lock, ready = TryLock(), threading.Barrier(8)
    inside = [0]
    most: list[int] = []

    def work() -> None:
        ready.wait(PATIENCE)
        for _ in range(200):
            with lock.acquire(PATIENCE) as acquired:
                assert acquired
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert most == [1] * 1_600


@pytest.mark.parametrize(
    "timeout", [0.0, -1.0, 1e300, float("inf"), float("-inf"), float("nan")]
)
def test_any_timeout(timeout: float) -> None:
    """Any number is a timeout, for whoever gets in and whoever is in already."""
    lock = TryLock()
    with lock.acquire(timeout) as acquired, lock.acquire(timeout) as again:
        assert acquired
        assert not again
        assert lock.held
    assert not lock.held


@pytest.mark.parametrize("timeout", [0.0, -1.0, 0.01, float("nan")])
def test_turns_others_away(timeout: float) -> None:
    """Another thread is turned away when its time is over, and is not in then."""
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


def test_whoever_was_turned_away_takes_nothing_along() -> None:
    """Leaving a lock that one did not get leaves it to whom it belongs."""
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


def test_an_error_ends_a_turn() -> None:
    """Whatever is raised inside, the lock is over."""
    lock = TryLock()
    with suppress(KeyboardInterrupt), lock.acquire(0.0) as acquired:
        assert acquired
        raise KeyboardInterrupt
    with lock.acquire(0.0) as acquired:
        assert acquired


def test_a_handler_inside_is_turned_away() -> None:
    """A signal handler that interrupts its own thread's lock does not wait for it."""
    lock = TryLock()
    answers: list[bool] = []

    def handle(*_: object) -> None:
        with lock.acquire(PATIENCE) as acquired:
            answers.append(acquired)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with lock.acquire(0.0):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [False, True]


class Interrupt(BaseException):
    """What a handler raises."""


def test_interrupted_while_waiting() -> None:
    """Whoever is interrupted while waiting is out again, and may come back."""
    lock = TryLock()
    held, waiting, go = threading.Event(), threading.Event(), threading.Event()
    raised: list[bool] = []

    def hold() -> None:
        with lock.acquire(PATIENCE):
            held.set()
            assert waiting.wait(PATIENCE)
            # Again and again: one that comes just before the wait does not end it.
            while not go.wait(0.001):
                signal.pthread_kill(main, signal.SIGUSR1)

    def handle(*_: object) -> None:
        if not raised:
            raised.append(True)
            raise Interrupt

    def wait() -> None:
        waiting.set()
        with lock.acquire(PATIENCE):
            pytest.fail("somebody else is in")

    main = threading.main_thread().ident
    assert main is not None
    holder = threading.Thread(target=hold)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        holder.start()
        assert held.wait(PATIENCE)
        with pytest.raises(Interrupt):
            wait()
        assert not lock.held
    finally:
        go.set()
        holder.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
    with lock.acquire(0.0) as acquired:
        assert acquired
