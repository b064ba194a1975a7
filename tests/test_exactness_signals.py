"""Records are exact when a signal arrives at any point of a record."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from dtmetrics._core import try_lock
from dtmetrics._record import series
from tests.support.raising_signal import Interrupt, steps_of
from tests.support.recorder import Recorder
from tests.support.signal_handler import handling

pytestmark = [
    pytest.mark.usefixtures("switch_often"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX"),
]


RECORD = os.path.dirname(series.__file__)


@contextmanager
def storm(number: int) -> Iterator[None]:
    """Send a signal to the main thread repeatedly during this block."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            signal.pthread_kill(threading.main_thread().ident, number)  # type: ignore[arg-type]
            time.sleep(0)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("times", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_signal_handler_records(times: int) -> None:
    """A handler may record while its thread records, makes series and collects."""
    recorder = Recorder(max_series_per_metric=100)
    counter = recorder.meter.counter("c")
    handled = main = depth = 0

    def handler() -> None:
        nonlocal handled, depth
        if depth > 20:  # signals come faster than they are handled, to the stack's end
            return
        depth += 1
        handled += 1
        counter.inc()
        counter.inc(1, new=handled % 200)
        recorder.meter.counter("other").inc(0)
        depth -= 1

    total = 0
    with handling(signal.SIGUSR1, handler), storm(signal.SIGUSR1):
        while handled < times:
            for _ in range(100):
                main += 1
                counter.inc()
                counter.inc(1, new=main % 200)
            total += sum(point.payload[0] for point in recorder.points())
    total += sum(point.payload[0] for point in recorder.points())
    assert total == 2 * (main + handled)


def test_timer_signal_records(recorder: Recorder) -> None:
    """A handler of the interval timer may record while its thread records."""
    counter = recorder.meter.counter("c")
    handled = main = 0

    def handler() -> None:
        nonlocal handled
        handled += 1
        for _ in range(700):  # beyond the limit at which a series folds its values
            counter.inc()

    with handling(signal.SIGVTALRM, handler):
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.001)
        try:
            while handled < 20:
                main += 1
                counter.inc()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    assert recorder.lines() == [f"c count,delta={main + 700 * handled}"]


@pytest.mark.parametrize("times", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_signal_handler_raises(recorder: Recorder, times: int) -> None:
    """If a handler raises, the interrupted value counts or not; all others count."""
    counter = recorder.meter.counter("c")
    done = interrupted = 0
    armed = False

    def handler() -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupt

    with handling(signal.SIGUSR1, handler), storm(signal.SIGUSR1):
        while interrupted < times:
            count = 0
            try:
                armed = True
                while True:
                    counter.inc()
                    count += 1
            except Interrupt:
                interrupted += 1
            done += count
    armed = False
    [point] = recorder.points()
    # An inc that was interrupted may have taken effect.
    assert done <= point.payload[0] <= done + interrupted


@pytest.mark.parametrize(
    ("kind", "options"),
    [("counter", {}), ("gauge", {}), ("summary", {}), ("summary", {"slo": (1, 5)})],
)
@pytest.mark.parametrize("dimensions", [{}, {"a": 1}], ids=["plain", "dimensions"])
@pytest.mark.parametrize("amount", [1, 2])
def test_raising_at_every_point(
    kind: str, options: dict[str, Any], dimensions: dict[str, Any], amount: int
) -> None:
    """Wherever a handler raises, values are exact and no lock stays locked."""
    point_number = 0
    interrupted = True
    while interrupted:
        point_number += 1
        recorder = Recorder()
        instrument: Any = getattr(recorder.meter, kind)("name", **options)
        record = getattr(instrument, "inc", None) or instrument.record
        record(amount, **dimensions)
        cell = instrument.find_series(dimensions)
        cell.limit = 3
        for _ in range(cell.limit - 1):
            record(amount, **dimensions)

        def fold(record: Any = record) -> None:
            record(amount, **dimensions)

        interrupted = steps_of(fold, point_number, RECORD)
        assert cell.lock.acquire(timeout=1), f"locked at point {point_number}"
        cell.lock.release()
        record(amount, **dimensions)
        point, *counts = recorder.points()
        total = getattr(point.payload, "sum", point.payload[0]) // amount
        assert [count.payload[0] for count in counts[-1:]] == [total] * bool(options)
        assert total - cell.limit - 1 in ((0, 1) if interrupted else (1,)), point_number
        record(amount, **dimensions)
        assert len(cell.values or ()) <= 2
    assert point_number > 2


def interrupt_acquire(*, held: bool) -> int:
    """Acquire a TryLock, interrupted at each point in turn; return how many there are."""
    point_number = 0
    interrupted = True
    while interrupted:
        point_number += 1
        lock = try_lock.TryLock()

        def acquire(lock: try_lock.TryLock = lock) -> None:
            with lock.acquire(0.0):
                pass

        if held:
            with lock.acquire(0.0):
                interrupted = steps_of(acquire, point_number, try_lock.__file__)
                assert lock.held, point_number
        else:
            interrupted = steps_of(acquire, point_number, try_lock.__file__)
        assert not lock.held, point_number
        with lock.acquire(0.0) as acquired:
            assert acquired, point_number
    return point_number


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_raising_at_every_point_of_acquire(held: bool) -> None:
    """Wherever a handler raises, the lock is released and can be acquired again."""
    # In a thread of its own: raising between two steps of an `except` leaves the
    # exception behind as the thread's current one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(interrupt_acquire, held=held).result() > 2
