"""Memory of a series: bytes still allocated after each series was recorded once."""

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
    "By tracemalloc, each in a fresh process, so that figures are reproducible; the "
    "text of the dimensions exists beforehand and is not counted."
)
_AFTER = ", after a flush"
_KINDS: dict[str, Makers] = {
    "counter, dimensions in the call": COUNTERS,
    "counter, threes in the call": COUNTERS_OF_THREE,
    "counter, bound handles": BOUND,
    "summary, dimensions in the call": SUMMARIES,
}
#: Writes lines, and has no series.
_STATELESS = "dynatrace-metric-utils"


def measure(size: Size) -> Result:
    """Return the bytes of a series after one record, and of a counter after a flush."""
    count = str(size.series // 5)
    rows: dict[str, dict[str, float]] = {}
    left_out = {}
    for kind, makers in _KINDS.items():
        for after in ("", _AFTER) if makers is COUNTERS else ("",):
            row = rows.setdefault(kind + after, {})
            for library in makers:
                if library == _STATELESS:
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
    """Return the bytes of each of *count* series."""
    make = _KINDS[kind][library]
    first = make(pairs(1))
    first.touch()
    first.encode()  # late imports and caches are not part of a series
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
