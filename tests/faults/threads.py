"""Many threads, or none to be had; interpreters within."""

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
    """16 threads add a million each to one counter, while it is collected: exact."""
    row = Row(truth=0, got=0)
    times, rounds = (20_000, 1) if run.quick else (1_000_000, 3)
    for _ in range(rounds):
        with Server() as server, run.program(ADDING, server, times) as program:
            facts = program.hear("stats", 120)
            if not row.told(program, facts):
                return row
            row.truth += sum(program.tally())
            row.got += server.truth().total("orders")
            row.require(facts["delivered"], "not delivered")
            row.require(program.wait() == 0, f"ended with {program.said}")
            build = "without a GIL" if facts["free"] else "with a GIL"
            each = facts["took"] / (16 * times) * 1e9
            row.note(f"{each:.0f} ns an inc, on a build {build}")
    row.exact()
    return row


@scenario(needs=("root",))
def no_thread_is_left(run: Run) -> Row:
    """Without memory or processes for a thread, explicit flushes deliver all."""
    return _in_each(LIMITS, exhausted)


@scenario()
def subinterpreters_deliver(run: Run) -> Row:
    """Interpreters within, isolated or not, deliver by themselves; their host as well."""
    return _in_each(INTERPRETERS, subinterpreters)


def _in_each(
    kinds: Iterable[str], record: Callable[[str, str], Mapping[str, int]]
) -> Row:
    """Compare what a program of each kind recorded with what came of it."""
    row = Row(truth=0, got=0)
    for kind in kinds:
        with Server() as server:
            recorded, truth = record(kind, server.url), server.truth()
        row.truth += sum(recorded.values())
        row.got += sum(map(truth.total, recorded))
    row.exact()
    return row
