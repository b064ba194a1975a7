"""Many threads, no thread at all, and subinterpreters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.threadless_programs import (
    INTERPRETERS,
    LIMITS,
    exhausted,
    subinterpreters,
)

ADDING = """
times = int(sys.argv[1])
configure(interval=0.1)
orders = counter("orders")

def add(number):
    inc = orders.inc
    for _ in range(times):
        inc()
    tally[number] = times

threads = [threading.Thread(target=add, args=(n,)) for n in range(16)]
begin = time.perf_counter()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
took = time.perf_counter() - begin
free = not getattr(sys, "_is_gil_enabled", lambda: True)()
finish(delivered=deliver(), took=took, free=free)
"""


@scenario(fast=True)
def sixteen_threads(run: Run) -> Row:
    """16 threads that add a million each to a counter lose nothing to its collections."""
    row = Row(expected=0, actual=0)
    times, rounds = (20_000, 1) if run.quick else (1_000_000, 3)
    for _ in range(rounds):
        with Server() as server, run.program(ADDING, server, times) as program:
            facts = program.receive("stats", 120)
            if not row.check_account(program, facts):
                return row
            row.expected += sum(program.tally())
            row.actual += server.received().total("orders")
            row.require(facts["delivered"], "not delivered")
            row.require(program.wait() == 0, f"ended with {program.last_error}")
            build = "without a GIL" if facts["free"] else "with a GIL"
            each = facts["took"] / (16 * times) * 1e9
            row.note(f"{each:.0f} ns an inc, on a build {build}")
    row.require_exact()
    return row


@scenario(needs=("root",))
def out_of_threads(run: Run) -> Row:
    """Where no thread can be started, explicit flushes deliver everything."""
    return _in_each(LIMITS, exhausted)


@scenario()
def subinterpreters_deliver(run: Run) -> Row:
    """Subinterpreters, isolated or not, and their host each deliver their own values."""
    return _in_each(INTERPRETERS, subinterpreters)


def _in_each(
    kinds: Iterable[str], record: Callable[[str, str], Mapping[str, int]]
) -> Row:
    """Compare what a program of each kind recorded with what arrived."""
    row = Row(expected=0, actual=0)
    for kind in kinds:
        with Server() as server:
            recorded, received = record(kind, server.url), server.received()
        row.expected += sum(recorded.values())
        row.actual += sum(map(received.total, recorded))
    row.require_exact()
    return row
