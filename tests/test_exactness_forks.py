"""Nothing is lost and nothing doubled: forks, while locks are held."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.recorder import Recorder
from tests.support.thread_load import Collector

pytestmark = [
    pytest.mark.usefixtures("switch_often"),
    # Forking beside threads is what is tested here; CPython 3.12 and later say so.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX"),
]


def in_child(work: Callable[[], Any], timeout: float = 20) -> Any:
    """Fork; return what *work* returned in the child, which must not hang."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # A child that hangs or fails says where.
            faulthandler.register(signal.SIGUSR2, file=2, chain=True)
            os.write(theirs, json.dumps(work()).encode())
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    timer = threading.Timer(timeout, os.kill, (child, signal.SIGUSR2))
    timer.start()
    with os.fdopen(ours, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    assert answer, "the child failed, or hung"
    return json.loads(answer)


def child_of(recorder: Recorder) -> Callable[[], list[str]]:
    """Return what a child does: it records a little of everything."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    summary = recorder.meter.summary("s")

    def work() -> list[str]:
        recorder.registry.reset_after_fork()
        for _ in range(1_000):
            counter.inc()
            counter.inc(1, a=1)
            gauge.inc()
            summary.record(2)
        gauge.set("x")  # type: ignore[arg-type]
        lines = recorder.lines()
        return [*lines, json.dumps(recorder.registry.invalid_values.total())]

    return work


CHILD = [
    "c count,delta=1000",
    "c,a=1 count,delta=1000",
    "g gauge,1000",
    "s gauge,min=2,max=2,sum=2000,count=1000",
    '{"not a number": 1}',
]


@pytest.mark.parametrize("forks", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_fork_under_load(recorder: Recorder, forks: int) -> None:
    """A child counts what it recorded itself, and its parent all the rest."""
    counter = recorder.meter.counter("c")
    stop = threading.Event()
    recorded = [0] * 4

    def work(thread: int) -> None:
        while not stop.is_set():
            counter.inc()
            counter.inc(1, a=recorded[thread] % 50)
            counter.inc(-1)
            recorded[thread] += 1

    child = child_of(recorder)
    with Collector(recorder) as collector:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(forks):
                assert in_child(child) == CHILD
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert collector.totals["c"] == 2 * sum(recorded)
    assert recorder.registry.invalid_values.total() == {
        "negative increment": sum(recorded)
    }


@contextmanager
def holding(*locks: Any) -> Iterator[None]:
    """Let another thread hold these locks."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait(60)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_fork_while_locks_are_held(recorder: Recorder) -> None:
    """A child can record and collect whatever its parent was in the middle of."""
    child = child_of(recorder)
    registry = recorder.registry
    recorder.meter.counter("c").inc(5)
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    recorder.meter.gauge("g").inc(5)
    recorder.meter.summary("s").record(5)
    families = registry.catalog
    with holding(
        registry._lock,
        families._lock,
        *(family.lock for family in families.all()),
    ):
        assert in_child(child) == CHILD
    assert recorder.lines() == [
        "c count,delta=5",
        "g gauge,5",
        "s gauge,min=5,max=5,sum=5,count=1",
    ]


def test_fork_inside_a_fold(recorder: Recorder) -> None:
    """A child that is forked in the middle of a fold finishes it, in vain."""
    counter = recorder.meter.counter("c")
    ours, theirs = os.pipe()
    children = []

    class Forks:
        def __index__(self) -> int:
            if not children:
                children.append(os.fork())
                if children == [0]:
                    recorder.registry.reset_after_fork()
            return 1

    counter.inc(10)
    counter.inc(Forks())  # type: ignore[arg-type]
    counter._series.fold_if_free()
    if children == [0]:
        counter.inc(2)
        os.write(theirs, "\n".join(recorder.lines()).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert pipe.read() == "c count,delta=2"
    os.waitpid(children[0], 0)
    assert recorder.lines() == ["c count,delta=11"]
