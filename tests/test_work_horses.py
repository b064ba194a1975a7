"""The processes of RQ's jobs hand over what they record to the worker that forks them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._deliver.relay import Relay
from dtmetrics._runtime import process_ends, work_horses
from dtmetrics._runtime.runtime import Runtime
from tests.support.endpoint import Endpoint
from tests.support.noted_ends import noted_ends
from tests.support.relays import child_of
from tests.support.runtime_calls import flusher_threads, inc, keys
from tests.support.script import NO_COLLECTION, expect, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

#: A worker that forks a process for each job, as RQ's does.
WORKER = """
import os, sys, types

class Worker:
    def fork_work_horse(self, job, queue):
        self.horse = os.fork()
        if not self.horse:
            job()
            os._exit(0)

sys.modules["rq.worker"] = types.SimpleNamespace(Worker=Worker)
from dtmetrics import configure, counter, flush, shutdown, stats

jobs = counter("jobs.run", unit="{job}")
worker = Worker()

def run(job):
    worker.fork_work_horse(job, None)
    os.waitpid(worker.horse, 0)

configure()
"""


@pytest.fixture(autouse=True)
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the statuses of calls of os._exit(), which here ends nothing."""
    monkeypatch.setattr(work_horses, "_calls", [])
    return noted_ends(monkeypatch)


class Worker:
    """Takes the place of RQ's, and forks nothing."""

    forked = 0

    def fork_work_horse(self, job: object, queue: object) -> None:
        type(self).forked += 1


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a worker, as if RQ were loaded."""

    class OwnWorker(Worker):
        def fork_work_horse(self, job: object, queue: object) -> None:
            super().fork_work_horse(job, queue)

    module = SimpleNamespace(Worker=OwnWorker)
    monkeypatch.setitem(sys.modules, "rq.worker", module)
    return OwnWorker()


@pytest.fixture
def other() -> Iterator[Runtime]:
    """Return the runtime of the child."""
    made = Runtime()
    yield made
    made.shutdown()


def relay_of(runtime: Runtime) -> Relay:
    """Return the relay of *runtime*."""
    assert runtime._ends is not None
    return runtime._ends.horses.relay


def fork(
    worker: Any, parent: Runtime, child: Runtime, patch: pytest.MonkeyPatch
) -> None:
    """Let *child* be the runtime of the process that *worker* forks."""
    child.configure(exporter=MemoryExporter(), interval=None)
    worker.fork_work_horse(None, None)
    assert child._ends is not None
    child._ends.horses.relay = child_of(relay_of(parent), patch)
    # From here on os._exit() is that of the child.
    process_ends._calls["_exit"].pop(0)


def test_handed_over(
    runtime: Runtime, other: Runtime, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker sends what the process of a job has recorded."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=3_600.0)
    fork(worker, runtime, other, monkeypatch)
    inc(other, "job")
    os._exit(0)
    assert other.stats().waiting == 0
    assert runtime.flush()
    assert "job" in keys(exporter)
    assert runtime.stats().accepted == 1


def test_observers(
    runtime: Runtime, other: Runtime, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observers of a job are called in a thread, which may be left behind."""
    exporter, threads = MemoryExporter(), []
    runtime.configure(exporter=exporter, interval=3_600.0)
    fork(worker, runtime, other, monkeypatch)

    @other.meters.root.observe("free")
    def free() -> float:
        threads.append(threading.current_thread())
        return 1.0

    inc(other, "job")
    os._exit(0)
    assert runtime.flush()
    assert {"free", "job"} <= {*keys(exporter)}
    assert threading.current_thread() not in threads


def test_worker_that_reads_no_more(
    runtime: Runtime, other: Runtime, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of a job sends what its worker does not take."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    fork(worker, runtime, other, monkeypatch)
    runtime.shutdown()
    inc(other, "job")
    before = other._delivery
    os._exit(0)
    assert other._delivery is before
    assert other.stats().accepted == 1


def test_thread(runtime: Runtime, worker: Any) -> None:
    """The worker has a thread from its first fork on, though it records nothing."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    assert flusher_threads() == []
    worker.fork_work_horse(None, None)
    assert flusher_threads() == ["dtmetrics-flusher"]
    assert relay_of(runtime).is_open


def test_configured_again(
    runtime: Runtime, other: Runtime, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was handed over goes to the exporter that replaces the first one."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    fork(worker, runtime, other, monkeypatch)
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=3_600.0, force=True)
    inc(other, "job")
    os._exit(0)
    assert runtime.flush()
    assert "job" in keys(exporter)


@pytest.mark.parametrize(
    "settings",
    [
        {"exporter": MemoryExporter(), "interval": None},
        {"exporters": [MemoryExporter(), MemoryExporter()]},
    ],
)
def test_not_handed_over(
    runtime: Runtime, worker: Any, settings: dict[str, Any]
) -> None:
    """Without a thread, or with several exporters, nothing is handed over."""
    runtime.configure(**settings)
    worker.fork_work_horse(None, None)
    assert not relay_of(runtime).is_open


def test_after_shutdown(runtime: Runtime, worker: Any) -> None:
    """After shutdown() the worker takes nothing over; it forks as before."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    runtime.shutdown()
    worker.fork_work_horse(None, None)
    assert not relay_of(runtime).is_open
    assert type(worker).forked == 1


def test_error_in_the_hook(
    runtime: Runtime, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has no descriptor left forks all the same."""

    def socketpair(*_: object) -> None:
        raise OSError(24, "Too many open files")

    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    monkeypatch.setattr("socket.socketpair", socketpair)
    worker.fork_work_horse(None, None)
    assert type(worker).forked == 1


def test_before_exec(runtime: Runtime, worker: Any) -> None:
    """os.exec*() ends the handing over; a fork after an exec that failed begins again."""
    runtime.configure(exporter=MemoryExporter(), interval=3_600.0)
    worker.fork_work_horse(None, None)
    os.execv("/absent", ["absent"])
    assert not relay_of(runtime).is_open
    worker.fork_work_horse(None, None)
    assert relay_of(runtime).is_open


def test_loaded_in_part(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """While RQ is being imported, its worker cannot be followed, and harms nothing."""
    monkeypatch.setitem(sys.modules, "rq.worker", SimpleNamespace())
    runtime.configure(exporter=MemoryExporter(), interval=None)
    assert work_horses._calls == []


def test_wrapped_once(runtime: Runtime, other: Runtime, worker: Any) -> None:
    """Two runtimes wrap the method once, and each is called once for a fork."""
    for each in (runtime, other):
        each.configure(exporter=MemoryExporter(), interval=3_600.0)
        inc(each)  # looks for RQ again
    assert len(work_horses._calls) == 2
    worker.fork_work_horse(None, None)
    assert type(worker).forked == 1


def test_processes() -> None:
    """What 40 processes record, children of these among them, is sent once by one."""
    program = """
def nested():
    jobs.inc()
    for _ in range(5):
        run(jobs.inc)

for _ in range(22):
    run(jobs.inc)
for _ in range(3):
    run(nested)
"""
    with Endpoint() as endpoint:
        # CPython 3.12 and later warn when a process with threads forks.
        expect(
            NO_COLLECTION + WORKER + program,
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="ignore::DeprecationWarning",
        )
    assert endpoint.total("jobs.run") == 40
    assert len(endpoint.requests) == 2  # of points, and of metadata


def test_worker_killed() -> None:
    """A job whose worker was killed meanwhile is sent by its own process."""
    program = """
import signal

read, write = os.pipe()

def outlive():
    jobs.inc()
    while os.getppid() == parent:
        os.read(read, 1)  # its end comes with that of the worker

parent = os.getpid()
os.set_inheritable(write, False)
worker.fork_work_horse(lambda: (os.close(write), outlive()), None)
os.kill(parent, signal.SIGKILL)
"""
    with Endpoint() as endpoint:
        ended = run(WORKER + program, DTMETRICS_ENDPOINT=endpoint.url)
        assert ended.status == -9
        endpoint.wait_for_total("jobs.run", 1)
