"""Forks while a thread holds a lock: in the child that thread does not exist."""

from __future__ import annotations

import signal
import tempfile
from contextlib import ExitStack
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.forks import WATCHED
from tests.faults.rig import Program, Received, Server

#: Seconds within which a child has recorded and flushed.
CHILD_SECONDS = 1.0

# In each child: every kind of instrument, old and new, and a log record.
CHILD = """
def child(number, delivers=True):
    signal.alarm(5)
    sys.settrace(None)
    threading.settrace(None)
    begin = time.perf_counter()
    parents.inc(0)
    children.inc()
    tally[100 + number] = delivers
    counter(f"new.{number}").inc(user=number)
    summary("sizes").record(number)
    gauge("workers").set(1)  # in a child with the number of a worker
    gauge("orders")  # a counter: the conflict is logged once
    done = flush(5.0 if delivers else 0.2)
    took = time.perf_counter() - begin
    tally[2000 + number] = int(took * 1e6)
    os._exit(not (done or not delivers))
"""

HELD = """
import gc
KINDS = type(threading.Lock()), type(threading.RLock())
PACKAGES = "dtmetrics", "httpx", "httpcore"
parents, children = counter("orders"), counter("jobs")
gauge("workers").set(1)

def is_inside(name):
    return name.partition(".")[0] in PACKAGES

def locks():
    "Every lock of an object or a module of ours, also inside events, with a name."
    owners = [(type(each).__qualname__, each) for each in gc.get_objects() if is_inside(type(each).__module__)]
    owners += [each for each in list(sys.modules.items()) if is_inside(each[0])]
    found = {}
    for name, owner in owners:
        slots = [slot for kind in type(owner).__mro__ for slot in getattr(kind, "__slots__", ())]
        parts = {slot: getattr(owner, slot, None) for slot in slots} | getattr(owner, "__dict__", {})
        for part, value in parts.items():
            for each in value.values() if isinstance(value, dict) else [value]:
                lock = each._cond._lock if isinstance(each, threading.Event) else each
                if isinstance(lock, KINDS):
                    found[id(lock)] = f"{name}.{part}", lock
    return list(found.values())

def hold(lock, held, go):
    "Hold the lock, unless another thread already does."
    if lock.acquire(timeout=1.0):
        held.set()
        go.wait(30)
        lock.release()
    held.set()

configure(interval=0.02, spool=sys.argv[1])
for number in range(20):
    parents.inc()
    tally[0] += 1
    time.sleep(0.01)
found, bad, forks = locks(), [], []
for number, (name, lock) in enumerate(found):
    held, go = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(lock, held, go))
    holder.start()
    held.wait()
    begin = time.perf_counter()
    pid = os.fork()
    if not pid:
        child(number)
    forks.append(time.perf_counter() - begin)
    signal.alarm(40)
    status = ended(pid)
    go.set()
    holder.join()
    took = tally[2000 + number] / 1e6
    if status or took > float(sys.argv[2]):
        bad.append([name, status, took])
    parents.inc()
    tally[0] += 1
finish(
    delivered=deliver(),
    bad=bad,
    names=sorted({name for name, _ in found}),
    worst=max(tally[2000:3000]) / 1e6,
)
"""

#: The flusher and its sending thread stop at each line that they reach for the first
#: time until the main thread has forked, and so hold each lock once during a fork.
AT_EACH_LINE = """
from _thread import allocate_lock
package, step = os.path.dirname(dtmetrics.__file__), int(sys.argv[3])
parents, children = counter("orders"), counter("jobs")
stopped, resumed = allocate_lock(), allocate_lock()
stopped.acquire(), resumed.acquire()
seen, lines, begin = set(), [], threading.Event()
forking = False

def trace(frame, event, _):
    code = frame.f_code
    if not code.co_filename.startswith(package):
        return None
    line = code.co_filename[len(package):], frame.f_lineno
    if event == "line" and forking and line not in seen:
        seen.add(line)
        if len(seen) % step == 0:
            lines.append(line)
            stopped.release()
            resumed.acquire()
    return trace

def feed():
    begin.wait()
    while begin.is_set():
        parents.inc()
        tally[0] += 1
        time.sleep(0.005)

feeder = threading.Thread(target=feed)
feeder.start()  # not traced: a lock may make it wait for a stopped thread
threading.settrace(trace)
configure(interval=0.02, spool=sys.argv[1])
begin.set()
bad, number = [], 0
for delivers in (True, False, True):
    report(phase=delivers)
    next_command()
    forking = True
    while stopped.acquire(timeout=1.0):  # a timeout means that no line is new
        pid = os.fork()
        if not pid:
            child(number, delivers)
        signal.alarm(40)
        status, took = ended(pid), tally[2000 + number] / 1e6
        if status or took > float(sys.argv[2]):
            bad.append([*lines[-1], status, took])
        number += 1
        resumed.release()
    forking = False
threading.settrace(None)
begin.clear()
feeder.join()
finish(delivered=deliver(), bad=bad, lines=len(seen), worst=max(tally[2000:]) / 1e6)
"""

COST = """
import httpx
if sys.argv[1] == "ours":
    configure(interval=5.0)
kinds = [counter("orders").bind(number=n) for n in range(1000)]
while forks := next_command():
    signal.alarm(40)
    taken = []
    for _ in range(int(forks)):
        for kind in kinds:
            kind.inc()
        begin = time.perf_counter_ns()
        pid = os.fork()
        if not pid:
            os._exit(0)
        taken.append(time.perf_counter_ns() - begin)
        os.waitpid(pid, 0)
    taken.sort()
    report(p99=taken[len(taken) * 99 // 100] / 1e6)
finish()
"""


@scenario()
def forked_with_a_lock_held(run: Run) -> Row:
    """A child forked while another thread holds any of our locks flushes within 1 s."""
    row, facts = _forked(run, HELD)
    if "names" in facts:
        row.require(len(facts["names"]) > 10, f"found only {facts['names']}")
        row.note(f"{len(facts['names'])} kinds of locks: {', '.join(facts['names'])}")
    return row


@scenario()
def forked_at_each_line(run: Run) -> Row:
    """A child forked while the flusher is at any line of its code flushes within 1 s."""
    row, facts = _forked(run, AT_EACH_LINE, 20 if run.quick else 1)
    if "lines" in facts:
        row.require(facts["lines"] > 300, f"{facts['lines']} lines only")
        row.note(f"{facts['lines']} lines")
    return row


@scenario()
def forks_take_no_longer(run: Run) -> Row:
    """The flusher adds less than 2 ms to a fork, p99."""
    row = Row()
    rounds, forks = (3, 50) if run.quick else (7, 200)
    figures: dict[str, list[float]] = {"bare": [], "ours": []}
    with Server() as server, ExitStack() as stack:
        programs = {
            how: stack.enter_context(run.program(WATCHED + COST, server, how))
            for how in figures
        }
        for _ in range(rounds):
            for how, program in programs.items():
                program.send(str(forks))
                facts = program.receive("p99")
                if not row.require(facts, f"no report: {program.last_error}"):
                    return row
                figures[how].append(facts["p99"])
        for program in programs.values():
            program.send()
            row.check_account(program, program.receive("stats"))
    # The least of the rounds: other processes of the machine disturb only some.
    bare, ours = min(figures["bare"]), min(figures["ours"])
    row.require(ours - bare < 2, f"p99 is {ours - bare:.1f} ms more")
    row.note(f"p99 of a fork {bare:.2f} ms without, {ours:.2f} ms with a flusher")
    return row


def _forked(run: Run, source: str, *more: object) -> tuple[Row, dict[str, Any]]:
    row = Row()
    # CPython 3.12 and later warn of any fork beside a thread.
    strict = {"PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning"}
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        arguments = (place, CHILD_SECONDS, *more)
        with run.program(
            WATCHED + CHILD + source, server, *arguments, **strict
        ) as program:
            for down in (False, True, False):
                if more and program.receive("phase"):
                    server.command("down" if down else "up")
                    program.send("go on")
            facts = program.receive("stats", 120)
            if row.check_account(program, facts):
                _check(row, server.received(), program, facts, repeats=bool(more))
    return row, facts


def _check(
    row: Row,
    received: Received,
    program: Program,
    facts: dict[str, Any],
    *,
    repeats: bool,
) -> None:
    """Require that each child has flushed; with *repeats* one batch may arrive twice."""
    tally = program.tally()
    row.expected = tally[0]
    row.actual = received.total("orders") - received.repeated_total("orders")
    row.require_exact()
    forks, least = sum(map(bool, tally[2000:])), sum(tally[100:2000])
    # What a child left in the spool during the outage may be sent by another one.
    jobs = received.total("jobs") - received.repeated_total("jobs")
    row.require(least <= jobs <= forks, f"{jobs} arrived of {least} children")
    # A batch that is sent just as the endpoint goes down is indeterminate.
    again = sum(bool(each["repeated"]) for each in received.journal)
    row.require(again <= repeats, f"{again} batches arrived twice")
    row.hung = sum(each[-2] == -signal.SIGALRM for each in facts["bad"])
    row.require(not facts["bad"], f"bad: {facts['bad'][:5]}")
    row.require(facts["delivered"], "not delivered")
    noise = [text for text in program.err if "ignored" in text or "Traceback" in text]
    row.require(not noise, f"wrote {noise[:1]}")
    row.note(
        f"{forks} forks, {least} while it was up; {jobs} children delivered, "
        f"the slowest in {facts['worst']:.2f} s"
    )
