"""Many tasks in one thread: dtmetrics does not block their event loop."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.campaign import Row, Run, scenario
from tests.faults.rig import Server
from tests.support.task_programs import GREEN_ORDERS, Done, green, loop

#: Seconds for which a ready task may be kept from running.
MOST_BLOCKED = 0.05


@scenario(packages=("gevent",))
def gevent(run: Run) -> Row:
    """Programs on gevent, patched at any time, lose nothing; no hub is blocked for 50 ms."""
    return _green(run, "gevent")


@scenario(packages=("eventlet",))
def eventlet(run: Run) -> Row:
    """Programs on eventlet, patched at any time, lose nothing; no hub is blocked for 50 ms."""
    return _green(run, "eventlet")


@scenario()
def asyncio(run: Run) -> Row:
    """A program on asyncio loses nothing, and its loop is never blocked for 50 ms."""
    row = Row(expected=0, actual=0)
    _watch(row, run, "asyncio", lambda url, rounds: loop("asyncio", url, rounds))
    return row


@scenario(packages=("uvloop",))
def uvloop(run: Run) -> Row:
    """A program on uvloop loses nothing, and its loop is never blocked for 50 ms."""
    row = Row(expected=0, actual=0)
    _watch(row, run, "uvloop", lambda url, rounds: loop("uvloop", url, rounds))
    return row


def _green(run: Run, which: str) -> Row:
    row = Row(expected=0, actual=0)
    for order in GREEN_ORDERS:

        def program(url: str, rounds: int, order: str = order) -> Done:
            return green(which, order, url, rounds)

        _watch(row, run, order, program)
    return row


def _watch(row: Row, run: Run, what: str, program: Callable[[str, int], Done]) -> None:
    """Run a *program* several times against a slow endpoint, and compare."""
    times, rounds = (1, 1) if run.quick else (3, 2)
    blocked = []
    for _ in range(times):
        with Server() as server:
            server.script({"action": "accept", "wait": 0.05})
            done = program(server.url, rounds)
            actual = server.received().total("orders")
        row.expected, row.actual = row.expected + done.recorded, row.actual + actual
        row.require(actual == done.recorded, f"{what}: {actual - done.recorded}")
        blocked.append(done.blocked)
    # The least of the runs for each place: other processes disturb only some runs.
    longest = max(map(min, zip(*blocked, strict=True)))
    row.require(longest < MOST_BLOCKED, f"{what}: blocked for {longest * 1000:.0f} ms")
    once = max(map(max, blocked))
    row.note(f"{what}: each time {longest * 1000:.0f} ms, once {once * 1000:.0f} ms")
