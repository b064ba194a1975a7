"""Whether a flush stalls the program: the duration of requests while one runs.

A request does some work and records a few values. One thread serves requests; meanwhile
the flusher's thread is idle, or flushes many series again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter, sleep

import dtmetrics
from benchmarks.many import configure
from benchmarks.measure import Size
from benchmarks.part import Result
from benchmarks.table import Table

__all__ = ["CALM", "FLUSHED", "measure"]

CALM, FLUSHED = "no flush", "continuous flushes"
_SELDOM, _ALWAYS = 3600.0, 0.001
_PERCENTILES = {"p50": 499, "p99": 989, "p99.9": 998}
#: Iterations of the loop that stands for a request's work.
_LOOPS = {"short": 1_000, "long": 10_000}

Percentiles = dict[str, float]


def measure(size: Size) -> Result:
    """Return percentiles of a request in microseconds, with and without flushes."""
    took: dict[str, list[Percentiles]] = {CALM: [], FLUSHED: []}
    rates = []
    for _ in range(size.turns):
        took[CALM].append(_turn(size, _SELDOM)[0])
        percentiles, rate = _turn(size, _ALWAYS)
        took[FLUSHED].append(percentiles)
        rates.append(rate)
    dtmetrics.shutdown()
    rows = {
        name: {case: median(turn[name] for turn in took[case]) for case in took}
        for name in took[CALM][0]
    }
    note = (
        "One thread of requests, a gauge in each series; the median of turns. The "
        f"flusher's thread wrote {median(rates):,.0f} lines a second meanwhile."
    )
    title = f"a request that records, beside {size.series:,} series"
    return Result([Table("stall", title, "µs", rows, note)])


def _turn(size: Size, interval: float) -> tuple[Percentiles, float]:
    """Return percentiles of requests, and the lines flushed per second."""
    exporter = configure(interval)
    depth = dtmetrics.gauge("depth")  # a gauge is sent in every flush, changed or not
    for n in range(size.series):
        depth.set(n, shard=n)
    sleep(size.seconds / 5)
    before, start = exporter.points, perf_counter()
    found = {}
    for kind, loops in _LOOPS.items():
        cuts = quantiles(_serve(_request(loops), size.seconds), n=1000)
        for name, cut in _PERCENTILES.items():
            found[f"{kind}, {name}"] = 1e6 * cuts[cut]
    return found, (exporter.points - before) / (perf_counter() - start)


def _serve(request: Callable[[], None], seconds: float) -> list[float]:
    took = []
    end = perf_counter() + seconds
    while (start := perf_counter()) < end:
        request()
        took.append(perf_counter() - start)
    return took


def _request(loops: int) -> Callable[[], None]:
    duration = dtmetrics.timed("request.duration")
    requests = dtmetrics.counter("requests")
    found = dtmetrics.counter("found").bind(kind="page")
    size = dtmetrics.summary("size")

    def request() -> None:
        with duration:
            total = 0
            for n in range(loops):
                total += n
            requests.inc(1, method="GET", status="200")
            found.inc()
            size.record(total)

    return request
