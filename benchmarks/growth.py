"""Whether a cost grows too fast: with series, dimensions, threads, rejected keys.

The limits are wide: only a change of kind breaks one (a scan instead of a look-up, a
lock that every thread waits for), not a slow moment of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import process_time, thread_time
from typing import NamedTuple

import dtmetrics
from benchmarks import forms
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
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["LIMITS", "Limit", "measure", "too_fast"]

THREADS = [1, 2, 4, 8, 16]
#: Numbers of keys whose lines the endpoint rejects.
REJECTED = [100, 1_000]
#: The endpoint allows 50; one of them, dt.metrics.source, is added by dtmetrics.
DIMENSIONS = [0, 1, 2, 5, 10, 25, 49]
INC, IN_CALL = "inc, bound handles", "inc, a dimension in the call"
COUNTED = "flush, a line of a counter"
_SECONDS = 0.05
#: Calls in one slice, for any number of series.
_CALLS = 2_000

Calls = Sequence[Callable[[float], object]]


class Limit(NamedTuple):
    """The most that a row may cost in column *to*, as a multiple of column *of*."""

    table: str
    row: str
    of: str
    to: str
    factor: float


LIMITS = [
    # Each series has to be loaded into the processor's cache, and nothing else.
    Limit("growth series", INC, "1,000", "100,000", 6),
    Limit("growth series", "record, bound handles", "1,000", "100,000", 6),
    Limit("growth series", IN_CALL, "1", "1,000", 3),
    # Beyond 2,048 sets of dimensions a handle normalizes each set again.
    Limit("growth series", IN_CALL, "10", "100,000", 30),
    Limit("growth series", COUNTED, "1,000", "100,000", 3),
    Limit("growth series", "flush, a line of a summary", "1,000", "100,000", 3),
    # Ten times the dimensions, each at the same cost, plus a constant.
    Limit("growth dimensions", "inc, in the call", "5", "49", 10),
    Limit("growth dimensions", "inc, bound handle", "0", "49", 2),
    Limit("growth dimensions", COUNTED, "5", "49", 10),
    Limit("growth threads", "inc, bound handle", "1", "16", 3),
    Limit("growth threads", "inc, 2 dimensions in the call", "1", "16", 3),
    Limit("growth threads", "record, bound handle", "1", "16", 3),
    # The forms of a program stay near the one that costs least, whatever came before.
    *(
        Limit(forms.CONTEXTS, row, forms.BEFORE, column, factor)
        for row in ("counter inc", "gauge set", "summary record", "with timed(...)")
        for column, factor in [
            (forms.AFTER, 1.3),
            (forms.OUTSIDE, 2.6),
            (forms.INSIDE, 2.6),
        ]
    ),
    # A rejected key is quarantined once; that must not depend on the other keys.
    Limit("growth rejected", "flush, a rejected key", "100", "1,000", 3),
    Limit("growth rejected", "flush, a rejected key with a prefix", "100", "1,000", 3),
]


def too_fast(tables: Iterable[Table]) -> list[tuple[Limit, float, bool]]:
    """Return each limit with the measured growth, and whether that breaks it."""
    rows = {table.key: table.rows for table in tables}
    checked = []
    for limit in LIMITS:
        row = rows.get(limit.table, {}).get(limit.row, {})
        if limit.of in row and limit.to in row:
            grew = row[limit.to] / row[limit.of]
            checked.append((limit, grew, grew > limit.factor))
    return checked


def measure(size: Size) -> Result:
    """Return nanoseconds of CPU by number of series, dimensions, threads and keys."""
    counts = [count for count in (1, 10, 1_000, 100_000) if count <= size.series]
    keys = [count for count in REJECTED if count <= size.series]
    return Result(
        [
            _table("series", {count: _with_series(count, size) for count in counts}),
            _table("dimensions", {n: _with_dimensions(n, size) for n in DIMENSIONS}),
            _table("threads", _with_threads(size)),
            _table(
                "rejected", {count: _with_rejected_keys(count, size) for count in keys}
            ),
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
    inc = dtmetrics.counter("in_call").inc
    incs = [requests.bind(shard=n).inc for n in numbers]
    records = [sizes.bind(shard=n).record for n in numbers]
    calls: dict[str, Calls] = {
        INC: incs,
        "record, bound handles": records,
        IN_CALL: [partial(inc, shard=n) for n in numbers],
    }
    return {
        **{name: _called(each, size) for name, each in calls.items()},
        COUNTED: _flushed(incs, 3, size),
        "flush, a line of a summary": _flushed(records, 0.1234567, size),
    }


def _called(calls: Calls, size: Size) -> float:
    """Return the cost of one call, in the fastest of several passes."""
    calls = [*calls] * max(1, _CALLS // len(calls))

    def once() -> float:
        start = thread_time()
        for call in calls:
            call(1)
        return thread_time() - start

    with quiet():
        return 1e9 * min(once() for _ in range(5 * size.turns)) / len(calls)


def _flushed(calls: Calls, value: float, size: Size) -> float:
    """Return the cost of a flush, divided by its lines."""
    dtmetrics.flush()

    def once() -> float:
        for call in calls:
            call(value)
        start = process_time()
        dtmetrics.flush(60.0)
        return process_time() - start

    with quiet():
        return 1e9 * min(once() for _ in range(3 * size.turns)) / len(calls)


def _with_dimensions(count: int, size: Size) -> dict[str, float]:
    configure()
    dimensions = {f"dimension_{n}": f"value {n}" for n in range(count)}
    requests = dtmetrics.counter("requests")
    costs = least_of_statements(
        {
            "inc, bound handle": Statement(
                "handle.inc()", {"handle": requests.bind(**dimensions)}
            ),
            "inc, in the call": Statement(
                "handle.inc(1, **dimensions)",
                {"handle": requests, "dimensions": dimensions},
            ),
        },
        size.rounds // 2 + 1,
    )
    if count:
        dimensions.popitem()  # makes room for the one that distinguishes the series
        several = dtmetrics.counter("several")
        incs = [several.bind(shard=n, **dimensions).inc for n in range(1_000)]
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


class _RejectAll:
    """An exporter whose endpoint rejects every line."""

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Reject all points of *batch*."""
        return ExportResult(
            Outcome.ANSWERED, rejected=batch.points, reason="rejected by the benchmark"
        )

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def reset_after_fork(self) -> None:
        """Do nothing: no lock or connection is shared."""


def _with_rejected_keys(count: int, size: Size) -> dict[str, float]:
    """Return the cost of the flushes that quarantine *count* keys, divided by them."""
    names = {"flush, a rejected key": "", "flush, a rejected key with a prefix": "shop"}
    costs = dict.fromkeys(names, float("inf"))
    with _no_log():
        for _ in range(size.turns):
            for name, prefix in names.items():
                costs[name] = min(costs[name], _quarantined(count, prefix))
    return {name: 1e9 * cost / count for name, cost in costs.items()}


def _quarantined(count: int, prefix: str) -> float:
    """Return the CPU time of all flushes until each of *count* keys is quarantined."""
    dtmetrics.configure(
        exporter=_RejectAll(),
        interval=None,
        prefix=prefix,
        self_metrics=False,
        enrich=False,
        force=True,
    )
    counters = [dtmetrics.counter(f"orders.number{n}") for n in range(count)]
    took = 0.0
    while len(dtmetrics.stats().quarantined) < count:
        for counter in counters:
            counter.inc()
        with quiet():
            start = process_time()
            dtmetrics.flush(60.0)
            took += process_time() - start
    return took


@contextmanager
def _no_log() -> Iterator[None]:
    """Disable logging: each quarantined key is logged."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
