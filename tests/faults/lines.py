"""The truth of what arrived: every line that was taken, by a parser of its own."""

from __future__ import annotations

import re
from typing import Any

#: Asks whether anybody is there; no point of anybody's.
PROBE = "dtmetrics.client.probe"

_LINE = re.compile(
    r'([A-Za-z_][\w.-]*)((?:,[a-z_][\w.:-]*=(?:"(?:[^"\\]|\\.)*"|(?:[^ ,"\\]|\\.)+))*)'
    r" (count,delta=|gauge,)(\S+)(?: ([0-9]+))?",
    re.ASCII | re.DOTALL,
)
_SUMMARY = re.compile(r"min=[^,]+,max=[^,]+,sum=[^,]+,count=([0-9]+)")


def is_data(line: str) -> bool:
    """Say whether *line* is a point of somebody's."""
    return not line.startswith(("#", PROBE))


class Taken:
    """Adds up what was taken: counters by their deltas, summaries by their counts."""

    def __init__(self) -> None:
        self.lines = 0
        self.metadata = 0
        self.unreadable: list[str] = []
        #: Per key, per dimensions: lines, total.
        self.series: dict[str, dict[str, list[Any]]] = {}
        #: Per key: what was in lines that had been taken before, to the letter.
        self.again: dict[str, list[Any]] = {}
        #: Lines of one series and one moment that say different things.
        self.collisions = 0
        #: How old the lines were, in seconds; less than zero is in the future.
        self.oldest, self.newest = float("-inf"), float("inf")
        self._seen: set[int] = set()
        self._moments: set[int] = set()

    def take(self, text: str, now: float) -> None:
        """Take the lines of one body, at the time *now*."""
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
            again = self.again.setdefault(key, [0, 0])
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
        """Return all of it, as JSON can hold it."""
        return {
            "lines": self.lines,
            "metadata": self.metadata,
            "unreadable": self.unreadable[:10],
            "again": self.again,
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
