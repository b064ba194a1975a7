"""How programs end: what they recorded is sent, in time, with few log lines."""

from __future__ import annotations

import os
import signal

import pytest

from dtmetrics._runtime.runtime import EXIT_SECONDS
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    answer,
    dribble,
    hang_up,
    never,
    refusing_port,
)
from tests.support.platforms import needs_signals
from tests.support.script import Ended, run

#: Prints how long the exit took: the first exit handler to be registered runs last.
TIMER = """
import atexit, time

@atexit.register
def report():
    print(time.monotonic() - exit_began, flush=True)
"""

START_TIMER = """
@atexit.register
def start_timer():
    global exit_began
    exit_began = time.monotonic()
"""

BEGIN = """
import os, signal, sys, threading
from dtmetrics import configure, counter, flush, shutdown

configure()
counter("jobs.run").inc(3)
"""

TIMED = TIMER + BEGIN + START_TIMER

ENDINGS = {
    "the end": ("", 0, ""),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "exception": ("raise LookupError('own')", 1, "LookupError: own"),
    "interrupt": ("signal.raise_signal(signal.SIGINT)", -2, "KeyboardInterrupt"),
    "handled SIGTERM": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\n"
        "signal.raise_signal(signal.SIGTERM)",
        4,
        "",
    ),
    "other threads": (
        "go = threading.Event()\n"
        "def work():\n    go.wait()\n    counter('jobs.run').inc(0)\n"
        "threading.Thread(target=work).start()\ngo.set()",
        0,
        "",
    ),
    "explicit shutdown": ("assert shutdown()\nassert shutdown()", 0, ""),
    "no thread": ("configure(interval=None, force=True)\n", 0, ""),
    "later atexit": (
        "import atexit\natexit.register(counter('jobs.run').inc, 0)",
        0,
        "",
    ),
}
SIGNALLED = ("interrupt", "handled SIGTERM")


@pytest.mark.parametrize(
    ("source", "status", "message"),
    [
        pytest.param(*ending, id=name, marks=needs_signals if name in SIGNALLED else ())
        for name, ending in ENDINGS.items()
    ],
)
def test_loses_nothing(source: str, status: int, message: str) -> None:
    """However a short script ends, what it recorded is sent; its status is unchanged."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.out) == (status, "")
    assert message in ended.err
    assert "dtmetrics" not in ended.err
    assert endpoint.total("jobs.run") == 3


def test_records_at_exit() -> None:
    """What an exit handler of the program records is sent."""
    source = "import atexit\natexit.register(counter('jobs.run').inc, 4)"
    with Endpoint() as endpoint:
        ended = run(BEGIN + source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.err) == (0, "")
    assert endpoint.total("jobs.run") == 7


def test_records_at_exit_before_configure() -> None:
    """What an exit handler records that was registered before configure() is sent."""
    source = """
        import atexit
        from dtmetrics import configure, counter
        atexit.register(counter("jobs.run").inc, 4)
        configure(interval=None)
    """
    with Endpoint() as endpoint:
        ended = run(source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.err) == (0, "")
    assert endpoint.total("jobs.run") == 4


def assert_ended_in_time(ended: Ended, status: int, message: str) -> None:
    """Assert that a program ended with *status*, in time, and with two log lines.

    One is the number of undelivered data points, the other contains *message*.
    """
    assert ended.status == status
    # What a busy machine may add.
    assert float(ended.out) < EXIT_SECONDS + 3
    lines = ended.err.splitlines()
    # Both may come at the end of the time, and then in either order.
    lines.remove("dtmetrics: shut down with 1 data points undelivered")
    assert len(lines) <= 1
    assert all(message in line for line in lines)


@pytest.mark.processes
@pytest.mark.parametrize(
    "verdict",
    [
        answer(503),
        answer(401, "<html>no</html>"),
        hang_up(),
        hang_up(before_reading=True, reset=True),
        dribble("HTTP/1.1 202 OK\nX-Slow: ", pause=0.1, accepted=False),
    ],
    ids=["503", "401", "fin", "rst", "byte by byte"],
)
def test_failing_endpoint(verdict: Verdict) -> None:
    """A program with a failing endpoint ends in time and logs two lines."""
    with Endpoint(*[verdict] * 9) as endpoint:
        ended = run(TIMED + "sys.exit(3)", DTMETRICS_ENDPOINT=endpoint.url)
    assert_ended_in_time(ended, 3, "cannot deliver")


def test_endpoint_down() -> None:
    """A program whose endpoint is down ends without waiting, and logs two lines."""
    url = f"http://localhost:{refusing_port()}/x"
    ended = run(TIMED + "sys.exit(3)", DTMETRICS_ENDPOINT=url)
    assert_ended_in_time(ended, 3, "ConnectError")
    assert float(ended.out) < EXIT_SECONDS


@pytest.mark.processes
@pytest.mark.parametrize("interval", ["60.0", "None"], ids=["thread", "no thread"])
def test_endpoint_hangs(interval: str) -> None:
    """An endpoint that never responds delays the end by its timeout at most."""
    source = TIMED.replace("configure()", f"configure(interval={interval})")
    with Endpoint(otherwise=never()) as endpoint:
        ended = run(source + "sys.exit(3)", DTMETRICS_ENDPOINT=endpoint.url)
    assert_ended_in_time(ended, 3, "ReadTimeout")


HANGING_EXPORTER = """
import os, signal, sys, threading
from dtmetrics import MemoryExporter, configure, counter

class Hanging(MemoryExporter):
    def export(self, batch, timeout):
        for signum in map(int, sys.argv[1:]):
            os.kill(os.getpid(), signum)
        threading.Event().wait()

configure(exporter=Hanging())
counter("jobs.run").inc()
"""


@pytest.mark.processes
def test_exporter_hangs() -> None:
    """An exporter that hangs forever is abandoned at exit."""
    source = TIMER + HANGING_EXPORTER + START_TIMER + "sys.exit(3)"
    assert_ended_in_time(run(source), 3, "")


@needs_signals
def test_interrupted_end() -> None:
    """Ctrl-C during the final flush ends the program at once."""
    source = TIMER + HANGING_EXPORTER + START_TIMER
    ended = run(source, int(signal.SIGINT))
    assert "KeyboardInterrupt" in ended.err
    assert float(ended.out) < EXIT_SECONDS


def test_observers_alone() -> None:
    """A program that records nothing posts nothing at exit, even if it has observers.

    A reloader and the master of a server are such programs. An explicit flush or
    shutdown does send.
    """
    source = """
    import sys
    import dtmetrics
    dtmetrics.configure()
    dtmetrics.observe("pool.size")(lambda: 1)
    if sys.argv[1:]:
        getattr(dtmetrics, sys.argv[1])()
    """
    with Endpoint() as endpoint:
        assert run(source, DTMETRICS_ENDPOINT=endpoint.url).status == 0
        assert endpoint.connections == 0
        for how in "shutdown", "flush":
            assert run(source, how, DTMETRICS_ENDPOINT=endpoint.url).status == 0
    sent = [line for line in endpoint.lines if line.startswith("pool.size,")]
    assert len(sent) == 1 + 2  # after the flush, exit sends as well


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_debug_mode() -> None:
    """With warnings as errors and the checks of ``-X dev``, nothing is reported."""
    source = BEGIN + "flush()\ncounter('jobs.run').inc()"
    with Endpoint() as endpoint:
        ended = run(
            source,
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONDEVMODE="1",
            PYTHONWARNINGS="error",
        )
    assert (ended.status, ended.err) == (0, "")
    assert endpoint.total("jobs.run") == 4


@pytest.mark.processes
def test_throttled_at_exit() -> None:
    """An endpoint that throttles at exit gets another attempt, while there is time."""
    with Endpoint(answer(503), answer(429, headers=["Retry-After: 1"])) as endpoint:
        ended = run(BEGIN, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0
    assert endpoint.total("jobs.run") == 3
    assert ended.err.splitlines()[-1] == "dtmetrics: delivering again"
