"""The registry: makes series within limits, and collects them.

Series are made by recording and discarded at the next start; families stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from threading import RLock
from typing import Protocol

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import DataPoints, Dimensions
from dtmetrics._record.catalog import KINDS, AnySeries, Catalog, Family
from dtmetrics._record.dimensions import Pairs, context_of, merge
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.number import Number
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.series import CounterSeries, drain

__all__ = ["Generation", "Observer", "Registry"]

OVERFLOW: Pairs = (("dtmetrics.overflow", "true"),)

# How many values all series together may hold before they are folded: a million floats
# are 32 MB. With a limit below 64 a fold costs 25 ns a value more than with 512, and
# with a higher one no less; so 50,000 series can hold 5 million values, 170 MB.
_BUDGET, _LOWEST_LIMIT, _HIGHEST_LIMIT = 1_000_000, 64, 512


class Observer(Protocol):
    """Makes data points at each collection."""

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Return the data points of this collection."""


class Generation:
    """What holds from one start, or one fork, to the next.

    Each start and each fork makes a new one. A cache that outlives a record compares
    it by identity, to detect that it is stale.
    """

    def __init__(
        self,
        options: RecordingOptions,
        wake: Callable[[], bool],
        overflow: Dimensions | None = None,
    ) -> None:
        self.options = options
        #: Starts the flusher; returns whether it runs.
        self.wake = wake
        self.awake = False
        #: Whether a value has been recorded.
        self.recorded = False
        #: The dimensions of the series for what exceeds a limit.
        self.overflow: Dimensions = overflow or self.dimensions((OVERFLOW,), ignore)
        self._levels: dict[str, int] = {}

    def after_fork(self) -> Generation:
        """Return the next generation; runs no code of the dimensions' classes."""
        return Generation(self.options, self.wake, self.overflow)

    def dimensions(
        self, layers: Sequence[Pairs], reject: Callable[[str], object]
    ) -> Dimensions:
        """Return *layers* as one set, between the default and platform dimensions."""
        defaults = tuple(self.options.dimensions.items())
        platform = tuple(self.options.enrichment.items())
        return merge((defaults, *layers, platform), reject)

    def enabled(self, scope: str, level: int) -> bool:
        """Return whether instruments of this *scope* and *level* record.

        As in logging, the nearest scope above decides that has a level of its own.
        """
        lowest = self._levels.get(scope)
        if lowest is None:
            lowest = self._levels[scope] = self._lowest_level(scope)
        return level >= lowest

    def _lowest_level(self, scope: str) -> int:
        levels = self.options.levels
        while scope:
            if scope in levels:
                return levels[scope]
            scope, _, _ = scope.rpartition(".")
        return self.options.level


class Registry:
    """Every family and series of a process.

    An instrument calls it for its first record, and for each set of dimensions that
    the instrument has not cached.
    """

    def __init__(self) -> None:
        self.recording: bool = False
        #: Whether a context was ever opened, so that each record must look for one.
        self.has_context: bool = False
        self.series_count: int = 0
        self.observers: list[Observer] = []
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
            self.generation = Generation(options, wake)
            self.clear()
            self.recording = True

    def stop(self) -> None:
        """Stop recording. Recorded values can still be collected."""
        with self._lock:
            self.recording = False
            self._disable_fast_path()

    def clear(self) -> None:
        """Discard every series with its values."""
        with self._lock:
            for family in self.catalog.all():
                family.clear()
            self.series_count = 0

    def series(self, family: Family, layers: Sequence[Pairs]) -> AnySeries:
        """Return the series of *family* for these layers of dimensions; make a new one.

        Past a limit it is the overflow series of the family.
        """
        while True:
            generation = self.generation
            prefix = line_prefix(
                family.key, generation.dimensions(layers, family.reject)
            )
            series = family.series.get(prefix) or self._make(family, prefix)
            if generation is self.generation:  # else the key or dimensions may be old
                return series

    def enable_fast_path(self, series: AnySeries) -> None:
        """Let instruments record into *series* directly, if nothing forbids it."""
        generation = self.generation
        generation.recorded = True
        # Not under the lock: it starts a thread, which may record (in a finaliser)
        # before it is up.
        if not generation.awake and call_safely(generation.wake, default=False):
            generation.awake = True
        if self.generation.awake and not self.has_context:
            with self._lock:
                if self.recording and not (series.discarded or self.has_context):
                    series.enable_fast_path()

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

    @contextmanager
    def context(self, /, **dimensions: object) -> Iterator[None]:
        """Add *dimensions* to everything that is recorded inside a ``with`` block.

        They apply to this thread or task, and to the tasks that it starts, as context
        variables do. Dimensions of an instrument or of a call win over them; those of
        an inner context win over those of an outer one.

        >>> from dtmetrics import context, counter
        >>> with context(tenant="acme"):
        ...     counter("orders.placed").inc()
        """
        if not self.has_context:
            with self._lock:
                # From now on each record reads its context, which costs 60 ns.
                self.has_context = True
                self._disable_fast_path()
        with context_of(dimensions):
            yield

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
        for observer in list(self.observers):
            yield from observer(timestamp_ms).parts(size)
        self.invalid_values.report()  # last, because draining checks values

    def reset_after_fork(self) -> None:
        """In a forked child: drop what was recorded, which the parent sends."""
        # New locks: in a free-threaded build another thread may have held the old ones.
        self._lock = RLock()
        self.invalid_values.clear()
        self.catalog.reset_after_fork()
        self.generation = self.generation.after_fork()
        self.series_count = sum(len(family.series) for family in self.catalog.all())

    # -- within --------------------------------------------------------------------

    def _make(self, family: Family, prefix: str) -> AnySeries:
        with self._lock:
            if prefix not in family.series and not self._has_room(family):
                prefix = self._overflow_prefix(family)
            series = family.series.get(prefix)
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
        return (
            count < options.max_series_per_metric
            and self.series_count < options.max_series
        )

    def _overflow_prefix(self, family: Family) -> str:
        return line_prefix(family.key, self.generation.overflow)

    def _new(self, family: Family, prefix: str) -> AnySeries:
        fair_share = _BUDGET // (self.series_count + 1)
        limit = max(_LOWEST_LIMIT, min(_HIGHEST_LIMIT, fair_share))
        kind = KINDS[family.definition.kind]
        return kind(family.key, prefix, family.lock, family.reject, limit)

    def _disable_fast_path(self) -> None:
        for family in self.catalog.all():
            for series in family.all_series():
                series.disable_fast_path()
