"""What a process has recorded is sent before ``os._exit()`` and ``os.exec*()``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dtmetrics import ConsoleExporter, MemoryExporter
from dtmetrics._runtime import process_ends
from dtmetrics._runtime.given_up import GivenUp
from dtmetrics._runtime.process_ends import ProcessEnds
from dtmetrics._runtime.runtime import Runtime
from dtmetrics._runtime.work_horses import WorkHorses
from dtmetrics.exporters import Batch, ExportResult
from tests.support.endpoint import Endpoint, never
from tests.support.noted_ends import noted_ends
from tests.support.runtime_calls import Down, inc, keys
from tests.support.script import NO_COLLECTION, expect, run

BEGIN = """
import os, sys, time
from dtmetrics import configure, counter, flush, shutdown, stats

jobs = counter("jobs.run")
"""

#: Ten children, one after the other, as the work horses of RQ. A pipe shows how long
#: the parent waited for each.
CHILDREN = """
def child(work, *arguments):
    pid = os.fork()
    if not pid:
        work(*arguments)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

configure()
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


@needs_fork
@pytest.mark.parametrize("variable", [{}, {"DTMETRICS_FLUSH_AT_OS_EXIT": "true"}])
def test_forked_children(variable: dict[str, str]) -> None:
    """Children that end by os._exit() deliver, with their own exit status."""
    program = BEGIN + CHILDREN + "for _ in range(10): child(jobs.inc)"
    with Endpoint() as endpoint:
        expect(program, DTMETRICS_ENDPOINT=endpoint.url, **variable)
    assert endpoint.total("jobs.run") == 10


@needs_fork
def test_several_counts_once() -> None:
    """A child that flushes, shuts down and then ends sends everything once."""
    program = """
def work():
    jobs.inc(); flush(); jobs.inc(); shutdown()

child(work)
jobs.inc()
"""
    with Endpoint() as endpoint:
        expect(BEGIN + CHILDREN + program, DTMETRICS_ENDPOINT=endpoint.url)
    assert endpoint.total("jobs.run") == 3


@needs_fork
def test_child_without_records() -> None:
    """A child that records nothing sends nothing, whatever its parent has recorded."""
    program = """
jobs.inc()
for _ in range(20):
    child(int)
"""
    with Endpoint() as endpoint:
        # CPython 3.12 and later warn when a process with threads forks.
        expect(
            NO_COLLECTION + BEGIN + CHILDREN + program,
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="ignore::DeprecationWarning",
        )
    assert endpoint.total("jobs.run") == 1
    assert len({request.connection for request in endpoint.requests}) == 1


@needs_fork
def test_switched_off() -> None:
    """With flush_at_os_exit=False a child ends at once."""
    program = BEGIN + CHILDREN + "configure(flush_at_os_exit=False, force=True)\n"
    with Endpoint() as endpoint:
        expect(program + "child(jobs.inc)", DTMETRICS_ENDPOINT=endpoint.url)
    assert endpoint.requests == []


@needs_fork
def test_mute_endpoint(own_tempdir: Path) -> None:
    """A child waits at most 2 seconds in vain, and those after it not at all."""
    program = """
def took():
    before = time.monotonic()
    child(jobs.inc)
    return time.monotonic() - before

print(*[took() for _ in range(6)])
"""
    with Endpoint(*[never() for _ in range(9)]) as endpoint:
        ended = run(
            NO_COLLECTION + BEGIN + CHILDREN + program,
            DTMETRICS_ENDPOINT=endpoint.url,
        )
    first, *others = map(float, ended.out.split())
    assert ended.status == 0
    assert first >= process_ends.END_SECONDS
    assert max(others) < process_ends.END_SECONDS
    # Each logs how much it could not deliver; the first one may end sooner.
    assert ended.err.count("1 data points undelivered") >= 5


EXEC = """
configure()
jobs.inc()
if "again" not in sys.argv:
    {call}
"""
CALLS = {
    "execv": "os.execv(sys.executable, command)",
    "execve": "os.execve(sys.executable, command, os.environ)",
    "execl": "os.execl(sys.executable, *command)",
    "execlp": "os.execlp(sys.executable, *command)",
    "execvpe": "os.execvpe(sys.executable, command, os.environ)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_exec(call: str) -> None:
    """A program that replaces itself sends what it has recorded before."""
    source = BEGIN + EXEC.format(call=call)
    again = "command = [sys.executable, '-c', sys.argv[1], sys.argv[1], 'again']\n"
    with Endpoint() as endpoint:
        expect(
            "import sys\n" + again + source,
            again.join(["import sys\n", source]),
            DTMETRICS_ENDPOINT=endpoint.url,
        )
    assert endpoint.total("jobs.run") == 2


def test_failed_exec() -> None:
    """A program whose exec fails goes on recording."""
    program = """
configure()
jobs.inc()
try:
    os.execv("/absent", ["absent"])
except OSError:
    jobs.inc()
"""
    with Endpoint() as endpoint:
        expect(BEGIN + program, DTMETRICS_ENDPOINT=endpoint.url)
    assert endpoint.total("jobs.run") == 2


@needs_fork
def test_discarded_exit_handlers() -> None:
    """A child that discards exit handlers, as Airflow's tasks, has ours again."""
    program = """
import atexit
pid = os.fork()
if not pid:
    atexit._clear()
    jobs.inc()
    sys.exit()
os.waitpid(pid, 0)
"""
    begin = "configure(flush_at_os_exit=False)\n"
    with Endpoint() as endpoint:
        expect(BEGIN + begin + program, DTMETRICS_ENDPOINT=endpoint.url)
    assert endpoint.total("jobs.run") == 1


@needs_fork
def test_exit_handlers_of_a_child() -> None:
    """In a child whose exit handlers are in place, those registered later may record."""
    program = """
import atexit
configure(flush_at_os_exit=False)
pid = os.fork()
if not pid:
    atexit.register(jobs.inc)
    jobs.inc()
    sys.exit()
os.waitpid(pid, 0)
"""
    with Endpoint() as endpoint:
        expect(BEGIN + program, DTMETRICS_ENDPOINT=endpoint.url)
    assert endpoint.total("jobs.run") == 2


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the statuses of calls of os._exit(), which here ends nothing."""
    return noted_ends(monkeypatch)


def test_in_a_callback(runtime: Runtime, ends: list[int]) -> None:
    """os._exit() in an observer, in the middle of a flush, waits for nothing."""
    runtime.configure(exporter=MemoryExporter(), interval=None)
    inc(runtime)

    @runtime.meters.root.observe("free")
    def free() -> float:
        os._exit(3)
        return 1

    assert runtime.flush()
    assert ends == [3]


def test_before_a_record(runtime: Runtime, ends: list[int]) -> None:
    """A process that has recorded nothing ends at once, with its observers unread."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    runtime.meters.root.observe("free")(lambda: 1.0)
    os._exit(0)
    assert (ends, exporter.lines) == ([0], [])


@needs_fork
def test_interrupted(own_tempdir: Path) -> None:
    """Ctrl-C ends the wait, and not the end of the process."""
    program = """
import signal

def work():
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    jobs.inc()

before = time.monotonic()
child(work)
print(time.monotonic() - before)
"""
    with Endpoint(never()) as endpoint:
        took = expect(
            NO_COLLECTION + BEGIN + CHILDREN + program,
            DTMETRICS_ENDPOINT=endpoint.url,
        )
    assert float(took) < process_ends.END_SECONDS


@pytest.mark.parametrize("force", [False, True])
def test_wrapped_once(runtime: Runtime, ends: list[int], force: bool) -> None:
    """A second configure() wraps nothing again."""
    runtime.configure(exporter=MemoryExporter(), interval=None)
    wrapped = os._exit
    runtime.configure(exporter=ConsoleExporter(), interval=None, force=force)
    assert os._exit is wrapped


class Calls:
    """Counts the seconds that it gets, and moves the clock by *took*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.seconds: list[float] = []
        self.answer = True
        monkeypatch.setattr(process_ends, "monotonic", lambda: self.now)

        def at_once(calls: list[Callable[[float], bool]], seconds: float) -> bool:
            return calls[0](seconds)

        monkeypatch.setattr(process_ends, "at_once", at_once)

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        self.now += 0.0 if self.answer else seconds
        return self.answer


def test_given_up_for_a_minute(
    monkeypatch: pytest.MonkeyPatch, ends: list[int], own_tempdir: Path
) -> None:
    """After a minute one process tries again; once the endpoint answers, all wait."""
    call = Calls(monkeypatch)
    given_up = GivenUp("endpoint", lambda: call.now)
    horses = WorkHorses(lambda: None)
    ends_of = ProcessEnds(lambda _: True, given_up, horses, flush=call, shutdown=call)
    ends_of.install()
    call.answer = False
    os._exit(0)
    os._exit(0)
    call.now += 60.0
    os._exit(0)
    os._exit(0)
    assert call.seconds == [2.0, 0.0, 2.0, 0.0]
    call.now += 60.0
    call.answer = True
    os._exit(0)
    os._exit(0)
    assert call.seconds[4:] == [2.0, 2.0]


def test_endpoint_that_refuses(
    runtime: Runtime, ends: list[int], own_tempdir: Path
) -> None:
    """os._exit() gives the endpoint its 2 seconds, and not more."""
    runtime.configure(exporter=Down(), interval=None)
    inc(runtime)
    begin = time.monotonic()
    os._exit(0)
    assert time.monotonic() - begin < 2 * process_ends.END_SECONDS
    assert runtime.stats().waiting == 1


def test_end_of_a_celery_worker(runtime: Runtime, ends: list[int]) -> None:
    """Celery's signal delivers, and a SIGTERM meanwhile does not end the worker."""
    signals = pytest.importorskip("celery.signals")
    during: list[object] = []

    class Exporter(MemoryExporter):
        def export(self, batch: Batch, timeout: float) -> ExportResult:
            during.append(signal.getsignal(signal.SIGTERM))
            return super().export(batch, timeout)

    exporter = Exporter()
    # That of another test, if any: one runtime of a process follows Celery.
    signals.worker_process_shutdown.disconnect(dispatch_uid="dtmetrics")
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime, "tasks")
    before = signal.getsignal(signal.SIGTERM)
    try:
        signals.worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    finally:
        signals.worker_process_shutdown.disconnect(dispatch_uid="dtmetrics")
    assert "tasks" in keys(exporter)
    assert set(during) == {signal.SIG_IGN}
    assert signal.getsignal(signal.SIGTERM) is before
