"""Where no thread can be had: nothing breaks, and a flush does its work."""

from __future__ import annotations

import os
import sys

import pytest

from tests.endpoint import Endpoint
from tests.script import expect

if sys.platform == "win32":
    pytest.skip("no such limits", allow_module_level=True)

EXHAUSTED = """
import os, resource, sys, threading
from dtmetrics import configure, counter, flush

configure()
if sys.argv[1] == "memory":
    pages = int(open("/proc/self/statm").read().split()[0])
    room = (pages * resource.getpagesize() + (4 << 20),) * 2
    resource.setrlimit(resource.RLIMIT_AS, room)
else:
    os.setuid(65534)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    threading.Thread(target=bool).start()
except RuntimeError:
    print("no thread")
for _ in range(1_000):
    counter("jobs.run").inc()
assert threading.active_count() == 1
assert flush()
counter("at.exit").inc()
"""


@pytest.mark.parametrize("what", ["memory", "processes"])
def test_no_thread_left(what: str) -> None:
    """With no thread to be had a program records on, and flushes as it says and ends."""
    if what == "processes" and os.getuid() != 0:
        pytest.skip("only root becomes somebody without processes")
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc here")
    with Endpoint() as endpoint:
        out = expect(EXHAUSTED, what, DTMETRICS_ENDPOINT=endpoint.url)
    assert out == "no thread\n"
    assert (endpoint.total("jobs.run"), endpoint.total("at.exit")) == (1_000, 1)


# The host loads everything first: CPython 3.13.0 breaks its heap where a
# subinterpreter is the first to import datetime.
SUBINTERPRETER = '''
import sys
from dtmetrics import configure, counter, flush, stats

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    def create(kind): return interpreters.create(kind)
else:
    import _xxsubinterpreters as interpreters
    def create(kind): return interpreters.create(isolated=kind == "isolated")

INNER = """
import sys, threading
sys.path[:] = {path}
from dtmetrics import configure, counter, flush, shutdown, stats
configure()
counter("inner").inc(2)
assert flush()
counter("inner").inc(3)
{end}
"""
# Before 3.12 an interpreter that still has a thread is not destroyed.
end = "" if sys.version_info >= (3, 12) else "shutdown()"

configure()
counter("outer").inc(5)
for _ in range(3):
    inner = create(sys.argv[1])
    failed = interpreters.run_string(inner, INNER.format(path=sys.path, end=end))
    assert not failed, failed
    interpreters.destroy(inner)
assert flush()
assert stats().collected == stats().accepted == 1
counter("outer").inc(6)
'''


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_subinterpreter(kind: str) -> None:
    """A subinterpreter delivers by itself, thread or not, and its host is left alone."""
    with Endpoint() as endpoint:
        expect(SUBINTERPRETER, kind, DTMETRICS_ENDPOINT=endpoint.url)
    assert (endpoint.total("inner"), endpoint.total("outer")) == (15, 11)
