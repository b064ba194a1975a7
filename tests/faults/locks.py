"""Forks at the worst moment: somebody holds a lock, and is not there in the child."""

from __future__ import annotations

import signal
import tempfile
from contextlib import ExitStack
from typing import Any

from tests.faults.campaign import Row, Run, scenario
from tests.faults.forks import WATCHED
from tests.faults.rig import Server

#: Seconds in which a child has recorded and flushed.
CHILD_SECONDS = 1.0

# In each child every kind of instrument, old and new, and a word of the log.
CHILD = """
from dtmetrics._instrument.worker_id import worker_number

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
    gauge("workers").set(int(worker_number()))
    gauge("orders")  # it is a counter: that is said once
    done = flush(5.0 if delivers else 0.2)
    took = time.perf_counter() - begin
    tally[2000 + number] = int(took * 1e6)
    os._exit(not (done or not delivers))
"""

HELD = """
import gc
KINDS = type(threading.Lock()), type(threading.RLock())
OURS = "dtmetrics", "httpx", "httpcore"
parents, children = counter("orders"), counter("jobs")
gauge("workers").set(int(worker_number()))

def is_ours(name):
    return name.partition(".")[0] in OURS

def locks():
    "Every lock of an object or a module, and those within events, by whose it is."
    owners = [(type(each).__qualname__, each) for each in gc.get_objects() if is_ours(type(each).__module__)]
    owners += [each for each in list(sys.modules.items()) if is_ours(each[0])]
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
    "Hold it, unless another thread does by itself."
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

#: The flusher, and who posts for it, stand still at each line that they come to for the
#: first time, until the main thread has forked: with whatever they hold there.
AT_EACH_LINE = """
from _thread import allocate_lock
package, step = os.path.dirname(dtmetrics.__file__), int(sys.argv[3])
parents, children = counter("orders"), counter("jobs")
asked, answered = allocate_lock(), allocate_lock()
asked.acquire(), answered.acquire()
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
            asked.release()
            answered.acquire()
    return trace

def feed():
    begin.wait()
    while begin.is_set():
        parents.inc()
        tally[0] += 1
        time.sleep(0.005)

feeder = threading.Thread(target=feed)
feeder.start()  # untraced: it alone may wait for who stands still
threading.settrace(trace)
configure(interval=0.02, spool=sys.argv[1])
begin.set()
bad, number = [], 0
for delivers in (True, False, True):
    tell(phase=delivers)
    hear()
    forking = True
    while asked.acquire(timeout=1.0):  # or else there is nothing new
        pid = os.fork()
        if not pid:
            child(number, delivers)
        signal.alarm(40)
        status, took = ended(pid), tally[2000 + number] / 1e6
        if status or took > float(sys.argv[2]):
            bad.append([*lines[-1], status, took])
        number += 1
        answered.release()
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
while what := hear():
    taken = []
    for _ in range(int(what)):
        for kind in kinds:
            kind.inc()
        begin = time.perf_counter_ns()
        pid = os.fork()
        if not pid:
            os._exit(0)
        taken.append(time.perf_counter_ns() - begin)
        os.waitpid(pid, 0)
    taken.sort()
    tell(p99=taken[len(taken) * 99 // 100] / 1e6)
finish()
"""


@scenario()
def forked_with_a_lock_held(run: Run) -> Row:
    """Whichever lock another thread holds at a fork, the child flushes within 1 s."""
    row, facts = _forked(run, HELD)
    if "names" in facts:
        row.require(len(facts["names"]) > 10, f"found only {facts['names']}")
        row.note(f"{len(facts['names'])} kinds of locks: {', '.join(facts['names'])}")
    return row


@scenario()
def forked_at_each_line(run: Run) -> Row:
    """At whichever line the flusher stands at a fork, the child flushes within 1 s."""
    row, facts = _forked(run, AT_EACH_LINE, 20 if run.quick else 1)
    if "lines" in facts:
        row.require(facts["lines"] > 300, f"{facts['lines']} lines only")
        row.note(f"{facts['lines']} lines")
    return row


@scenario()
def forks_take_no_longer(run: Run) -> Row:
    """A fork beside the flusher takes less than 2 ms more, p99."""
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
                program.say(str(forks))
                facts = program.hear("p99")
                if not row.require(facts, f"told nothing: {program.said}"):
                    return row
                figures[how].append(facts["p99"])
        for program in programs.values():
            program.say()
            row.told(program, program.hear("stats"))
    # What others on this machine cause does not come in each round.
    bare, ours = min(figures["bare"]), min(figures["ours"])
    row.require(ours - bare < 2, f"p99 is {ours - bare:.1f} ms more")
    row.note(f"p99 of a fork {bare:.2f} ms without, {ours:.2f} ms with a flusher")
    return row


def _forked(run: Run, source: str, *more: object) -> tuple[Row, dict[str, Any]]:
    row = Row()
    # But for what CPython 3.12 and later have to say of a fork beside a thread.
    strict = {"PYTHONWARNINGS": "error,ignore:This process:DeprecationWarning"}
    with tempfile.TemporaryDirectory(prefix="faults-") as place, Server() as server:
        arguments = (place, CHILD_SECONDS, *more)
        with run.program(
            WATCHED + CHILD + source, server, *arguments, **strict
        ) as program:
            for down in (False, True, False):
                if more and program.hear("phase"):
                    server.ask("down" if down else "up")
                    program.say("go on")
            facts = program.hear("stats", 120)
            if row.told(program, facts):
                truth, tally = server.truth(), program.tally()
                row.truth = tally[0]
                row.got = truth.total("orders") - truth.again_of("orders")
                row.exact()
                forks, least = sum(map(bool, tally[2000:])), sum(tally[100:2000])
                # What a child has kept while it was down may come by another one.
                jobs = truth.total("jobs") - truth.again_of("jobs")
                row.require(least <= jobs <= forks, f"{jobs} came of {least} children")
                # What is sent just as it goes down is in doubt.
                again = sum(bool(each["again"]) for each in truth.journal)
                row.require(again <= bool(more), f"{again} bodies came twice")
                row.hung = sum(each[-2] == -signal.SIGALRM for each in facts["bad"])
                row.require(not facts["bad"], f"bad: {facts['bad'][:5]}")
                row.require(facts["delivered"], "not delivered")
                noise = [t for t in program.err if "ignored" in t or "Traceback" in t]
                row.require(not noise, f"said {noise[:1]}")
                row.note(
                    f"{forks} forks, {least} while it was up; {jobs} children delivered, "
                    f"the slowest in {facts['worst']:.2f} s"
                )
    return row, facts
