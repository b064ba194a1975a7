"""The flusher in its own thread: start, work, end."""

from __future__ import annotations

import threading
from collections import Counter
from contextvars import ContextVar, copy_context

import pytest

from dtmetrics._deliver.clock import Clock
from dtmetrics._deliver.flusher_thread import FlusherThread
from dtmetrics.exporters import ExportResult
from tests.support.delivery_rig import ANSWERED, Rig
from tests.support.endpoint import PATIENCE
from tests.support.recorder import MOMENT
from tests.support.thread_load import in_threads


def test_first_record_starts_the_thread() -> None:
    """The thread is there from the first record on; recordings start it once."""
    rig = Rig(interval=3_600.0)
    assert rig.thread is None
    rig.inc()
    thread = rig.thread
    assert thread is not None
    assert thread.name == "dtmetrics-flusher"
    assert thread.daemon
    rig.inc("another")
    assert rig.thread is thread
    assert rig.flusher.close(5.0)
    assert not thread.is_alive()
    assert rig.exporter.lines == ["orders count,delta=1", "another count,delta=1"]


def test_thread_has_an_empty_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks run in an empty context, whichever request recorded first.

    In a free-threaded build threads inherit the context, and tracers hand it on.
    """

    class Inheriting(threading.Thread):
        def start(self) -> None:
            context = copy_context()
            self.run = lambda: context.run(super(Inheriting, self).run)  # type: ignore[method-assign]
            super().start()

    monkeypatch.setattr(threading, "Thread", Inheriting)
    request = ContextVar("request", default="none")
    rig = Rig(interval=0.01)
    contexts: list[str] = []

    @rig.meter.observe("pool.size")
    def size() -> float:
        contexts.append(request.get())
        return 1

    def first() -> None:
        request.set("the first")
        rig.inc()

    copy_context().run(first)
    rig.exporter.wait_for(1)
    assert rig.flusher.close(5.0)
    assert set(contexts) == {"none"}


def test_no_interval_no_thread() -> None:
    """With ``interval=None`` there is no thread: only the caller's flush sends."""
    rig = Rig()
    rig.inc()
    assert rig.thread is None
    assert rig.flusher.close(5.0)
    assert rig.exporter.threads == ["MainThread"]
    assert rig.exporter.closed == 1


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the system has no thread, one record in 30 s tries to start it; flush works."""
    tries, allowed, now = [0], [0], [0.0]
    start = threading.Thread.start

    def start_if_allowed(self: threading.Thread) -> None:
        if self.name == "dtmetrics-flusher" and not allowed[0]:
            tries[0] += 1
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_if_allowed)
    clock = Clock(lambda: MOMENT / 1_000 + now[0], lambda: now[0])
    rig = Rig(interval=3_600.0, clock=clock)
    for _ in range(100):
        rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.exporter.lines == ["orders count,delta=100"]
    assert tries == [1]
    now[0] = 31.0
    rig.inc()
    rig.inc()
    assert tries == [2]
    allowed[0] = 1
    now[0] = 60.0
    rig.inc()
    assert rig.thread is None
    now[0] = 62.0
    rig.inc()
    assert rig.thread is not None
    assert rig.flusher.close(5.0)
    assert rig.outbox.account() == (2, 2, 0, {}, 0)


def test_one_thread_for_many_first_records() -> None:
    """Threads that record for the first time at once start one flusher thread."""
    rig = Rig(interval=3_600.0)
    ready = threading.Barrier(8)

    def record(_: int) -> None:
        ready.wait(PATIENCE)
        rig.inc()

    in_threads(8, record)
    flushers = [t for t in threading.enumerate() if t.name == "dtmetrics-flusher"]
    assert len(flushers) == 1
    assert rig.flusher.close(5.0)
    assert rig.exporter.lines == ["orders count,delta=8"]


def test_start_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that a start finds started meanwhile is not started again."""
    started: list[str] = []
    start = threading.Thread.start

    def note(self: threading.Thread) -> None:
        started.append(self.name)
        assert not flusher_thread.start()  # as a signal handler does that records
        start(self)

    def monotonic() -> float:  # called after the first look, before the lock
        if not started:
            started.append("meanwhile")
            assert flusher_thread.start()
        return 0.0

    monkeypatch.setattr(threading.Thread, "start", note)
    flusher_thread = FlusherThread(bool, monotonic=monotonic, event=threading.Event)
    assert flusher_thread.start()
    assert flusher_thread.start()
    assert started == ["meanwhile", "dtmetrics-flusher"]


def test_close_in_its_own_thread() -> None:
    """Closing in the flusher's own thread sends as well, as where a signal ends uWSGI in it."""
    rig = Rig()
    rig.flusher._thread.thread = threading.current_thread()
    rig.inc()
    assert rig.flusher.close(5.0)
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.exporter.closed == 1


def test_close_is_bounded() -> None:
    """Closing returns while an exporter hangs, and what is left is waiting.

    When the exporter returns, its thread closes it and sends nothing more.
    """
    inside, go = threading.Event(), threading.Event()

    def hang() -> ExportResult:
        inside.set()
        assert go.wait(PATIENCE)
        return ANSWERED

    rig = Rig(hang, interval=0.01)
    rig.inc()
    assert inside.wait(PATIENCE)
    rig.inc("late")
    assert not rig.flusher.close(0.05)
    assert rig.exporter.closed == 0
    assert rig.outbox.account() == (2, 0, 0, {}, 2)
    go.set()
    rig.exporter.wait_closed()
    thread = rig.thread
    assert thread is not None
    thread.join(PATIENCE)
    assert rig.outbox.account() == (2, 1, 0, {}, 1)


def test_close_while_another_thread_sends() -> None:
    """Closing gives up in time if a thread without a timeout of its own sends."""
    inside, go = threading.Event(), threading.Event()

    def hang() -> ExportResult:
        inside.set()
        assert go.wait(PATIENCE)
        return ANSWERED

    rig = Rig(hang)
    rig.inc()
    flushing = threading.Thread(target=rig.flusher.flush, args=(PATIENCE,))
    flushing.start()
    assert inside.wait(PATIENCE)
    rig.inc("late")
    assert not rig.flusher.close(0.0)
    assert rig.exporter.closed == 0
    go.set()
    flushing.join(PATIENCE)


def test_hanging_callback_leaves_the_next_recording_alone() -> None:
    """A callback that outlives its flusher takes no points of the next one."""
    inside, go = threading.Event(), threading.Event()
    rig = Rig(interval=0.01)

    @rig.meter.observe("pool.size")
    def size() -> float:
        if not inside.is_set():
            inside.set()
            assert go.wait(PATIENCE)
        return 1

    @rig.meter.observe("pool.free")
    def free() -> float:
        return 2

    rig.inc()
    assert inside.wait(PATIENCE)
    assert not rig.flusher.close(0.05)
    go.set()
    thread = rig.thread
    assert thread is not None
    thread.join(PATIENCE)
    account = rig.outbox.account()
    assert account.collected <= 2  # the counter, and the one that hung


@pytest.mark.slow
def test_many_threads_many_flushes() -> None:
    """Each count arrives once, however many threads record and flush at once."""
    rig = Rig(interval=0.001)

    def work(_: int) -> None:
        for number in range(2_000):
            rig.inc()
            if number % 100 == 0:
                rig.flusher.flush(5.0)

    in_threads(4, work)
    assert rig.flusher.close(5.0)
    total: Counter[str] = Counter()
    for line in rig.exporter.lines:
        key, _, delta = line.partition(" count,delta=")
        total[key] += int(delta)
    assert total == {"orders": 8_000}
