"""Programs in which no thread can be started, and what each records."""

from __future__ import annotations

from tests.support.script import expect

#: What is limited: memory, or the number of processes (as root only).
LIMITS = ["memory", "processes"]
INTERPRETERS = ["isolated", "legacy"]

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

# The main interpreter imports everything first: CPython 3.13.0 corrupts its heap if a
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
# Before 3.12 an interpreter that still has a thread cannot be destroyed.
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


def exhausted(what: str, url: str) -> dict[str, int]:
    """Record without threads; return the totals by key."""
    assert expect(EXHAUSTED, what, DTMETRICS_ENDPOINT=url) == "no thread\n"
    return {"jobs.run": 1_000, "at.exit": 1}


def subinterpreters(kind: str, url: str) -> dict[str, int]:
    """Record in the main and three other interpreters; return the totals by key."""
    expect(SUBINTERPRETER, kind, DTMETRICS_ENDPOINT=url)
    return {"inner": 3 * (2 + 3), "outer": 5 + 6}
