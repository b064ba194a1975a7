"""The registry: makes series within limits, and collects them.

Series are made by recording and discarded at the next start; families stay.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import compress
from threading import RLock
from typing import Protocol

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.caps import Caps
from dtmetrics._record.catalog import KINDS, AnySeries, Catalog, Family
from dtmetrics._record.context import ContextBlock, any_in_use
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.generation import Generation
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.number import Number
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.series import CounterSeries, drain

__all__ = ["Observer", "Registry"]

# How many values all series together may hold before they are folded. 50,000 summaries
# with 60 values each take 38 MB; with three times the budget 123 MB. A value costs more
# the sooner it is folded: 200 ns with a limit of 64, 380 ns with 7.
_BUDGET, _LOWEST_LIMIT, _HIGHEST_LIMIT = 350_000, 7, 512


# A tenth of the room for series is left to the first series of new keys.
_RESERVED_FOR_NEW_KEYS = 10

# How many discarded series are kept for a while, because finding one takes a scan.
_MOST_DISCARDED = 1_000


class Observer(Protocol):
    """Makes data points at each collection."""

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Return the data points of this collection."""


class Registry:
    """Every family and series of a process.

    An instrument calls it for its first record, and for each set of dimensions that
    the instrument has not cached.
    """

    def __init__(self) -> None:
        self.recording: bool = False
        #: The series whose records do not read their context.
        self.fast: list[AnySeries] = []
        self.series_count: int = 0
        #: By what makes two of them the same, so that the later one replaces the other.
        self.observers: dict[Hashable, Observer] = {}
        self._caps = Caps()
        self.invalid_values: InvalidValues = InvalidValues()
        self.catalog: Catalog = Catalog(self.invalid_values)
        self.generation: Generation = Generation(RecordingOptions(), bool)
        # Re-entrant, because a signal handler may record while its own thread makes a
        # series. It is held for microseconds, and not while foreign code runs.
        self._lock = RLock()

    @property
    def recorded(self) -> bool:
        """Whether a value was recorded since the start, in this process."""
        return self.generation.recorded

    # -- recording ---------------------------------------------------------------

    def start(self, options: RecordingOptions, wake: Callable[[], bool]) -> None:
        """Begin to record, without any series.

        The first record in each process calls *wake*; if it returns False or raises,
        so does the next record. Raises the first DefinitionError of the process if the
        options are strict.
        """
        with self._lock:
            self.catalog.start(options)
            self.invalid_values.clear()
            self._caps = Caps()
            self.generation = Generation(options, wake)
            self.clear()
            self.recording = True

    def stop(self) -> None:
        """Stop recording. Recorded values can still be collected."""
        with self._lock:
            self.recording = False
            self._disable_all()

    def clear(self) -> None:
        """Discard every series with its values."""
        with self._lock:
            self.fast = []
            for family in self.catalog.all():
                family.clear()
            self.series_count = 0

    def series(self, family: Family, layers: Sequence[Pairs]) -> AnySeries | None:
        """Return the series of *family* for these layers of dimensions; make a new one.

        Past a limit it is the overflow series of the family; None if that would be the
        first series of the family.
        """
        while True:
            generation = self.generation
            prefix = line_prefix(
                family.key, generation.dimensions(layers, family.reject)
            )
            series: AnySeries | None = family.series.get(prefix)
            series = series or self._make(family, prefix)
            if generation is self.generation:  # else the key or dimensions may be old
                return series

    def enable(self, series: AnySeries) -> None:
        """Let instruments record into *series* directly, if nothing forbids it."""
        generation = self.generation
        generation.recorded = True
        # Not under the lock: it starts a thread, which may record (in a finaliser)
        # before it is up.
        if not generation.awake and call_safely(generation.wake, default=False):
            generation.awake = True
        if not self.generation.awake:
            return
        with self._lock:
            if self.recording and not series.discarded:
                series.enabled = True
                if series.buffer is None:
                    self._enable_fast_path(series)

    def _enable_fast_path(self, series: AnySeries) -> None:
        if len(self.fast) > 2 * self.series_count + _MOST_DISCARDED:
            self.fast = [each for each in self.fast if not each.discarded]
        # A block makes its scope and then looks at this list. So if it finds the list
        # empty, its scope is found here; else it waits for the lock.
        fast = self.fast
        fast.append(series)
        if not any_in_use():
            series.enable_fast_path()
        if fast is not self.fast:  # a signal handler used a context meanwhile
            series.buffer = None

    def read_contexts(self) -> None:
        """Make every record read its context from now on."""
        with self._lock:
            fast, self.fast = self.fast, []
            for series in fast:
                series.buffer = None

    def make_list(self, series: CounterSeries) -> list[Number]:
        """Return the list of *series*, which is made for its first increment but 1."""
        with self._lock:
            if series.values is None:
                series.values = []
            return series.values

    def remove(self, family: Family, layers: Sequence[Pairs]) -> None:
        """Discard the series for these layers with its values, if there is one."""
        prefix = line_prefix(family.key, self.generation.dimensions(layers, ignore))
        with self._lock:
            series = family.series.pop(prefix, None)
            if series is not None:
                self.series_count -= 1
                series.discard()

    def quarantine(self, key: str, reason: str) -> None:
        """Stop recording what is sent under *key*, until the next start."""
        for family in self.catalog.quarantine(key, reason):
            # Each time, because a record that was running may have made a series.
            with self._lock:
                self.series_count -= len(family.series)
                family.clear()

    def context(self, /, **dimensions: object) -> ContextBlock:
        """Add *dimensions* to everything that is recorded inside a ``with`` block.

        They apply to this thread or task, and to the tasks that it starts, as context
        variables do. Dimensions of an instrument or of a call win over them; those of
        an inner context win over those of an outer one.

        >>> from dtmetrics import context, counter
        >>> with context(tenant="acme"):
        ...     counter("orders.placed").inc()
        """
        return ContextBlock(self, dimensions)

    # -- collecting ----------------------------------------------------------------

    def collect(self, timestamp_ms: int, size: int = 100) -> Iterator[DataPoints]:
        """Yield what was recorded since the last collection, *size* points at a time.

        One thread may collect at a time. Between two chunks no lock is held.
        """
        for family in self.catalog.all():
            all_series = family.all_series()
            kind = KINDS[family.definition.kind]
            for start in range(0, len(all_series), size):
                chunk = all_series[start : start + size]
                with family.lock:
                    values = drain(chunk)
                if not all(values):  # some are zero, or None: nothing to send
                    sent = [value is not None for value in values]
                    chunk, values = [*compress(chunk, sent)], [*compress(values, sent)]
                yield DataPoints(kind.payload, chunk, values, timestamp_ms)
        for observer in list(self.observers.values()):
            yield from observer(timestamp_ms).parts(size)
        self.invalid_values.report()  # last, because draining checks values
        self._caps.report(self.catalog.all(), self.generation.options)

    def capped(self) -> dict[str, str]:
        """Return the metric keys that reached a limit, and what grew."""
        return self._caps.describe(self.catalog.all(), self.generation.options)

    def check_values(self) -> None:
        """Count the invalid ones among the values that wait for the next collection."""
        for family in self.catalog.all():
            for series in family.all_series():
                series.check()

    def reset_after_fork(self) -> None:
        """In a forked child: drop what was recorded, which the parent sends."""
        # New locks: in a free-threaded build another thread may have held the old ones.
        self._lock = RLock()
        self.fast = []
        self.invalid_values.clear()
        self.catalog.reset_after_fork()
        self.generation = self.generation.after_fork()
        self.series_count = sum(len(family.series) for family in self.catalog.all())

    # -- within --------------------------------------------------------------------

    def _make(self, family: Family, prefix: str) -> AnySeries | None:
        with self._lock:
            if prefix not in family.series and not self._has_room(family):
                family.capped = True
                if not family.series:
                    return None
                prefix = self._overflow_prefix(family)
            series: AnySeries | None = family.series.get(prefix)
            if series is None:
                made = self._new(family, prefix)
                # One step: a signal handler may have made it meanwhile.
                series = family.series.setdefault(prefix, made)
                self.series_count += series is made
            return series

    def _has_room(self, family: Family) -> bool:
        options = self.generation.options
        count = len(family.series)
        if count >= options.max_series_per_metric:
            count -= self._overflow_prefix(family) in family.series
        limit = options.max_series
        if count:  # so that one metric cannot take the room of all keys to come
            limit -= limit // _RESERVED_FOR_NEW_KEYS
        return count < options.max_series_per_metric and self.series_count < limit

    def _overflow_prefix(self, family: Family) -> str:
        return line_prefix(family.key, self.generation.overflow)

    def _new(self, family: Family, prefix: str) -> AnySeries:
        fair_share = _BUDGET // (self.series_count + 1)
        limit = max(_LOWEST_LIMIT, min(_HIGHEST_LIMIT, fair_share))
        kind = KINDS[family.definition.kind]
        return kind(family.key, prefix, family.lock, family.reject, limit)

    def _disable_all(self) -> None:
        self.fast = []
        for family in self.catalog.all():
            for series in family.all_series():
                series.disable()
