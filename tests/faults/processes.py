"""Forks, signals, and how programs end."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.faults.attempts import EXIT_SECONDS, ROOM
from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import PATIENCE, Program, Server

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

TERMINATED = """
how = sys.argv[1]
if how == "chain":
    signal.signal(signal.SIGTERM, lambda *_: (tell(called=True), sys.exit(7)))
configure(interval=60.0)
if how != "default":
    dtmetrics.install_signal_handlers()
orders = counter("orders")
for _ in range(1000):
    orders.inc()
    tally[0] += 1
tell(ready=True)
while True:
    time.sleep(0.01)
"""

ENDING = """
configure()
counter("orders").inc(5)
tally[0] += 5
"""

LEAVING = """
counter_ = counter("orders")
configure(interval=0.05)
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    counter_.inc()
    tally[0] += 1
sys.exit(3)
"""

#: What hits the flusher: an error raised in its thread from outside, as often as that;
#: a callback that raises; a callback that blocks.
HURT = """
import ctypes
how = sys.argv[1]
asked = 0

@observe("pool.size")
def size():
    global asked
    asked += 1
    if threading.current_thread() is threading.main_thread():
        return 1  # it would be told of what its own callback raises
    if how == "raises" and asked % 3 == 1:
        raise (MemoryError, SystemExit, KeyboardInterrupt)[asked % 9 // 3]
    if how == "blocks" and asked == 2:
        time.sleep(10.0)
    return 1

configure(interval=0.1)
orders = counter("orders")
end = time.monotonic() + float(sys.argv[2])
hits, gap, since, before = 0, 0.0, time.monotonic(), 0
while (now := time.monotonic()) < end:
    orders.inc()
    tally[0] += 1
    flushes = dtmetrics.stats().flushes
    if flushes != before:
        before, since = flushes, now
    gap = max(gap, now - since)
    if how == "thrown" and hits < 30 * (now - end + float(sys.argv[2])):
        for thread in threading.enumerate():
            if thread.name.startswith("dtmetrics"):
                hits += 1
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(MemoryError)
                )
    time.sleep(0.001)
tell(gap=gap, hits=hits)
finish(delivered=deliver())
"""


@scenario(fast=True)
def forks_under_load(run: Run) -> Row:
    """200 forks while 3 threads record and 20 % of requests meet a 503: exact."""
    forks = 40 if run.quick else 200
    return _forks(run, UNDER_LOAD, forks, {"verdict": "status", "status": 503, "chance": 0.2})


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
            row.require(len(used) == 1 + rounds, "the parent's connection was disturbed")
    return row


@scenario(fast=True)
def terminated_by_default(run: Run) -> Row:
    """Nobody handles SIGTERM unless asked: the program ends by it, silently."""
    row, program, took = _terminated(run, "default")
    row.require(program.process.returncode == -15, f"{program.process.returncode}")
    row.require(not program.err, f"said {program.said}")
    row.require(took < ROOM, f"took {took:.1f} s")
    row.note(f"lost {row.truth - row.got} of {row.truth}: one interval, as documented")
    return row


@scenario(fast=True)
def terminated_with_handlers(run: Run) -> Row:
    """With install_signal_handlers() a SIGTERM loses nothing, and still ends by it."""
    row, program, took = _terminated(run, "handlers")
    row.require(
        program.process.returncode == -15,
        f"ended with {program.process.returncode}: {program.said}",
    )
    row.exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def terminated_with_the_programs_own(run: Run) -> Row:
    """A handler of the program's own is still called, and decides how it ends."""
    row, program, took = _terminated(run, "chain")
    row.require(
        program.process.returncode == 7,
        f"ended with {program.process.returncode}: {program.said}",
    )
    row.require(program.hear("called", 1), "its own handler was not called")
    row.exact()
    row.require(took < EXIT_SECONDS, f"took {took:.1f} s")
    return row


@scenario(fast=True)
def exit_meets_a_503(run: Run) -> Row:
    """One 503 at the end of a program loses nothing: there are 5 s to try again."""
    row = Row()
    with Server() as server, run.program(ENDING, server) as program:
        server.script({"verdict": "status", "status": 503, "times": 1})
        row.hung = int(program.wait(30) is None)
        row.truth, row.got = program.tally()[0], server.truth().total("orders")
        row.exact()
        row.require(program.process.returncode == 0, f"{program.process.returncode}")
    return row


@scenario()
def exits_while_posting(run: Run) -> Row:
    """Ended in the middle of a post, to a slow, dead or hung endpoint: in time, quietly."""
    row = Row()
    slow = {"verdict": "accept", "wait": 0.3}
    hung = {"verdict": "silent", "taken": True}
    rounds = 3 if run.quick else 16
    with Server() as server, ThreadPoolExecutor(4) as pool:
        for what in (slow, hung, None):
            if what is None:
                server.ask("down")
            else:
                server.script(what)

            def leave(number: int) -> tuple[int | None, float, list[str]]:
                with run.program(LEAVING, server, 0.05 * number / rounds) as program:
                    status = program.wait(30)
                    return status, time.monotonic() - program.began, program.err

            for status, took, said in pool.map(leave, range(4 * rounds)):
                row.hung += status is None
                row.require(status == 3, f"ended with {status}: {said[-1:]}")
                # 4 interpreters start at once.
                row.require(took < EXIT_SECONDS + 2 * ROOM, f"took {took:.1f} s")
                noise = [text for text in said if "deliver" not in text]
                row.require(not noise, f"said {noise[:1]}")
                row.require(len(said) <= 2, f"said {len(said)} lines")
    row.breaches = sorted(set(row.breaches))[:5]
    return row


@scenario(fast=True)
def callback_raises(run: Run) -> Row:
    """A callback that raises, even SystemExit, costs its own values and no other."""
    return _hurt(run, "raises")


@scenario()
def callback_blocks(run: Run) -> Row:
    """A callback that blocks for 10 s costs nothing that is recorded meanwhile."""
    return _hurt(run, "blocks", seconds=14, most=12)


@scenario(fast=True)
def flusher_is_hit(run: Run) -> Row:
    """MemoryErrors thrown into the flusher's thread stop it for 3 intervals at most."""
    return _hurt(run, "thrown")


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


def _terminated(run: Run, how: str) -> tuple[Row, Program, float]:
    row = Row()
    with Server() as server, run.program(TERMINATED, server, how) as program:
        program.hear("ready")
        program.kill(signal.SIGTERM)
        begin = time.monotonic()
        row.hung = int(program.wait(PATIENCE) is None)
        took = time.monotonic() - begin
        row.truth, row.got = program.tally()[0], server.truth().total("orders")
    return row, program, took


def _hurt(run: Run, how: str, seconds: float = 3, most: float = 1.0) -> Row:
    """Hurt the flusher for some *seconds*, between whose collections *most* may pass."""
    row = Row()
    with Server() as server, run.program(HURT, server, how, seconds) as program:
        facts = program.hear("gap")
        told = program.hear("stats", 90)
        if row.told(program, told):
            row.truth, row.got = program.tally()[0], server.truth().total("orders")
            row.exact()
            row.require(told["delivered"], "not delivered")
            row.require(facts["gap"] < most, f"nothing collected for {facts['gap']:.1f} s")
            row.note(f"at most {facts['gap']:.2f} s between collections, {facts['hits']} hits")
    return row
