"""Forks under load: parent and child deliver their own values, and neither hangs."""

from __future__ import annotations

import signal
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

WATCHED = """
import faulthandler
faulthandler.register(signal.SIGALRM, chain=True)  # prints where it hung, and ends it
signal.alarm(40)

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

UNDER_LOAD = """
forks = int(sys.argv[1])
configure(interval=0.01)
parents, children, stop = counter("orders"), counter("jobs"), threading.Event()

def load(number):
    while not stop.is_set():
        parents.inc()
        tally[number] += 1

threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
pids, bad = [], []
for number in range(forks):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        children.inc(7)
        tally[100 + number] = 7
        if number % 2:
            sys.exit(not deliver(15.0))
        os._exit(not deliver(15.0))
    signal.alarm(40)
    pids.append(pid)
    if len(pids) == 4:
        bad += [status for status in map(ended, pids) if status]
        pids.clear()
bad += [status for status in map(ended, pids) if status]
stop.set()
for thread in threads:
    thread.join()
finish(delivered=deliver(), bad=bad)
"""

AT_ONCE = """
forks = int(sys.argv[1])
parents, children = counter("orders"), counter("jobs")
configure(interval=0.001)
pids, bad = [], []
for number in range(forks):
    parents.inc()
    tally[0] += 1
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        children.inc()
        tally[100 + number] = 1
        os._exit(not deliver(15.0))
    pids.append(pid)
    time.sleep(0.001)
bad += [status for status in map(ended, pids) if status]
finish(delivered=deliver(), bad=bad)
"""

FIRST_POST = """
configure(interval=None)
counter("orders").inc()
before = set(sys.modules)
flush(5.0)
finish(new=sorted(set(sys.modules) - before))
"""

CROSSED = """
configure(interval=None)
counter("orders").inc(process="parent")
assert flush(5.0)  # the connection is open now, and the children inherit it
rounds, pids = int(sys.argv[1]), []

def hammer(process, rejected):
    before = dtmetrics.stats().rejected
    for _ in range(rounds):
        counter("orders").inc(process=process)
        counter("orders").inc(process=f"all of {process.strip('<>')}")
        if not flush(5.0):
            return False
    return dtmetrics.stats().rejected - before == (rounds if rejected else 0)

for number in range(8):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        os._exit(not hammer(f"<{number}>" if number % 2 else f"{number}", number % 2))
    pids.append(pid)
good = hammer("parent", False)
bad = [status for status in map(ended, pids) if status]
finish(good=good, bad=bad)
"""


@scenario()
def forks_under_load(run: Run) -> Row:
    """200 forks lose nothing while 3 threads record and 20 % of requests get a 503."""
    forks = 40 if run.quick else 200
    return _forks(
        run, UNDER_LOAD, forks, {"action": "status", "status": 503, "chance": 0.2}
    )


@scenario(fast=True)
def forks_from_the_start(run: Run) -> Row:
    """Forks each millisecond right after configure() neither hang nor lose anything."""
    row = Row()
    rounds, forks = (1, 100) if run.quick else (20, 200)
    for _ in range(rounds):
        one = _forks(run, AT_ONCE, forks)
        row.expected = (row.expected or 0) + (one.expected or 0)
        row.actual = (row.actual or 0) + (one.actual or 0)
        row.hung += one.hung
        row.breaches += one.breaches
    return row


@scenario(fast=True)
def first_post_imports_nothing(run: Run) -> Row:
    """The first request imports nothing, so that no fork meets a half-imported module."""
    row = Row()
    with Server() as server, run.program(FIRST_POST, server) as program:
        facts = program.receive("stats")
        if row.check_account(program, facts):
            row.expected, row.actual = 0, len(facts["new"])
            row.require(not facts["new"], f"imported {facts['new'][:5]}")
    return row


@scenario(fast=True)
def connection_is_not_shared(run: Run) -> Row:
    """A parent and 8 children that send at once each get the answers to their requests."""
    row = Row()
    rounds = 20 if run.quick else 100
    with Server() as server, run.program(WATCHED + CROSSED, server, rounds) as program:
        # Answers can be told apart: the lines of every other child are rejected.
        server.script({"action": "partly", "marker": "<"})
        facts = program.receive("stats")
        if row.check_account(program, facts):
            received = server.received()
            row.expected, row.actual = 1 + 14 * rounds, received.total("orders")
            row.require_exact()
            row.hung = facts["bad"].count(-signal.SIGALRM)
            row.require(not facts["bad"], f"children ended with {facts['bad']}")
            row.require(facts["good"], "the parent got the answer to a child's request")
            first = received.journal[0]["connection"]
            used = [e for e in received.journal if e["connection"] == first]
            row.require(
                len(used) == 1 + rounds, "the parent's connection was disturbed"
            )
    return row


def _forks(run: Run, source: str, forks: int, *script: dict[str, Any]) -> Row:
    row = Row()
    with Server() as server, run.program(WATCHED + source, server, forks) as program:
        server.script(*script)
        facts = program.receive("stats", 120)
        if row.check_account(program, facts):
            received, tally = server.received(), program.tally()
            row.expected = sum(tally)
            row.actual = received.total("orders") + received.total("jobs")
            row.require_exact()
            row.require(
                received.total("jobs") == sum(tally[100:]),
                f"children: {received.total('jobs')} of {sum(tally[100:])}",
            )
            row.hung = facts["bad"].count(-signal.SIGALRM)
            row.require(not facts["bad"], f"children ended with {facts['bad'][:5]}")
            row.require(facts["delivered"], "not delivered")
    return row
