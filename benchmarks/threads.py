"""Many threads on one counter: CPU time and wall-clock time of each inc."""

from __future__ import annotations

from benchmarks.measure import Size, cost_in_threads
from benchmarks.part import Result
from benchmarks.peers import present
from benchmarks.table import Table

__all__ = ["measure", "row"]

COUNTS = [1, 4, 8]
#: Many times the switch interval of 5 ms, after which a thread gives up the GIL.
_SECONDS = 0.05


def row(threads: int) -> str:
    """Return the name of the row for *threads* threads."""
    return f"{threads} threads" if threads > 1 else "1 thread"


def measure(size: Size) -> Result:
    """Return the cost of an inc through one bound handle that all threads share."""
    left_out: dict[str, str] = {}
    found = list(present(left_out))
    cpu: dict[str, dict[str, float]] = {row(count): {} for count in COUNTS}
    wall: dict[str, dict[str, float]] = {row(count): {} for count in COUNTS}
    for _ in range(2 * size.turns):
        for count in COUNTS:
            for name, _version, operations in found:
                if "inc" in operations:
                    costs = cost_in_threads(operations["inc"], count, _SECONDS)
                    for table, cost in zip((cpu, wall), costs, strict=True):
                        before = table[row(count)].get(name, cost)
                        table[row(count)][name] = min(cost, before)
    tables = [
        Table("threads", "one counter, CPU time for each inc", "ns", cpu),
        Table("threads waiting", "the same, wall-clock time", "ns", wall),
    ]
    return Result(tables, {}, left_out)
