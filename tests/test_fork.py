"""Forks of real programs that send to a real endpoint."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.endpoint import PATIENCE, Endpoint, accept, answer
from tests.support.script import NO_COLLECTION, run

if not hasattr(os, "fork"):
    pytest.skip("no fork here", allow_module_level=True)

# A process that hangs prints where, and ends. faulthandler's own timer does not do: in a
# child it waits for the parent's thread (CPython 3.11).
BEGIN = """
import faulthandler, os, signal, sys, threading
import dtmetrics
from dtmetrics import configure, counter, flush, observe, shutdown, stats

faulthandler.register(signal.SIGALRM, chain=True)

def limit_time():
    signal.alarm(10)

def flushers():
    return sum(t.name == "dtmetrics-flusher" for t in threading.enumerate())

def succeeded(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

limit_time()
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
        limit_time()
        alone = threading.active_count() == 1
        children.inc(7)
        alone = alone and flushers() == 1
        if how == "exit":
            sys.exit(not alone)
        while not flush(5.0):
            pass
        account = stats()
        os._exit(not (alone and account.collected == account.accepted == 1))
    limit_time()
    pids.append(pid)
    if len(pids) == 4:
        good = [succeeded(pid) for pid in pids]
        pids.clear()
        assert all(good), good
assert all([succeeded(pid) for pid in pids])
stop.set()
for thread in threads:
    thread.join()
while not flush(5.0):
    pass
assert shutdown()
account = stats()
assert account.collected == account.accepted, account
print(sum(counts))
"""


#: A thousand forks.
OFTEN = pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(300)])


@pytest.mark.processes
@pytest.mark.parametrize("how", ["flush", "exit"])
@pytest.mark.parametrize("rounds", [1, OFTEN])
def test_under_load(how: str, rounds: int) -> None:
    """After a fork while threads record, parent and child deliver their own counts.

    A child's first record starts its flusher, and its last record is sent when it exits.
    """
    forks = 20
    # With how="flush" every fifth request gets a 503, and flush() is called again.
    answers = [answer(503) if n % 5 == 4 else accept() for n in range(forks * 5)]
    for _ in range(rounds):
        with Endpoint(*(answers if how == "flush" else [])) as endpoint:
            ended = run(BEGIN + UNDER_LOAD, how, forks, DTMETRICS_ENDPOINT=endpoint.url)
        assert ended.status == 0, ended.err
        assert endpoint.total("parents") == int(ended.out)
        assert endpoint.total("children") == 7 * forks


MID_FLUSH = """
import httpx
where = sys.argv[1]
waiting, go, parent = threading.Event(), threading.Event(), os.getpid()

def wait(here):
    if here == where and os.getpid() == parent and not go.is_set():
        waiting.set()
        assert go.wait(10)

@observe("pool.size")
def size():
    wait("collecting")
    return 1

send = httpx.HTTPTransport.handle_request
httpx.HTTPTransport.handle_request = lambda *args: (wait("sending"), send(*args))[1]
configure(interval=0.003)

counter("parents").inc()
assert waiting.wait(10)
counter("parents").inc()
pid = os.fork()
if not pid:
    limit_time()
    counter("children").inc()
    os._exit(not (flushers() == 1 and flush(5.0) and shutdown()))
assert succeeded(pid)
go.set()
assert shutdown()
"""


@pytest.mark.parametrize("where", ["collecting", "sending"])
def test_fork_in_the_middle_of_a_flush(where: str) -> None:
    """A fork while the flusher is in a callback or a request makes no process hang."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + MID_FLUSH, where, DTMETRICS_ENDPOINT=endpoint.url)
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
    limit_time()
    counter("children").inc()
    done = flush(5.0)
    gc.collect()
    os._exit(not (done and stats().collected == 1))
assert succeeded(pid)
assert flush()
print(stats().collected)
"""


def test_waiting_batches_stay_with_the_parent() -> None:
    """A batch that waits at a fork is sent once, by the parent."""
    with Endpoint(answer(503)) as endpoint:
        ended = run(BEGIN + FLUSHED_BY_THE_MAIN_THREAD, DTMETRICS_ENDPOINT=endpoint.url)
    assert (ended.status, ended.out) == (0, "2\n"), ended.err
    assert (endpoint.total("parents"), endpoint.total("children")) == (2, 1)


def test_connections_are_not_shared() -> None:
    """A child opens a connection of its own, and leaves the parent's open.

    It does so without a ResourceWarning, which -W error would turn into noise.
    """
    with Endpoint() as endpoint:
        ended = run(
            BEGIN + FLUSHED_BY_THE_MAIN_THREAD,
            DTMETRICS_ENDPOINT=endpoint.url,
            # Python 3.12 and newer warn of a fork beside a thread, such as the one that posts.
            PYTHONWARNINGS="error,ignore:This process:DeprecationWarning",
        )
    assert (ended.status, ended.err) == (0, "")
    assert [request.connection for request in endpoint.requests] == [1, 2, 1]


BY_ITSELF = """
configure(interval=0.01)
counter("parents").inc()
pid = os.fork()
if not pid:
    limit_time()
    counter("children").inc()
    sys.stdin.readline()
    os._exit(0)
assert succeeded(pid)
"""


def test_child_flushes_by_itself() -> None:
    """A child that only records has its own flusher, which sends at each interval."""
    with Endpoint() as endpoint:
        program = subprocess.Popen(
            [sys.executable, "-c", BEGIN + BY_ITSELF],
            env={**os.environ, "DTMETRICS_ENDPOINT": endpoint.url},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        endpoint.wait_for_total("children", 1)
        _, errors = program.communicate("go on\n", timeout=PATIENCE)
    assert program.returncode == 0, errors
    assert (endpoint.total("parents"), endpoint.total("children")) == (1, 1)


CONFIGURED_BY_THE_CHILD = """
handle = counter("children")
handle.inc()
pid = os.fork()
if not pid:
    limit_time()
    configure()
    handle.inc()
    sys.exit(0)
assert succeeded(pid)
"""


def test_configured_by_the_child() -> None:
    """A child may call configure() itself, as workers of pre-fork servers do."""
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
    limit_time()
    sys.exit(0)
assert succeeded(pid)
"""


def test_child_that_records_nothing() -> None:
    """A child that records nothing does not send the parent's observations at exit."""
    with Endpoint() as endpoint:
        source = NO_COLLECTION + BEGIN + OBSERVED
        ended = run(source, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    assert [line.partition(",")[0] for line in endpoint.lines].count("pool.size") == 1


DESCRIBED = """
configure(interval=None)
orders = counter("orders", unit="{order}")
orders.inc()
assert flush()
pid = os.fork()
if not pid:
    limit_time()
    for _ in range(2):
        orders.inc()
        assert flush()
    os._exit(0)
assert succeeded(pid)
orders.inc()
assert flush()
"""


def test_child_sends_its_own_metadata() -> None:
    """Each process sends the metadata of a key once, after its first data."""
    with Endpoint() as endpoint:
        ended = run(BEGIN + DESCRIBED, DTMETRICS_ENDPOINT=endpoint.url)
    assert ended.status == 0, ended.err
    metadata = "#orders count dt.meta.unit=Count"
    is_metadata = [request.body.decode() == metadata for request in endpoint.requests]
    assert is_metadata == [False, True, False, True, False, False]
    assert endpoint.total("orders") == 4
