"""The deadline of an export in processes that fork and that end."""

from __future__ import annotations

import os
import threading

import pytest

from tests.support.endpoint import PATIENCE, Endpoint, accept, dribble, never
from tests.support.script import run

if not hasattr(os, "fork"):
    pytest.skip("no fork here", allow_module_level=True)

FORKED = """
import faulthandler, os, signal, sys, threading, time
from dtmetrics.exporters import Batch
from dtmetrics._export.http import HttpExporter, preload
from dtmetrics._export.deadline import DeadlineExporter

faulthandler.register(signal.SIGALRM, chain=True)
signal.alarm(40)
url, how = sys.argv[1:]
parent, calls, pids = os.getpid(), [], []
once, forked = threading.Lock(), threading.Event()

def batch(name):
    return Batch(f"{name} count,delta=1 1".encode(), (), 0)

def while_waiting():
    calls.append(1)
    return fork() if len(calls) == 2 else 60.0 if pids else 0.1

def fork(*args):
    if not once.acquire(blocking=False):
        return 60.0
    pids.append(os.fork())
    forked.set()
    if pids == [0]:
        signal.alarm(40)
        exporter.reset_after_fork()
        if how == "raise":
            sys.exit()
        return 60.0
    if how == "signal":
        assert os.waitpid(pids[0], 0)[1] == 0
    return 60.0

preload()
exporter = DeadlineExporter(HttpExporter(url), None if how == "signal" else while_waiting)
if how == "signal":
    signal.signal(signal.SIGUSR1, fork)
    main = threading.get_ident()

    def interrupt():
        # Repeated: a signal that comes just before the main thread waits does not end
        # the wait. It waits once the export thread runs.
        while not forked.wait(0.001):
            current = exporter._current
            if current is not None and current.is_alive:
                signal.pthread_kill(main, signal.SIGUSR1)

    threading.Thread(target=interrupt).start()
result, begin = None, time.monotonic()
try:
    result = exporter.export(batch("parents"), 40.0)
except SystemExit:
    assert os.getpid() != parent
if os.getpid() == parent:
    assert result.outcome.value == "answered", result
    assert how == "signal" or os.waitpid(pids[0], 0)[1] == 0
else:
    if result is not None:
        assert (result.outcome.value, result.reason) == ("retry", "process forked during the export")
    assert exporter.export(batch("children"), 5.0).outcome.value == "answered"
    exporter.close()
    os._exit(0)
exporter.close()
"""


@pytest.mark.parametrize("how", ["signal", "callback", "raise"])
def test_fork_during_an_export(how: str) -> None:
    """A child forked during an export does not wait for it, and exports by itself.

    The fork may come from a signal handler or from a callback, and the callback may
    raise. The parent's request continues undisturbed.
    """
    go = threading.Event()
    with Endpoint(accept(until=go)) as endpoint:

        def answer_the_parent() -> None:
            # Once the child has exported.
            endpoint.wait_for_total("children", 1)
            go.set()

        helper = threading.Thread(target=answer_the_parent)
        helper.start()
        # CPython 3.12 and later warn when a process with threads forks.
        ended = run(FORKED, endpoint.url, how, PYTHONWARNINGS="ignore")
        helper.join(PATIENCE)
    assert (ended.status, ended.err) == (0, ""), ended.err
    assert (endpoint.total("parents"), endpoint.total("children")) == (1, 1)


NO_NAME_SERVER = """
import atexit, socket, sys, threading, time

@atexit.register  # before dtmetrics is imported, and so called last
def report():
    print("exit in time:", time.monotonic() - exit_began < 4.0)

from dtmetrics import configure, counter, flush, shutdown, stats

# A name lookup that never returns and cannot be interrupted.
socket.getaddrinfo = lambda *args, **kwargs: threading.Event().wait()

configure(endpoint="https://metrics.invalid", token="abc", interval=eval(sys.argv[1]))
counter("orders").inc()
begin = time.monotonic()
assert not flush(0.2)
assert time.monotonic() - begin < 0.7 + 4.0
assert stats().waiting == 1
begin = time.monotonic()
assert not shutdown(0.5)
assert time.monotonic() - begin < 0.5 + 4.0
print(stats().last_error)
exit_began = time.monotonic()
"""


@pytest.mark.processes
@pytest.mark.parametrize("interval", ["None", "60.0"], ids=["no thread", "thread"])
def test_no_name_server_at_exit(interval: str) -> None:
    """A name server that never answers delays neither a flush nor the exit."""
    ended = run(NO_NAME_SERVER, interval)
    assert ended.status == 0, ended.err
    assert ended.out.startswith("timed out at metrics.invalid: timed out while connect")
    assert ended.out.endswith("\nexit in time: True\n")


QUIET = """
import sys, threading, warnings
from dtmetrics import configure, counter, flush
warnings.simplefilter("error")
sys.unraisablehook = threading.excepthook = lambda it: print("unexpected:", it)
configure(interval=None)
for _ in range(4):
    counter("orders").inc()
    flush(0.2)
"""


def test_quiet_with_warnings_as_errors() -> None:
    """After any timeout, no thread ends with an error and no socket stays open."""
    verdicts = [
        dribble("HTTP/1.1 202 X\n"),
        never(),
        never(before_reading=True),
        dribble("HTTP/1.1 202 X\n"),
    ]
    with Endpoint(*verdicts) as endpoint:
        ended = run(QUIET, DTMETRICS_ENDPOINT=endpoint.url, PYTHONWARNINGS="error")
    assert (ended.status, ended.out) == (0, ""), ended.err
