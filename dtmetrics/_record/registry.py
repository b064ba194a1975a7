"""Which series there are: get or make, within limits, and ``collect()``.

Series come with recording and go when it stops; their families stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from threading import RLock
from typing import Any, Protocol

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import clean_dimension_key, line_prefix
from dtmetrics._protocol.point import DataPoints, Dimensions
from dtmetrics._record.catalog import Catalog
from dtmetrics._record.context import ambient
from dtmetrics._record.dimensions import Pairs, merge
from dtmetrics._record.family import KINDS, Family
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.series import Series, drain

__all__ = ["Observer", "Registry"]

OVERFLOW = (("dtmetrics.overflow", "true"),)

# What the buffers of some thousand series together may hold before they are folded: a
# million floats are 32 MB. Below 64 values a fold costs 25 ns a value more than at 512,
# and beyond 512 nothing less; so 50,000 series can hold 5 million, 170 MB.
_BUDGET, _FEWEST, _MOST = 1_000_000, 64, 512


class Observer(Protocol):
    """Something that is asked for data points at each collection."""

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Return what is to be said now."""


class Registry:
    """Every family and series of a process.

    Handles reach it with their first record, and with each set of dimensions that
    they have not had lately.
    """

    def __init__(self) -> None:
        self.recording = False
        #: Whether anything was recorded since the start, and in this process.
        self.recorded = False
        self.settings = RecordingOptions()
        #: Since when this process records, so to say. Whoever remembers something
        #: from one record to the next, other than a series, compares it: a start and
        #: a fork make it another object.
        self.epoch = object()
        self.series_count = 0
        self.contextual = False
        self.observers: list[Observer] = []
        self.invalid_values = InvalidValues()
        self.catalog = Catalog(self.invalid_values)
        self._wake: Callable[[], bool] = bool
        self._overflow: Dimensions = OVERFLOW
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self.epoch = object()
        self._awake = self.recorded = False
        self._levels: dict[str, int] = {}
        self.invalid_values.clear()
        # Re-entrant: a signal handler may record while its own thread is making a
        # series. Held for a few microseconds, and never for foreign code.
        self._lock = RLock()

    # -- recording ---------------------------------------------------------------

    def start(self, settings: RecordingOptions, wake: Callable[[], bool]) -> None:
        """Begin to record; *wake* is called by the first record in each process.

        It says whether it could do what it does; until then it is called again.
        Raises the first DefinitionError so far if *settings* are strict.
        """
        with self._lock:
            self.catalog.start(settings)
            self.settings = settings
            self._levels = {}
            self._overflow = self.merged((OVERFLOW,), ignore)
            self.invalid_values.clear()
            self._wake = wake
            self._awake = self.recorded = False
            self.epoch = object()
            self.clear()
            self.recording = True

    def stop(self) -> None:
        """Record no more. What was recorded can still be collected."""
        with self._lock:
            self.recording = False
            self._unwire()

    def clear(self) -> None:
        """Let every series go, with what it holds."""
        with self._lock:
            for family in self.catalog.all():
                family.clear()
            self.series_count = 0

    def series(self, family: Family, layers: Sequence[Pairs]) -> Series:
        """Return the series of *family* for these layers of dimensions."""
        while True:
            settings = self.settings
            dimensions = self.merged(layers, family.refuse)
            head = line_prefix(self.catalog.key_of(family), dimensions)
            found = family.series.get(head) or self._make(family, head)
            if settings is self.settings:  # or else its default dimensions may be old
                return found

    def merged(
        self, layers: Sequence[Pairs], refuse: Callable[[str], object]
    ) -> Dimensions:
        """Return these layers of dimensions, between the settings' own, as one set."""
        defaults = tuple(self.settings.dimensions.items())
        platform = tuple(self.settings.enrichment.items())
        return merge((defaults, *layers, platform), clean_dimension_key, refuse)

    def wire(self, series: Series) -> None:
        """Let handles record into *series* without asking, if nothing forbids it."""
        self.recorded = True
        wake = self._wake
        # Not under the lock: it starts a thread, which may have to record (in a
        # finaliser) before it is up.
        if not self._awake and call_safely(wake, default=False):
            with self._lock:
                if wake is self._wake:  # and not that of a later start()
                    self._awake = True
        if self._awake and not self.contextual:
            with self._lock:
                if self.recording and series.alive and not self.contextual:
                    series.wire()

    def make_list(self, series: Series) -> list[Any]:
        """Return the list of a counter to which for the first time no one is added."""
        with self._lock:
            if series.values is None:
                series.values = []
            values: list[Any] = series.values
            return values

    def enabled(self, scope: str, level: int) -> bool:
        """Say whether instruments of this *scope* and *level* record."""
        levels = self._levels
        least = levels.get(scope)
        if least is None:
            least = levels[scope] = self.settings.least_level(scope)
        return level >= least

    def remove(self, family: Family, layers: Sequence[Pairs]) -> None:
        """Let the series for these layers go, if there is one, with what it holds."""
        head = line_prefix(self.catalog.key_of(family), self.merged(layers, ignore))
        with self._lock:
            series = family.series.pop(head, None)
            if series is not None:
                self.series_count -= 1
                series.let_go()

    def quarantine(self, key: str, reason: str) -> None:
        """Record no more of what is sent under *key*, until the next start."""
        for family in self.catalog.quarantine(key, reason):
            # Also the next time: a record that was under way may have made a series.
            with self._lock:
                self.series_count -= len(family.series)
                family.clear()

    @contextmanager
    def context(self, /, **dimensions: Any) -> Iterator[None]:
        """Add dimensions to everything that is recorded inside."""
        if not self.contextual:
            with self._lock:
                # From now on every record has to look at its context (+60 ns).
                self.contextual = True
                self._unwire()
        with ambient(dimensions):
            yield

    # -- collecting ----------------------------------------------------------------

    def collect(self, timestamp_ms: int, size: int = 100) -> Iterator[DataPoints]:
        """Yield what was recorded since the last time, at most *size* points at once.

        One collector at a time. Between two chunks no lock is held.
        """
        for family in self.catalog.all():
            series = family.all_series()
            kind = KINDS[family.definition.kind]
            for start in range(0, len(series), size):
                chunk = series[start : start + size]
                with family.lock:
                    values = drain(chunk)
                if not all(values):  # some are zero, or None: nothing to say
                    said = [value is not None for value in values]
                    chunk, values = [*compress(chunk, said)], [*compress(values, said)]
                yield DataPoints(kind.payload, chunk, values, timestamp_ms)
        for observer in list(self.observers):
            yield from observer(timestamp_ms).parts(size)
        self.invalid_values.report()  # last: draining a series checks its values

    def reset_after_fork(self) -> None:
        """In a forked child: what was recorded so far is the parent's to send."""
        self._renew()
        self.catalog.reset_after_fork()
        self.series_count = sum(len(family.series) for family in self.catalog.all())

    # -- within --------------------------------------------------------------------

    def _make(self, family: Family, head: str) -> Series:
        key = self.catalog.key_of(family)
        overflow = line_prefix(key, self._overflow)
        with self._lock:
            if head not in family.series and not self._has_room(family, overflow):
                head = overflow
            found = family.series.get(head)
            if found is None:
                made = self._new(family, key, head)
                # One step: a signal handler may have made it in the meantime.
                found = family.series.setdefault(head, made)
                self.series_count += found is made
            return found

    def _has_room(self, family: Family, overflow: str) -> bool:
        own = len(family.series) - (overflow in family.series)
        return (
            own < self.settings.max_series_per_metric
            and self.series_count < self.settings.max_series
        )

    def _new(self, family: Family, key: str, head: str) -> Series:
        limit = max(_FEWEST, min(_MOST, _BUDGET // (self.series_count + 1)))
        kind = KINDS[family.definition.kind]
        return kind(key, head, family.lock, family.refuse, limit)

    def _unwire(self) -> None:
        for family in self.catalog.all():
            for series in family.all_series():
                series.unwire()
