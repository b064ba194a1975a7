"""One call each: every operation of every library, in turns."""

from __future__ import annotations

import functools
from time import perf_counter
from typing import Any

from benchmarks.measure import Size, Statement, least_of_awaited, least_of_statements
from benchmarks.part import Result
from benchmarks.peers import OURS, Operations, nothing, nothing_awaited, present
from benchmarks.table import FLOOR, Table

__all__ = ["NAMES", "measure"]

AWAITED, OFF = "timed awaited", "off"

#: The keys of operations in `peers`, and their names in tables.
NAMES = {
    "inc": "counter inc, bound handle",
    "inc dimensions": "counter inc, 2 dimensions in the call",
    "set": "gauge set",
    "record": "summary record",
    "timed": "@timed function, overhead",
    AWAITED: "@timed coroutine function, overhead",
    "block": "with timed(...), reused handle",
    OFF: "@timed function, before configure()",
}

NOTE = (
    "The floor is an empty method call; for timers, two reads of the clock; before "
    "configure(), a whole call through functools.wraps."
)


class _Empty:
    __slots__ = ()

    def inc(self, amount: int = 1) -> None:
        pass

    set = record = inc


_CLOCK = Statement("start = clock(); took = clock() - start", {"clock": perf_counter})
_FLOORS = {
    "inc": Statement("handle.inc()", {"handle": _Empty()}),
    "inc dimensions": Statement("handle.inc()", {"handle": _Empty()}),
    "set": Statement("handle.set(1.5)", {"handle": _Empty()}),
    "record": Statement("handle.record(0.5)", {"handle": _Empty()}),
    "timed": _CLOCK,
    "block": _CLOCK,
}


def measure(size: Size) -> Result:
    """Return the cost of each operation, in nanoseconds."""
    off = _off(size.rounds)  # before `present` configures
    left_out: dict[str, str] = {}
    found = list(present(left_out))
    versions = {name: version for name, version, _ in found}
    peers = {name: operations for name, _, operations in found}
    rows: dict[str, dict[str, float]] = {name: {} for name in NAMES.values()}
    rows[NAMES[OFF]] = off
    # Now and then one case alone is a third slower for a whole second: each is
    # therefore measured again later.
    for _ in range(size.turns):
        for key, name in NAMES.items():
            if key == AWAITED:
                # Its floor is that of the plain function.
                floor = rows[NAMES["timed"]][FLOOR]
                _note(rows[name], {FLOOR: floor, **_awaited(peers, size)})
            elif key != OFF:
                _note(rows[name], _called(key, peers, size))
    table = Table("operations", "operation", "ns", rows, NOTE)
    return Result([table], versions, left_out)


def _note(least: dict[str, float], found: dict[str, float]) -> None:
    for name, cost in found.items():
        least[name] = min(cost, least.get(name, cost))


def _called(key: str, peers: dict[str, Operations], size: Size) -> dict[str, float]:
    """Return the cost of one call, without the cost of the timed function itself."""
    cases = {name: each[key] for name, each in peers.items() if key in each}
    cases[FLOOR] = _FLOORS[key]
    if key != "timed":
        return least_of_statements(cases, size.rounds)
    cases["bare"] = Statement("call(1)", {"call": nothing})
    took = least_of_statements(cases, size.rounds)
    bare = took.pop("bare")
    floor = took.pop(FLOOR)
    return {FLOOR: floor, **{name: each - bare for name, each in took.items()}}


def _awaited(peers: dict[str, Operations], size: Size) -> dict[str, float]:
    calls = {
        name: each[AWAITED].names["call"]
        for name, each in peers.items()
        if AWAITED in each
    }
    took = least_of_awaited({"bare": nothing_awaited, **calls}, size.rounds)
    bare = took.pop("bare")
    return {name: each - bare for name, each in took.items()}


def _off(rounds: int) -> dict[str, float]:
    """Measure a timed function before `configure()` was ever called in this process."""
    from dtmetrics import get_meter

    @functools.wraps(nothing)
    def through(*args: Any, **kwargs: Any) -> Any:
        return nothing(*args, **kwargs)

    timed = get_meter("library").timed(nothing)
    return least_of_statements(
        {
            OURS: Statement("call(1)", {"call": timed}),
            FLOOR: Statement("call(1)", {"call": through}),
        },
        rounds,
    )
