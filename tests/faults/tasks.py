"""Many tasks in one thread: nobody's loop stands still because of us."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.task_programs import GREEN_ORDERS, Done, green, loop

#: Seconds for which a task that is ready may be kept from running.
MOST_BLOCKED = 0.05


@scenario(packages=("gevent",))
def gevent(run: Run) -> Row:
    """gevent, whenever it patches: exact, and no hub is blocked for 50 ms."""
    return _green(run, "gevent")


@scenario(packages=("eventlet",))
def eventlet(run: Run) -> Row:
    """eventlet, whenever it patches: exact, and no hub is blocked for 50 ms."""
    return _green(run, "eventlet")


@scenario()
def asyncio(run: Run) -> Row:
    """asyncio: exact, and no loop is blocked for 50 ms."""
    row = Row(truth=0, got=0)
    _watch(row, run, "asyncio", lambda url, rounds: loop("asyncio", url, rounds))
    return row


@scenario(packages=("uvloop",))
def uvloop(run: Run) -> Row:
    """uvloop: exact, and no loop is blocked for 50 ms."""
    row = Row(truth=0, got=0)
    _watch(row, run, "uvloop", lambda url, rounds: loop("uvloop", url, rounds))
    return row


def _green(run: Run, which: str) -> Row:
    row = Row(truth=0, got=0)
    for order in GREEN_ORDERS:

        def program(url: str, rounds: int, order: str = order) -> Done:
            return green(which, order, url, rounds)

        _watch(row, run, order, program)
    return row


def _watch(row: Row, run: Run, what: str, program: Callable[[str, int], Done]) -> None:
    """Run a *program* some times, against an endpoint that takes its time."""
    times, rounds = (1, 1) if run.quick else (3, 2)
    blocked = []
    for _ in range(times):
        with Server() as server:
            server.script({"verdict": "accept", "wait": 0.05})
            done = program(server.url, rounds)
            got = server.truth().total("orders")
        row.truth, row.got = row.truth + done.recorded, row.got + got
        row.require(got == done.recorded, f"{what}: {got - done.recorded}")
        blocked.append(done.blocked)
    # What others on this machine cause does not come each time at the same place.
    longest = max(map(min, zip(*blocked, strict=True)))
    row.require(longest < MOST_BLOCKED, f"{what}: blocked for {longest * 1000:.0f} ms")
    once = max(map(max, blocked))
    row.note(f"{what}: each time {longest * 1000:.0f} ms, once {once * 1000:.0f} ms")
