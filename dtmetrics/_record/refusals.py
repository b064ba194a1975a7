"""What could not be recorded: how much of it, of which instrument, and why."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from dtmetrics._record import log
from dtmetrics._record.family import Definition
from dtmetrics._record.series import CounterSeries
from dtmetrics._wire.line import identify

__all__ = ["Refusals"]

_NOBODY = identify("", ())
_FOLD_AT = 64


class Refusals:
    """Counts values that were refused, by instrument and reason.

    Counted like any other series, so that no refusal is lost between threads.
    """

    def __init__(self) -> None:
        self._reported: set[tuple[Definition, str]] = set()
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what was refused so far is the parent's."""
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Count from zero; what was reported stays so."""
        self._counted: dict[tuple[Definition, str], CounterSeries] = {}

    def add(self, definition: Definition, reason: str) -> None:
        """Count one value of *definition*'s; it is reported later."""
        where = (definition, reason)
        series = self._counted.get(where)
        if series is None:
            fresh = CounterSeries(_NOBODY, self._lock, _ignore, _FOLD_AT)
            series = self._counted.setdefault(where, fresh)
        series.values.append(1)
        if len(series.values) > _FOLD_AT:
            series.fold_if_free()

    def total(self) -> dict[str, int]:
        """Return how many values were refused, by reason."""
        total: Counter[str] = Counter()
        counted = self._counted
        for where in list(counted):
            total[where[1]] += sum(counted[where].values[:])
        return dict(total)

    def report(self) -> None:
        """Log what was refused for the first time, each instrument and reason once."""
        for where in list(self._counted):
            if where not in self._reported:
                self._reported.add(where)
                log.warning("refused a value of %s: %s", *where)


def _ignore(reason: str) -> None:
    """Never called: a one is no number to refuse."""
