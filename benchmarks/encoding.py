"""Collecting and encoding: from series in memory to bytes, warm."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from time import process_time

from benchmarks.many import (
    COUNTERS,
    COUNTERS_OF_THREE,
    SUMMARIES,
    Makers,
    Many,
    Pairs,
    pairs,
)
from benchmarks.measure import Size, quiet
from benchmarks.part import Result
from benchmarks.peers import OURS
from benchmarks.table import Table

__all__ = ["PEAK", "measure"]

PEAK = "peak of a flush"
NOTE = (
    "CPU time. dtmetrics: flush() into an exporter that counts; prometheus_client: "
    "generate_latest; opentelemetry-sdk: collected and encoded for OTLP; "
    "dynatrace-metric-utils: created and serialised. prometheus_client's Histogram, "
    "with 17 lines for each series, is left out: its Summary stands in its column."
)


def measure(size: Size) -> Result:
    """Return the milliseconds of encoding all series, and the peak of a flush in MB."""
    title = f"{size.series:,} series to bytes"
    summaries = {n: make for n, make in SUMMARIES.items() if n != "prometheus_client"}
    summaries["prometheus_client"] = summaries.pop("prometheus_client, Summary")
    left_out: dict[str, str] = {}
    # Counters have a goal, and get one more turn for accuracy.
    rows = {
        "counters": _encoded(COUNTERS, size.series, size.turns, left_out),
        "counters, by three": _encoded(
            COUNTERS_OF_THREE, size.series, size.turns - 1, left_out
        ),
        "summaries": _encoded(summaries, size.series, size.turns - 1, left_out),
    }
    peaks = {
        "counters": {PEAK: _peak(COUNTERS[OURS](pairs(size.series)))},
        "summaries": {PEAK: _peak(SUMMARIES[OURS](pairs(size.series)))},
    }
    return Result(
        [
            Table("encoding", title, "ms", rows, NOTE),
            Table("peak", f"extra memory, {size.series:,} series", "MB", peaks),
        ],
        {},
        left_out,
    )


def _encoded(
    makers: Makers, count: int, turns: int, left_out: dict[str, str]
) -> dict[str, float]:
    dimensions = pairs(count)
    made = {
        name: _made(name, make, dimensions, left_out) for name, make in makers.items()
    }
    manys = {library: many for library, many in made.items() if many is not None}
    least = dict.fromkeys(manys, float("inf"))
    manys[OURS].encode()  # the first flush writes the part of each line that stays
    for _ in range(max(1, turns)):
        for library, many in manys.items():
            if library == OURS:
                many.touch()  # only changed counters are sent
            with quiet():
                start = process_time()
                many.encode()
                least[library] = min(least[library], process_time() - start)
    return {library: 1e3 * seconds for library, seconds in least.items()}


def _made(
    library: str,
    make: Callable[[Pairs], Many],
    dimensions: Pairs,
    left_out: dict[str, str],
) -> Many | None:
    """Return a library's series, each recorded once; None if it does not work here."""
    try:
        few = make(dimensions[:10])
        few.touch()
        few.encode()  # late imports
        many = make(dimensions)
        many.touch()
    except Exception as error:  # noqa: BLE001 -- a library too old for this Python
        left_out[f"{library}, encoding"] = f"{type(error).__name__}: {error}"
        return None
    return many


def _peak(many: Many) -> float:
    """Return the memory that a flush needs at its peak, in MB."""
    for _ in range(2):
        many.touch()
        many.encode()
    many.touch()
    tracemalloc.start()
    many.encode()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6
