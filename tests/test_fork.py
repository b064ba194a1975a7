"""Real forks of real programs, which post to a real endpoint."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.endpoint import PATIENCE, Endpoint, accept, answer
from tests.support.script import run

if not hasattr(os, "fork"):
    pytest.skip("no fork here", allow_module_level=True)

# What hangs says where, and ends. Not by faulthandler's own timer: in a child it would
# wait for the parent's thread (CPython 3.11).
BEGIN = """
import faulthandler, os, signal, sys, threading
import dtmetrics
from dtmetrics import configure, counter, flush, observe, shutdown, stats

faulthandler.register(signal.SIGALRM, chain=True)

def watched():
    signal.alarm(10)

def flushers():
    return sum(t.name == "dtmetrics-flusher" for t in threading.enumerate())

def ended_well(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

watched()
"""

UNDER_LOAD = """
how, forks = sys.argv[1], int(sys.argv[2])
configure(interval=0.003)
parents, children = counter("parents"), counter("children")
stop, counts = threading.Event(), [0, 0, 0]

def load(number):
    while not stop.is_set():
        parents.inc()
        counts[number] += 1

threads = [threading.Thread(target=load, args=(n,)) for n in range(len(counts))]
for thread in threads:
    thread.start()
pids = []
for number in range(forks):
    pid = os.fork()
    if not pid:
        watched()
        alone = threading.active_count() == 1
        children.inc(7)
        alone = alone and flushers() == 1
        if how == "exit":
            sys.exit(not alone)
        while not flush(5.0):
            pass
        told = stats()
        os._exit(not (alone and told.collected == told.accepted == 1))
    watched()
    pids.append(pid)
    if len(pids) == 4:
        good = [ended_well(pid) for pid in pids]
        pids.clear()
        assert all(good), good
assert all([ended_well(pid) for pid in pids])
stop.set()
for thread in threads:
    thread.join()
while not flush(5.0):
    pass
assert shutdown()
told = stats()
assert told.collected == told.accepted, told
print(sum(counts))
"""


def forks_under_load(how: str, forks: int) -> None:
    """Fork so often while threads record; nothing may be lost, doubled or stuck."""
    # Of those who flush until all is delivered, each fifth request is put off.
    bad = [answer(503) if n % 5 == 4 else accept() for n in range(forks * 5)]
    with Endpoint(*(bad if how == "flush" else [])) as endpoint:
        ended = run(BEGIN + UNDER_LOAD, how, forks, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    assert endpoint.total("parents") == int(ended.out)
    assert endpoint.total("children") == 7 * forks


@pytest.mark.parametrize("how", ["flush", "exit"])
def test_under_load(how: str) -> None:
    """Forked while threads record and the flusher posts, both sides deliver exactly.

    No count is lost, none comes twice, no child hangs; each child's thread is started
    by its first record, and what a child recorded last is sent when it exits.
    """
    forks_under_load(how, 20)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["flush", "exit"])
def test_under_load_often(how: str) -> None:
    """So it is in a thousand forks."""
    for _ in range(20):
        forks_under_load(how, 50)


IN_THE_MIDDLE = """
where = sys.argv[1]
inside, go, parent = threading.Event(), threading.Event(), os.getpid()

def hang(here):
    if here == where and os.getpid() == parent and not go.is_set():
        inside.set()
        assert go.wait(10)

@observe("pool.size")
def size():
    hang("collecting")
    return 1

configure(interval=0.003)
sending = dtmetrics._runtime.runtime.default._flusher._sender
post = sending._exporter.export
sending._exporter.export = lambda *given: (hang("sending"), post(*given))[1]

counter("parents").inc()
assert inside.wait(10)
counter("parents").inc()
pid = os.fork()
if not pid:
    watched()
    counter("children").inc()
    os._exit(not (flushers() == 1 and flush(5.0) and shutdown()))
assert ended_well(pid)
go.set()
assert shutdown()
"""


@pytest.mark.parametrize("where", ["collecting", "sending"])
def test_in_the_middle(where: str) -> None:
    """Forked while the flusher holds its turn, in a callback or an export, none hangs."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + IN_THE_MIDDLE, where, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    assert (endpoint.total("parents"), endpoint.total("children")) == (2, 1)


FLUSHED_BY_THE_MAIN_THREAD = """
import gc
configure(interval=None)
counter("parents").inc()
flush()
counter("parents").inc()
pid = os.fork()
if not pid:
    watched()
    counter("children").inc()
    done = flush(5.0)
    gc.collect()
    os._exit(not (done and stats().collected == 1))
assert ended_well(pid)
assert flush()
print(stats().collected)
"""


def test_what_waits_is_the_parents() -> None:
    """What waited at the fork is sent by the parent, once, and by no child."""
    with Endpoint(answer(503)) as endpoint:
        ended = run(BEGIN + FLUSHED_BY_THE_MAIN_THREAD, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.out) == (0, "2\n"), ended.err
    assert (endpoint.total("parents"), endpoint.total("children")) == (2, 1)


def test_connections_are_not_shared() -> None:
    """A child opens a connection of its own, and leaves the parent's undisturbed.

    Nor does it say that it leaves it open, to whoever wants to be told of such things.
    """
    with Endpoint() as endpoint:
        ended = run(
            BEGIN + FLUSHED_BY_THE_MAIN_THREAD,
            DTMETRICS_ENDPOINT=endpoint.url,
            PYTHONWARNINGS="error",
        )
    assert (ended.status, ended.err) == (0, "")
    assert [request.connection for request in endpoint.requests] == [1, 2, 1]


BY_ITSELF = """
configure(interval=0.01)
counter("parents").inc()
pid = os.fork()
if not pid:
    watched()
    counter("children").inc()
    sys.stdin.readline()
    os._exit(0)
assert ended_well(pid)
"""


def test_child_flushes_by_itself() -> None:
    """A child that only records is flushed by its own thread, interval by interval."""
    with Endpoint() as endpoint:
        program = subprocess.Popen(
            [sys.executable, "-c", BEGIN + BY_ITSELF],
            env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        endpoint.wait_for_total("children", 1)
        _, said = program.communicate("go on\n", timeout=PATIENCE)
    assert program.returncode == 0, said
    assert (endpoint.total("parents"), endpoint.total("children")) == (1, 1)


CONFIGURED_BY_THE_CHILD = """
handle = counter("children")
handle.inc()
pid = os.fork()
if not pid:
    watched()
    configure()
    handle.inc()
    sys.exit(0)
assert ended_well(pid)
"""


def test_configured_by_the_child() -> None:
    """A child may configure for itself: pre-fork servers do so in each worker."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + CONFIGURED_BY_THE_CHILD, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    assert endpoint.total("children") == 1


OBSERVED = """
configure(interval=3_600.0)
observe("pool.size")(lambda: 1)
counter("parents").inc()
pid = os.fork()
if not pid:
    watched()
    sys.exit(0)
assert ended_well(pid)
"""


def test_child_that_records_nothing() -> None:
    """What the parent observes is not told by each child that ends."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + OBSERVED, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    assert [line.partition(",")[0] for line in endpoint.lines].count("pool.size") == 1


EXPLAINED = """
configure(interval=None)
orders = counter("orders", unit="{order}")
orders.inc()
assert flush()
pid = os.fork()
if not pid:
    watched()
    for _ in range(2):
        orders.inc()
        assert flush()
    os._exit(0)
assert ended_well(pid)
orders.inc()
assert flush()
"""


def test_child_explains_its_keys() -> None:
    """Each process says once what a key means, after its first data."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + EXPLAINED, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    meaning = "#orders count dt.meta.unit=Count"
    bodies = [request.body.decode() == meaning for request in endpoint.requests]
    assert bodies == [False, True, False, True, False, False]
    assert endpoint.total("orders") == 4
