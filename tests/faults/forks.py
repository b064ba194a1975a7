"""Forks: what is whose, and nobody hangs."""

from __future__ import annotations

import signal
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server

WATCHED = """
import faulthandler
faulthandler.register(signal.SIGALRM, chain=True)  # says where it hung, and ends it
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
counter("orders").inc(who="parent")
assert flush(5.0)  # the connection is warm now, and the children inherit it
rounds, pids = int(sys.argv[1]), []

def hammer(who, refused):
    before = dtmetrics.stats().rejected
    for _ in range(rounds):
        counter("orders").inc(who=who)
        counter("orders").inc(who=f"all of {who.strip('<>')}")
        if not flush(5.0):
            return False
    return dtmetrics.stats().rejected - before == (rounds if refused else 0)

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
    """200 forks while 3 threads record and 20 % of requests meet a 503: exact."""
    forks = 40 if run.quick else 200
    return _forks(
        run, UNDER_LOAD, forks, {"verdict": "status", "status": 503, "chance": 0.2}
    )


@scenario(fast=True)
def forks_from_the_start(run: Run) -> Row:
    """A fork each millisecond from the first moment on: none hangs, none loses."""
    row = Row()
    rounds, forks = (1, 100) if run.quick else (20, 200)
    for _ in range(rounds):
        one = _forks(run, AT_ONCE, forks)
        row.truth = (row.truth or 0) + (one.truth or 0)
        row.got = (row.got or 0) + (one.got or 0)
        row.hung += one.hung
        row.breaches += one.breaches
    return row


@scenario(fast=True)
def first_post_imports_nothing(run: Run) -> Row:
    """A fork during the first post finds no module half imported: it imports none."""
    row = Row()
    with Server() as server, run.program(FIRST_POST, server) as program:
        facts = program.hear("stats")
        if row.told(program, facts):
            row.truth, row.got = 0, len(facts["new"])
            row.require(not facts["new"], f"imported {facts['new'][:5]}")
    return row


@scenario(fast=True)
def connection_is_not_shared(run: Run) -> Row:
    """A parent and 8 children post at once, and each gets the answers that are its own."""
    row = Row()
    rounds = 20 if run.quick else 100
    with Server() as server, run.program(WATCHED + CROSSED, server, rounds) as program:
        # Whose answer it is shows: the lines of every other child are refused.
        server.script({"verdict": "partly", "marker": "<"})
        facts = program.hear("stats")
        if row.told(program, facts):
            truth = server.truth()
            row.truth, row.got = 1 + 14 * rounds, truth.total("orders")
            row.exact()
            row.hung = facts["bad"].count(-signal.SIGALRM)
            row.require(not facts["bad"], f"children ended with {facts['bad']}")
            row.require(facts["good"], "the parent was given others' answers")
            warm = truth.journal[0]["connection"]
            used = [e for e in truth.journal if e["connection"] == warm]
            row.require(
                len(used) == 1 + rounds, "the parent's connection was disturbed"
            )
    return row


def _forks(run: Run, source: str, forks: int, *script: dict[str, Any]) -> Row:
    row = Row()
    with Server() as server, run.program(WATCHED + source, server, forks) as program:
        server.script(*script)
        facts = program.hear("stats", 120)
        if row.told(program, facts):
            truth, tally = server.truth(), program.tally()
            row.truth = sum(tally)
            row.got = truth.total("orders") + truth.total("jobs")
            row.exact()
            row.require(
                truth.total("jobs") == sum(tally[100:]),
                f"children: {truth.total('jobs')} of {sum(tally[100:])}",
            )
            row.hung = facts["bad"].count(-signal.SIGALRM)
            row.require(not facts["bad"], f"children ended with {facts['bad'][:5]}")
            row.require(facts["delivered"], "not delivered")
    return row
