"""Counts of values that could not be recorded, by instrument and reason."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Protocol

from dtmetrics._core import log
from dtmetrics._record.definition import Definition

__all__ = ["TOO_MANY_KEYS", "InvalidValues", "Reject", "ignore"]

TOO_MANY_KEYS = "more metric keys than max_series"

_NEW_KEYS = Definition(name="", kind="")


class Reject(Protocol):
    """Counts one invalid value of an instrument."""

    def __call__(self, reason: str, detail: str = "", /) -> object:
        """Count it by *reason*; the *detail* of the first one is logged."""


class InvalidValues:
    """Counts invalid values.

    Each count is an ``itertools.count``, whose ``next()`` is atomic, so that none is
    lost between threads.
    """

    def __init__(self) -> None:
        # Caps.report() logs that new keys have no room.
        self._reported: set[tuple[Definition, str]] = {(_NEW_KEYS, TOO_MANY_KEYS)}
        self.clear()

    def clear(self) -> None:
        """Count from zero again; what was logged is not logged again."""
        self._counts: dict[tuple[Definition, str], count[int]] = {}
        self._details: dict[tuple[Definition, str], str] = {}

    def add(self, definition: Definition, reason: str, detail: str = "", /) -> None:
        """Count one invalid value of the instrument with this *definition*."""
        key = (definition, reason)
        if detail:
            self._details.setdefault(key, detail)
        next(self._counts.get(key) or self._counts.setdefault(key, count()))

    def add_to_new_key(self) -> None:
        """Count one value of a new metric key for which there is no room."""
        # Not by its definition: there may be millions of such keys.
        self.add(_NEW_KEYS, TOO_MANY_KEYS)

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
                detail = self._details.get(key)
                details = f" ({detail})" if detail else ""
                log.warning("ignored an invalid value of %s: %s%s", *key, details)


def ignore(_reason: str, _detail: str = "", /) -> None:
    """Reject without counting, where the value has been counted before."""


def _value_of(values: count[int]) -> int:
    # repr() is "count(42)", where 42 is what next() would return; it changes nothing.
    return int(repr(values)[len("count(") : -1])
