"""What a series weighs: bytes that are still held after all of them were touched."""

from __future__ import annotations

import gc
import sys
import tracemalloc

from benchmarks.many import (
    BOUND,
    COUNTERS,
    COUNTERS_OF_THREE,
    SUMMARIES,
    Makers,
    pairs,
)
from benchmarks.measure import Size
from benchmarks.part import Result, child
from benchmarks.table import Table

__all__ = ["measure"]

NOTE = (
    "By tracemalloc, each in a fresh process, so that every figure comes out the same "
    "again; the dimensions' text is made beforehand and not counted."
)
_AFTER = ", after a flush"
_KINDS: dict[str, Makers] = {
    "counter, dimensions in the call": COUNTERS,
    "counter, threes in the call": COUNTERS_OF_THREE,
    "counter, handles kept": BOUND,
    "summary, dimensions in the call": SUMMARIES,
}
#: It writes lines and keeps no series.
_KEEPS_NONE = "dynatrace-metric-utils"


def measure(size: Size) -> Result:
    """Return bytes for each series, touched once, and for counters flushed once."""
    count = str(size.series // 5)
    rows: dict[str, dict[str, float]] = {}
    left_out = {}
    for kind, makers in _KINDS.items():
        for after in ("", _AFTER) if makers is COUNTERS else ("",):
            row = rows.setdefault(kind + after, {})
            for library in makers:
                if library == _KEEPS_NONE:
                    continue
                try:
                    printed = child("-m", __name__, kind, library, count, after)
                except RuntimeError as error:
                    left_out[f"{library}, memory"] = str(error)
                else:
                    row[library] = float(printed)
    title = f"memory of a series, 2 dimensions, {int(count):,} of them"
    return Result([Table("memory", title, "bytes", rows, NOTE)], {}, left_out)


def weigh(kind: str, library: str, count: int, *, after: bool) -> float:
    """Return the bytes that each of so many series holds."""
    make = _KINDS[kind][library]
    first = make(pairs(1))
    first.touch()
    first.encode()  # what is imported late and made once is no part of a series
    many = make(pairs(count))
    gc.collect()
    tracemalloc.start()
    many.touch()
    if after:
        many.encode()
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / count


if __name__ == "__main__":
    _, kind, library, count, after = sys.argv
    print(weigh(kind, library, int(count), after=bool(after)))
