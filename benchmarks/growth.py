"""Whether a cost grows faster than it may: with series, dimensions and threads.

The bounds are wide, so that what breaks one is a change of kind (a scan where there
was a look-up, a lock that all wait for), no slow moment of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import process_time, thread_time
from typing import NamedTuple

import dtmetrics
from benchmarks.many import configure
from benchmarks.measure import (
    Size,
    Statement,
    cost_in_threads,
    least_of_statements,
    quiet,
)
from benchmarks.part import Result
from benchmarks.table import Table
from dtmetrics._record.meter import Meter
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry

__all__ = ["LIMITS", "Limit", "measure", "too_fast"]

THREADS = [1, 2, 4, 8, 16]
#: Of the endpoint's 50 one is ours, dt.metrics.source.
DIMENSIONS = [0, 1, 2, 5, 10, 25, 49]
INC, GIVEN = "inc, bound handles", "inc, a dimension in the call"
COUNTED = "flush, a line of a counter"
QUARANTINED = "quarantine of a key, with a prefix"
_SECONDS = 0.05
#: Of quarantined keys: an application has some hundred.
_KEYS = 1_000
#: Calls of one slice, however few series there are.
_CALLS = 2_000

Calls = Sequence[Callable[[float], object]]


class Limit(NamedTuple):
    """What a row may cost at most, as a multiple of what it costs in a column."""

    table: str
    row: str
    of: str
    to: str
    factor: float


LIMITS = [
    # Every series has to come into the processor's cache, but no more than that.
    Limit("growth series", INC, "1,000", "100,000", 6),
    Limit("growth series", "record, bound handles", "1,000", "100,000", 6),
    Limit("growth series", GIVEN, "1", "1,000", 3),
    # Past 1,024 sets of dimensions a handle cleans and looks up each anew.
    Limit("growth series", GIVEN, "10", "100,000", 30),
    Limit("growth series", COUNTED, "1,000", "100,000", 3),
    Limit("growth series", "flush, a line of a summary", "1,000", "100,000", 3),
    # A key is found by a look-up, not by a scan of all keys.
    Limit("growth series", QUARANTINED, "10", "1,000", 4),
    # Ten times the dimensions, ten times the cost of each and a constant.
    Limit("growth dimensions", "inc, in the call", "5", "49", 10),
    Limit("growth dimensions", "inc, bound handle", "0", "49", 2),
    Limit("growth dimensions", COUNTED, "5", "49", 10),
    Limit("growth threads", "inc, bound handle", "1", "16", 3),
    Limit("growth threads", "inc, 2 dimensions in the call", "1", "16", 3),
    Limit("growth threads", "record, bound handle", "1", "16", 3),
]


def too_fast(tables: Iterable[Table]) -> list[tuple[Limit, float, bool]]:
    """Return each limit with the growth that was measured, and whether it broke it."""
    rows = {table.key: table.rows for table in tables}
    judged = []
    for limit in LIMITS:
        row = rows.get(limit.table, {}).get(limit.row, {})
        if limit.of in row and limit.to in row:
            grew = row[limit.to] / row[limit.of]
            judged.append((limit, grew, grew > limit.factor))
    return judged


def measure(size: Size) -> Result:
    """Return nanoseconds of CPU by number of series, of dimensions and of threads."""
    counts = [count for count in (1, 10, 1_000, 100_000) if count <= size.series]
    return Result(
        [
            _table("series", {count: _with_series(count, size) for count in counts}),
            _table("dimensions", {n: _with_dimensions(n, size) for n in DIMENSIONS}),
            _table("threads", _with_threads(size)),
        ]
    )


def _table(what: str, costs: dict[int, dict[str, float]]) -> Table:
    """Turn columns into rows."""
    rows: dict[str, dict[str, float]] = {}
    for number, column in costs.items():
        for name, cost in column.items():
            rows.setdefault(name, {})[f"{number:,}"] = cost
    return Table(f"growth {what}", f"growth with {what}", "ns", rows)


def _with_series(count: int, size: Size) -> dict[str, float]:
    configure()
    numbers = range(count)
    requests, sizes = dtmetrics.counter("requests"), dtmetrics.summary("sizes")
    given = dtmetrics.counter("given").inc
    incs = [requests.bind(shard=n).inc for n in numbers]
    records = [sizes.bind(shard=n).record for n in numbers]
    calls: dict[str, Calls] = {
        INC: incs,
        "record, bound handles": records,
        GIVEN: [partial(given, shard=n) for n in numbers],
    }
    return {
        **{name: _called(each, size) for name, each in calls.items()},
        COUNTED: _flushed(incs, 3, size),
        "flush, a line of a summary": _flushed(records, 0.1234567, size),
        **({QUARANTINED: _quarantined(count, size)} if count <= _KEYS else {}),
    }


def _called(calls: Calls, size: Size) -> float:
    """Return what one call costs, in the fastest of several passes."""
    calls = [*calls] * max(1, _CALLS // len(calls))

    def once() -> float:
        start = thread_time()
        for call in calls:
            call(1)
        return thread_time() - start

    with quiet():
        return 1e9 * min(once() for _ in range(5 * size.turns)) / len(calls)


def _flushed(calls: Calls, value: float, size: Size) -> float:
    """Return what each line of a flush costs, its share of the flush included."""
    dtmetrics.flush()

    def once() -> float:
        for call in calls:
            call(value)
        start = process_time()
        dtmetrics.flush(60.0)
        return process_time() - start

    with quiet():
        return 1e9 * min(once() for _ in range(3 * size.turns)) / len(calls)


def _quarantined(count: int, size: Size) -> float:
    """Return what it costs to quarantine each of so many keys."""
    names = [f"shop.orders.number{n}.placed" for n in range(count)]

    def once() -> float:
        registry = Registry()
        registry.start(RecordingOptions(prefix="acme"), lambda: True)
        meter = Meter(registry, "")
        for name in names:
            meter.counter(name).inc()
        start = thread_time()
        for name in names:
            registry.quarantine(f"acme.{name}", "rejected")
        return thread_time() - start

    logging.disable()
    try:
        with quiet():
            passes = size.turns * max(1, _CALLS // count)
            return 1e9 * min(once() for _ in range(passes)) / count
    finally:
        logging.disable(logging.NOTSET)


def _with_dimensions(count: int, size: Size) -> dict[str, float]:
    configure()
    given = {f"dimension_{n}": f"value {n}" for n in range(count)}
    requests = dtmetrics.counter("requests")
    costs = least_of_statements(
        {
            "inc, bound handle": Statement(
                "handle.inc()", {"handle": requests.bind(**given)}
            ),
            "inc, in the call": Statement(
                "handle.inc(1, **given)", {"handle": requests, "given": given}
            ),
        },
        size.rounds // 2 + 1,
    )
    if count:
        given.popitem()  # for the one that tells the series apart
        several = dtmetrics.counter("several")
        incs = [several.bind(shard=n, **given).inc for n in range(1_000)]
        costs[COUNTED] = _flushed(incs, 3, size)
    return costs


def _with_threads(size: Size) -> dict[int, dict[str, float]]:
    configure()
    requests, sizes = dtmetrics.counter("requests"), dtmetrics.summary("sizes")
    statements = {
        "inc, bound handle": Statement("handle.inc()", {"handle": requests.bind(a=1)}),
        "inc, 2 dimensions in the call": Statement(
            "handle.inc(1, method=a, status=b)",
            {"handle": requests, "a": "GET", "b": "200"},
        ),
        "record, bound handle": Statement("handle.record(0.5)", {"handle": sizes}),
    }
    costs: dict[int, dict[str, float]] = {count: {} for count in THREADS}
    for _ in range(2 * size.turns):
        for count, column in costs.items():
            for name, statement in statements.items():
                cost, _waited = cost_in_threads(statement, count, _SECONDS)
                column[name] = min(cost, column.get(name, cost))
    return costs
