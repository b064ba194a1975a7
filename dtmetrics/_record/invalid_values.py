"""Counts of values that could not be recorded, by instrument and reason."""

from __future__ import annotations

from collections import Counter
from itertools import count

from dtmetrics._core import log
from dtmetrics._record.definition import Definition

__all__ = ["InvalidValues", "ignore"]


class InvalidValues:
    """Counts invalid values.

    Each count is an ``itertools.count``, whose ``next()`` is atomic, so that none is
    lost between threads.
    """

    def __init__(self) -> None:
        self._reported: set[tuple[Definition, str]] = set()
        self.clear()

    def clear(self) -> None:
        """Count from zero again; what was logged is not logged again."""
        self._counts: dict[tuple[Definition, str], count[int]] = {}

    def add(self, definition: Definition, reason: str) -> None:
        """Count one invalid value of the instrument with this *definition*."""
        key = (definition, reason)
        next(self._counts.get(key) or self._counts.setdefault(key, count()))

    def total(self) -> dict[str, int]:
        """Return the number of invalid values by reason."""
        total: Counter[str] = Counter()
        for (_, reason), values in list(self._counts.items()):
            total[reason] += _value_of(values)
        return dict(total)

    def report(self) -> None:
        """Log each instrument and reason that has not been logged yet."""
        for key in list(self._counts):
            if key not in self._reported:
                self._reported.add(key)
                log.warning("ignored an invalid value of %s: %s", *key)


def ignore(reason: str) -> None:
    """Reject without counting, where the value has been counted before."""


def _value_of(values: count[int]) -> int:
    # repr() is "count(42)", where 42 is what next() would return; it changes nothing.
    return int(repr(values)[len("count(") : -1])
