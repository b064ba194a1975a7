from __future__ import annotations

import os
import threading

import pytest

from dtmetrics._spool import disk_worker as module
from dtmetrics._spool.disk_worker import DiskWorker
from tests.support.endpoint import PATIENCE


@pytest.fixture(name="soon")
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.02)


def back(errands: DiskWorker) -> None:
    """Wait until who was left behind is back."""
    assert errands._left is not None
    errands._left.join(PATIENCE)


def test_done_elsewhere() -> None:
    """An errand is done by another thread, and what it returns is returned."""
    errands = DiskWorker()
    assert errands.do(threading.get_ident, 0) not in (0, threading.get_ident())
    assert errands.late == 0


def test_failing() -> None:
    """One that fails is as good as one that was not done."""
    assert DiskWorker().do(lambda: 1 // 0, 7) == 7


@pytest.mark.usefixtures("soon")
def test_left_behind() -> None:
    """Who takes too long is not waited for, and nothing else is done until he is back."""
    errands, end = DiskWorker(), threading.Event()
    done: list[int] = []
    assert errands.do(lambda: end.wait(PATIENCE), None) is None
    assert errands.do(lambda: done.append(1), 7) == 7
    assert (done, errands.late) == ([], 1)
    end.set()
    back(errands)
    assert errands.do(lambda: 3, 7) == 3


@pytest.mark.usefixtures("soon")
def test_waits_for_its_turn() -> None:
    """One thread waits for another's errand, and no longer than for its own."""
    errands = DiskWorker()
    with errands._lock.acquire(PATIENCE):
        told: list[int] = []
        other = threading.Thread(target=lambda: told.append(errands.do(lambda: 3, 7)))
        other.start()
        other.join(PATIENCE)
    assert told == [7]


@pytest.mark.usefixtures("soon")
def test_waits_for_who_is_left_behind() -> None:
    """Who waited for his turn when another took too long does nothing beside him."""
    errands, begun, end = DiskWorker(), threading.Event(), threading.Event()
    done: list[int] = []

    def long() -> None:
        begun.set()
        end.wait(PATIENCE)

    first = threading.Thread(target=lambda: errands.do(long, None))
    first.start()
    assert begun.wait(PATIENCE)
    assert errands.do(lambda: done.append(1), 7) == 7
    first.join(PATIENCE)
    assert (done, errands.late) == ([], 1)
    end.set()
    back(errands)


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had, at the end of a program say, it is done here."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert DiskWorker().do(threading.get_ident, 0) == threading.get_ident()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.usefixtures("soon")
def test_forked() -> None:
    """Whom the parent left behind is not there in a child, which goes on at once."""
    errands, end = DiskWorker(), threading.Event()
    errands.do(lambda: end.wait(PATIENCE), None)
    pid = os.fork()
    if not pid:
        errands.reset_after_fork()
        os._exit(errands.do(lambda: 3, 7))
    end.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    back(errands)
