from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from dtmetrics._deliver.turn import Turn
from tests.endpoint import PATIENCE


def in_thread(work: Callable[[], object]) -> None:
    """Do *work* in a thread of its own, and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("switch_often")
def test_one_thread_at_a_time() -> None:
    """However many threads want in, one is inside at a time, and each gets in."""
    turn, ready = Turn(), threading.Barrier(8)
    inside = [0]
    most: list[int] = []

    def work() -> None:
        ready.wait(PATIENCE)
        for _ in range(200):
            with turn.take(PATIENCE) as mine:
                assert mine
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
    turn = Turn()
    with turn.take(timeout) as mine, turn.take(timeout) as again:
        assert mine
        assert not again
        assert turn.mine
    assert not turn.mine


@pytest.mark.parametrize("timeout", [0.0, -1.0, 0.01, float("nan")])
def test_turns_others_away(timeout: float) -> None:
    """Another thread is turned away when its time is over, and is not in then."""
    turn = Turn()
    answers: list[tuple[bool, bool, bool]] = []

    def other() -> None:
        before = turn.mine
        with turn.take(timeout) as mine:
            during = mine
        answers.append((before, during, turn.mine))

    with turn.take(0.0):
        in_thread(other)
        assert turn.mine
    assert answers == [(False, False, False)]


def test_whoever_was_turned_away_takes_nothing_along() -> None:
    """Leaving a turn that one did not get leaves it to whom it belongs."""
    turn = Turn()
    with turn.take(0.0):
        with turn.take(0.0):
            pass
        answers: list[bool] = []

        def other() -> None:
            with turn.take(0.0) as mine:
                answers.append(mine)

        in_thread(other)
        assert answers == [False]


def test_an_error_ends_a_turn() -> None:
    """Whatever is raised inside, the turn is over."""
    turn = Turn()
    with suppress(KeyboardInterrupt), turn.take(0.0) as mine:
        assert mine
        raise KeyboardInterrupt
    with turn.take(0.0) as mine:
        assert mine


def test_a_handler_inside_is_turned_away() -> None:
    """A signal handler that interrupts its own thread's turn does not wait for it."""
    turn = Turn()
    answers: list[bool] = []

    def handle(*_: object) -> None:
        with turn.take(PATIENCE) as mine:
            answers.append(mine)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with turn.take(0.0):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [False, True]


class Interrupt(BaseException):
    """What a handler raises."""


def test_interrupted_while_waiting() -> None:
    """Whoever is interrupted while waiting is out again, and may come back."""
    turn = Turn()
    held, waiting, go = threading.Event(), threading.Event(), threading.Event()
    raised: list[bool] = []

    def hold() -> None:
        with turn.take(PATIENCE):
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
        with turn.take(PATIENCE):
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
        assert not turn.mine
    finally:
        go.set()
        holder.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
    with turn.take(0.0) as mine:
        assert mine
