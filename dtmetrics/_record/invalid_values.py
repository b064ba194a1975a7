"""What could not be recorded: how much of it, of which instrument, and why."""

from __future__ import annotations

from collections import Counter
from itertools import count

from dtmetrics._core import log
from dtmetrics._record.family import Definition

__all__ = ["InvalidValues", "ignore"]


class InvalidValues:
    """Counts values that were refused, by instrument and reason.

    As a counter counts ones, so that no refusal is lost between threads.
    """

    def __init__(self) -> None:
        self._reported: set[tuple[Definition, str]] = set()
        self.clear()

    def clear(self) -> None:
        """Count from zero; what was reported stays so."""
        self._counted: dict[tuple[Definition, str], count[int]] = {}

    def add(self, definition: Definition, reason: str) -> None:
        """Count one value of *definition*'s; it is reported later."""
        where = (definition, reason)
        next(self._counted.get(where) or self._counted.setdefault(where, count()))

    def total(self) -> dict[str, int]:
        """Return how many values were refused, by reason."""
        total: Counter[str] = Counter()
        for (_, reason), ones in list(self._counted.items()):
            total[reason] += _counted_by(ones)
        return dict(total)

    def report(self) -> None:
        """Log what was refused for the first time, each instrument and reason once."""
        for where in list(self._counted):
            if where not in self._reported:
                self._reported.add(where)
                log.warning("refused a value of %s: %s", *where)


def ignore(reason: str) -> None:
    """Refuse without a word: what is refused was counted before."""


def _counted_by(ones: count[int]) -> int:
    # Its repr is "count(42)": what next() would be, told without counting it.
    return int(repr(ones)[len("count(") : -1])
