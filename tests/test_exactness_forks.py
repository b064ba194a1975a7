"""Exact counts across forks: under load, with locks held, in the middle of a fold."""

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
    # CPython 3.12 and later warn of a fork beside threads, which is tested here.
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX"),
]


def in_child(work: Callable[[], Any], timeout: float = 20) -> Any:
    """Fork; return what *work* returned in the child, which must not hang."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # A child that hangs or fails prints where.
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


def make_child(recorder: Recorder) -> Callable[[], list[str]]:
    """Return a function for a child, which records with every kind of instrument."""
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


#: The types of locks that a registry may hold.
LOCKS = type(threading.Lock()), type(threading.RLock())

#: What a child records, as lines, and the invalid values.
CHILD = [
    "c count,delta=1000",
    "c,a=1 count,delta=1000",
    "g gauge,1000",
    "s gauge,min=2,max=2,sum=2000,count=1000",
    '{"not a number": 1}',
]


@pytest.mark.parametrize("forks", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_fork_under_load(recorder: Recorder, forks: int) -> None:
    """A child collects its own records only, and its parent loses none of the others."""
    counter = recorder.meter.counter("c")
    stop = threading.Event()
    recorded = [0] * 4

    def work(thread: int) -> None:
        while not stop.is_set():
            counter.inc()
            counter.inc(1, a=recorded[thread] % 50)
            counter.inc(-1)
            recorded[thread] += 1

    child = make_child(recorder)
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
    """Hold *locks* in another thread."""
    acquired, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        acquired.set()
        release.wait(60)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    acquired.wait(60)
    try:
        yield
    finally:
        release.set()
        thread.join()


def locks_of(owner: object, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield every lock that *owner* reaches through attributes, lists and dicts."""
    seen = set() if seen is None else seen
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, LOCKS):
        yield owner
    elif isinstance(owner, dict):
        for part in list(owner.values()):
            yield from locks_of(part, seen)
    elif isinstance(owner, (list, tuple)):
        for part in owner:
            yield from locks_of(part, seen)
    elif type(owner).__module__.startswith("dtmetrics"):
        names = [*getattr(owner, "__dict__", ())]
        for kind in type(owner).__mro__:
            slots = getattr(kind, "__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        for name in names:
            yield from locks_of(getattr(owner, name, None), seen)


def test_fork_while_locks_are_held(recorder: Recorder) -> None:
    """A child can record and collect, whichever locks its parent's threads hold."""
    child = make_child(recorder)
    recorder.meter.counter("c").inc(5)
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    recorder.meter.gauge("g").inc(5)
    recorder.meter.summary("s").record(5)
    locks = [*locks_of(recorder.registry)]
    assert len(locks) > 3
    with holding(*locks):
        assert in_child(child) == CHILD
    assert recorder.lines() == [
        "c count,delta=5",
        "g gauge,5",
        "s gauge,min=5,max=5,sum=5,count=1",
    ]


def test_fork_inside_a_fold(recorder: Recorder) -> None:
    """A fork in the middle of folding leaves parent and child with their own sums."""
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
