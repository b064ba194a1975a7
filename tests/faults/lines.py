"""The lines that arrived, read by a parser that shares nothing with the library."""

from __future__ import annotations

import re
from typing import Any

#: The key of a probe line, which asks whether the endpoint answers and carries no data.
PROBE = "dtmetrics.client.probe"

_LINE = re.compile(
    r'([A-Za-z_][\w.-]*)((?:,[a-z_][\w.:-]*=(?:"(?:[^"\\]|\\.)*"|(?:[^ ,"\\]|\\.)+))*)'
    r" (count,delta=|gauge,)(\S+)(?: ([0-9]+))?",
    re.ASCII | re.DOTALL,
)
_SUMMARY = re.compile(r"min=[^,]+,max=[^,]+,sum=[^,]+,count=([0-9]+)")


def is_data(line: str) -> bool:
    """Return whether *line* is a data point: neither metadata nor a probe."""
    return not line.startswith(("#", PROBE))


class Ingested:
    """The sums of all accepted lines: counters by deltas, summaries by counts."""

    def __init__(self) -> None:
        self.lines = 0
        self.metadata = 0
        self.unreadable: list[str] = []
        #: By key and dimensions: the number of lines, and their total.
        self.series: dict[str, dict[str, list[Any]]] = {}
        #: By key: the same for lines whose exact text had arrived before.
        self.repeated: dict[str, list[Any]] = {}
        #: Lines of the same series and timestamp with different values.
        self.collisions = 0
        #: The age of the lines in seconds; a negative age lies in the future.
        self.oldest, self.newest = float("-inf"), float("inf")
        self._seen: set[int] = set()
        self._moments: set[int] = set()

    def ingest(self, text: str, now: float) -> None:
        """Add the lines of one batch, which arrives at the time *now*."""
        for line in text.split("\n"):
            if line.startswith("#"):
                self.metadata += 1
            else:
                self._take(line, now)

    def _take(self, line: str, now: float) -> None:
        found = _LINE.fullmatch(line)
        if found is None:
            self.unreadable.append(line[:200])
            return
        self.lines += 1
        key, dimensions, kind, payload, stamp = found.groups()
        total = _total(kind, payload)
        where = self.series.setdefault(key, {}).setdefault(dimensions, [0, 0])
        where[0] += 1
        where[1] += total
        moment = hash((key, dimensions, kind, stamp))
        whole = hash(line)
        if whole in self._seen:
            again = self.repeated.setdefault(key, [0, 0])
            again[0] += 1
            again[1] += total
        elif moment in self._moments:
            self.collisions += 1
        self._seen.add(whole)
        self._moments.add(moment)
        if stamp is not None:
            age = now - int(stamp) / 1000
            self.oldest, self.newest = max(self.oldest, age), min(self.newest, age)

    def report(self) -> dict[str, Any]:
        """Return everything, as JSON can hold it."""
        return {
            "lines": self.lines,
            "metadata": self.metadata,
            "unreadable": self.unreadable[:10],
            "repeated": self.repeated,
            "collisions": self.collisions,
            "oldest": self.oldest if self.lines else 0,
            "newest": self.newest if self.lines else 0,
            "series": self.series,
        }


def _total(kind: str, payload: str) -> Any:
    if kind == "count,delta=":
        return int(payload) if payload.lstrip("-").isdigit() else float(payload)
    summary = _SUMMARY.fullmatch(payload)
    return int(summary[1]) if summary else 1
