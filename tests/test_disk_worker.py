from __future__ import annotations

import os
import threading

import pytest

from dtmetrics._spool import disk_worker as module
from dtmetrics._spool.disk_worker import DiskWorker
from tests.support.endpoint import PATIENCE


@pytest.fixture(name="short_timeout")
def _short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.02)


def join_stuck(worker: DiskWorker) -> None:
    """Wait until the stuck operation of *worker* has returned."""
    assert worker._thread is not None
    worker._thread.join(PATIENCE)


def test_runs_in_another_thread() -> None:
    """An operation runs in a thread of its own, and its result is returned."""
    worker = DiskWorker()
    assert worker.run(threading.get_ident, default=0) not in (0, threading.get_ident())
    assert worker.timeouts == 0


def test_failure() -> None:
    """A failing operation returns the default."""
    assert DiskWorker().run(lambda: 1 // 0, default=7) == 7


@pytest.mark.usefixtures("short_timeout")
def test_timeout() -> None:
    """Until an operation that exceeded the timeout returns, others are skipped."""
    worker, end = DiskWorker(), threading.Event()
    ran: list[int] = []
    assert worker.run(lambda: end.wait(PATIENCE), default=None) is None
    assert worker.run(lambda: ran.append(1), default=7) == 7
    assert (ran, worker.timeouts) == ([], 1)
    end.set()
    join_stuck(worker)
    assert worker.run(lambda: 3, default=7) == 3


@pytest.mark.usefixtures("short_timeout")
def test_waits_for_the_lock() -> None:
    """A thread waits no longer than the timeout for another thread's operation."""
    worker = DiskWorker()
    with worker._lock.acquire(PATIENCE):
        results: list[int] = []
        other = threading.Thread(
            target=lambda: results.append(worker.run(lambda: 3, default=7))
        )
        other.start()
        other.join(PATIENCE)
    assert results == [7]


@pytest.mark.usefixtures("short_timeout")
def test_operation_gets_stuck_meanwhile() -> None:
    """A thread that waited while an operation got stuck skips its own."""
    worker, begun, end = DiskWorker(), threading.Event(), threading.Event()
    ran: list[int] = []

    def stuck() -> None:
        begun.set()
        end.wait(PATIENCE)

    first = threading.Thread(target=lambda: worker.run(stuck, default=None))
    first.start()
    assert begun.wait(PATIENCE)
    assert worker.run(lambda: ran.append(1), default=7) == 7
    first.join(PATIENCE)
    assert (ran, worker.timeouts) == ([], 1)
    end.set()
    join_stuck(worker)


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can start, at interpreter exit, the caller runs the operation."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert DiskWorker().run(threading.get_ident, default=0) == threading.get_ident()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("short_timeout")
def test_fork() -> None:
    """A forked child goes on at once while the parent has a stuck operation."""
    worker, end = DiskWorker(), threading.Event()
    worker.run(lambda: end.wait(PATIENCE), default=None)
    pid = os.fork()
    if not pid:
        worker.reset_after_fork()
        os._exit(worker.run(lambda: 3, default=7))
    end.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    join_stuck(worker)
