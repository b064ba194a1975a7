"""How programs end: nothing lost, nothing held up, nothing said too much."""

from __future__ import annotations

import os
import signal

import pytest

from dtmetrics._runtime.runtime import EXIT_SECONDS
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    dribble,
    hang_up,
    never,
)
from tests.support.endpoint import refusing_port as port_of_nobody
from tests.support.script import Ended, run

BEGIN = """
import os, signal, sys, threading
from dtmetrics import configure, counter, flush, shutdown

configure()
counter("jobs.run").inc(3)
"""

ENDINGS = {
    "the end": ("", 0, ""),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "exception": ("raise LookupError('own')", 1, "LookupError: own"),
    "interrupt": ("signal.raise_signal(signal.SIGINT)", -2, "KeyboardInterrupt"),
    "handled SIGTERM": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()",
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
    "own shutdown": ("assert shutdown()\nassert shutdown()", 0, ""),
    "no thread": ("configure(interval=None, force=True)\n", 0, ""),
    "registered later": (
        "import atexit\natexit.register(counter('jobs.run').inc, 0)",
        0,
        "",
    ),
}


@pytest.mark.parametrize(
    ("source", "status", "said"), ENDINGS.values(), ids=ENDINGS.keys()
)
def test_loses_nothing(source: str, status: int, said: str) -> None:
    """However a short script ends, what it recorded arrives, and it ends as it would."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.out) == (status, "")
    assert said in ended.err
    assert "dtmetrics" not in ended.err
    assert endpoint.total("jobs.run") == 3


def test_records_at_exit() -> None:
    """What an exit handler of the program's own records arrives, too."""
    source = "import atexit\natexit.register(counter('jobs.run').inc, 4)"
    with Endpoint() as endpoint:
        ended = run(BEGIN + source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.err) == (0, "")
    assert endpoint.total("jobs.run") == 7


def only_this(ended: Ended, status: int, said: str) -> None:
    """Assert that a program ended in time, as it wanted, and told its trouble once.

    And how much was lost.
    """
    assert ended.status == status
    assert ended.out == ""
    trouble = ended.err.splitlines()
    # Where both come after five seconds, either may be the first.
    trouble.remove("dtmetrics: shut down with 1 data points undelivered")
    assert len(trouble) <= 1
    assert all(said in line for line in trouble)
    assert ended.seconds < EXIT_SECONDS + 3  # its start and imports take some


@pytest.mark.parametrize(
    "verdict",
    [
        answer(503),
        answer(401, "<html>no</html>"),
        hang_up(),
        hang_up(before_reading=True, reset=True),
    ],
    ids=["503", "401", "fin", "rst"],
)
def test_endpoint_in_trouble(verdict: Verdict) -> None:
    """An endpoint that takes nothing costs a program two lines of its log, no more."""
    with Endpoint(*[verdict] * 9) as endpoint:
        ended = run(BEGIN + "sys.exit(3)", DTMETRICS_ENDPOINT=endpoint.url)
    only_this(ended, 3, "cannot deliver, will retry: ")
    assert ended.seconds < EXIT_SECONDS + 3


def test_endpoint_down() -> None:
    """So does one that is not there."""
    url = f"http://localhost:{port_of_nobody()}/x"
    ended = run(BEGIN + "sys.exit(3)", DTMETRICS_ENDPOINT=url)
    only_this(ended, 3, "cannot deliver, will retry: ConnectError")
    assert ended.seconds < EXIT_SECONDS


@pytest.mark.parametrize("source", ["sys.exit(3)", "configure(interval=None, force=True); counter('a').inc(); sys.exit(3)"], ids=["thread", "no thread"])  # fmt: skip
def test_endpoint_hangs(source: str) -> None:
    """An endpoint that never answers holds up the end for a few seconds at most."""
    with Endpoint(otherwise=never()) as endpoint:
        begin = (
            BEGIN.replace('counter("jobs.run").inc(3)', "") if ";" in source else BEGIN
        )
        ended = run(begin + source, DTMETRICS_ENDPOINT=endpoint.url)
    only_this(ended, 3, "cannot deliver, will retry: ReadTimeout")


def test_endpoint_dribbles() -> None:
    """Nor does one whose answer never comes to its end, a byte at a time."""
    slow = dribble("HTTP/1.1 202 OK\nX-Slow: ", pause=0.1, taken=False)
    with Endpoint(otherwise=slow) as endpoint:
        ended = run(BEGIN + "sys.exit(3)", DTMETRICS_ENDPOINT=endpoint.url)
    only_this(ended, 3, "cannot deliver")


HANGING_EXPORTER = """
import sys, threading
from dtmetrics import MemoryExporter, configure, counter

class Hanging(MemoryExporter):
    def export(self, body, timeout):
        threading.Event().wait()

configure(exporter=Hanging())
counter("jobs.run").inc()
sys.exit(3)
"""


def test_exporter_hangs() -> None:
    """Even an exporter that hangs for ever, or a name server, is left behind."""
    only_this(run(HANGING_EXPORTER), 3, "")


def test_interrupted_end() -> None:
    """Ctrl-C while the end is waiting for a hanging endpoint ends it at once."""
    source = """
import os, signal, sys, threading
from dtmetrics import MemoryExporter, configure, counter

class Hanging(MemoryExporter):
    def export(self, body, timeout):
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait()

configure(exporter=Hanging())
counter("jobs.run").inc()
"""
    assert run(source).seconds < EXIT_SECONDS


def test_killed_is_killed() -> None:
    """No signal is handled: a program that is terminated ends by that signal."""
    with Endpoint(accept()) as endpoint:
        ended = run(
            BEGIN + "os.kill(os.getpid(), signal.SIGTERM)",
            DTMETRICS_ENDPOINT=endpoint.url,
        )
    assert (ended.status, ended.err) == (-signal.SIGTERM, "")


def test_configured_and_silent() -> None:
    """A program that configures and records nothing ends at once, and posts nothing."""
    source = "from dtmetrics import configure\nconfigure()"
    with Endpoint() as endpoint:
        ended = run(source, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert endpoint.connections == 0


def test_observing_and_silent() -> None:
    """One that records nothing posts nothing at its end, whatever it could observe.

    It starts those that record: the parent of a reloader, a server that only forks. What
    it flushes itself is sent.
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
    said = [line for line in endpoint.lines if line.startswith("pool.size,")]
    assert len(said) == 1 + 2  # and once more at the end


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_debug_mode() -> None:
    """With every warning an error and the checks of ``-X dev`` nothing is said."""
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


def test_busy_for_a_moment() -> None:
    """An endpoint that is busy when a program ends is asked again, while there is time."""
    with Endpoint(answer(503), answer(429, headers=["Retry-After: 1"])) as endpoint:
        ended = run(BEGIN, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0
    assert endpoint.total("jobs.run") == 3
    assert ended.err.splitlines()[-1] == "dtmetrics: delivering again"
