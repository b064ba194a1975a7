"""The registry: makes series within limits, and collects them.

Series are made by recording and discarded at the next start; families stay.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.shared import Shared
from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.caps import Caps
from dtmetrics._record.catalog import KINDS, AnySeries, Catalog, Family
from dtmetrics._record.context import ContextBlock, any_in_use
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.generation import Generation
from dtmetrics._record.handover import Handover, Totals
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.number import Number
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._record.pickling import Reduced
from dtmetrics._record.retired import CommonDimensions, Retired
from dtmetrics._record.series import CounterSeries

if TYPE_CHECKING:
    from dtmetrics._record.origin import Origin

__all__ = ["Observer", "Registry"]

# How many values all series together may hold before they are folded. 50,000 summaries
# with 60 values each take 38 MB; with three times the budget 123 MB. A value costs more
# the sooner it is folded: 200 ns with a limit of 64, 380 ns with 7.
_BUDGET, _LOWEST_LIMIT, _HIGHEST_LIMIT = 350_000, 7, 512


# A tenth of the room for series is left to the first series of new keys.
_RESERVED_FOR_NEW_KEYS = 10

# How many discarded series are kept for a while, because finding one takes a scan.
_MOST_DISCARDED = 1_000


class Observer(Totals, Protocol):
    """Makes data points at each collection."""

    def begin(self) -> None:
        """Begin anew: recording starts, or a forked child begins."""

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Return the data points of this collection."""


class Registry(Shared):
    """Every family and series of a process.

    An instrument calls it for its first record, and for each set of dimensions that
    the instrument has not cached.
    """

    def __init__(self, get_meter: Callable[[str], Any] | None = None) -> None:
        #: Returns a meter by its name; pickles refer to it.
        self.get_meter: Callable[[str], Any] = get_meter or _not_pickled
        self.recording: bool = False
        #: Whether a pickle of it configures the process that it arrives in.
        self.travels: bool = False
        #: The series whose records do not read their context.
        self.fast: list[AnySeries] = []
        self.series_count: int = 0
        #: By what makes two of them the same, so that the later one replaces the other.
        self.observers: dict[Hashable, Observer] = {}
        self._caps = Caps()
        self._retired = Retired(self)
        self.invalid_values: InvalidValues = InvalidValues()
        self.catalog: Catalog = Catalog(self.invalid_values)
        self.generation: Generation = Generation(RecordingOptions(), bool)
        # Re-entrant, because a signal handler may record while its own thread makes a
        # series. It is held for microseconds, and not while foreign code runs.
        self._lock = RLock()

    def __reduce__(self) -> Reduced:
        return getattr, (self.get_meter(""), "registry")

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
        self._begin_observing()

    def restart(self, options: RecordingOptions) -> None:
        """Go on with *options*; nothing that was recorded is lost.

        The next record calls *wake* once more. Raises the first DefinitionError of the
        process if the options are strict.
        """
        with self._lock:
            generation = self.generation
            # Values of dimensions may be of any class.
            same = call_safely(
                lambda: bool(generation.options == options), default=False
            )
            same = same and not self.catalog.all_quarantined()
            self.catalog.start(options)
            if same:
                self.catalog.describe_again()
                generation.awake = False
                self._disable_all()
                return
            self._caps = Caps()
            self.fast = []
            self.series_count = 0
            discarded = [(family, family.clear()) for family in self.catalog.all()]
            self.generation = generation.with_options(options)
            common = CommonDimensions(generation)
            for family, all_series in discarded:
                self._retired.add(family, all_series, common)
        self._retired.forward()

    def stop(self) -> None:
        """Stop recording. Recorded values can still be collected."""
        with self._lock:
            self.recording = False
            self._disable_all()

    def clear(self) -> None:
        """Discard every series with its values."""
        with self._lock:
            self.fast = []
            self._retired.clear()
            for family in self.catalog.all():
                family.clear()
            self.series_count = 0

    def series(
        self, family: Family, layers: Sequence[Pairs], origin: Origin | None = None
    ) -> AnySeries | None:
        """Return the series of *family* for these layers of dimensions; make a new one.

        Past a limit it is the overflow series of the family; None if that would be the
        first series of the family. *origin* is that of the instrument, if one records.
        """
        while True:
            generation = self.generation
            dimensions = generation.dimensions(
                layers, family.reject, gauge=family.definition.is_gauge
            )
            prefix = line_prefix(family.key, dimensions)
            series: AnySeries | None = family.series.get(prefix)
            series = series or self._make(family, prefix, origin)
            if generation is self.generation:  # else the key or dimensions may be old
                return series

    def enable(self, series: AnySeries) -> None:
        """Let instruments record into *series* directly, if nothing forbids it."""
        if not self.wake():
            return
        with self._lock:
            if self.recording and not series.discarded:
                series.enabled = True
                if series.buffer is None:
                    self._enable_fast_path(series)

    def wake(self) -> bool:
        """Start the flusher, unless it runs: there is or will be something to collect.

        Returns whether it runs.
        """
        generation = self.generation
        generation.recorded = True
        # Not under the lock: it starts a thread, which may record (in a finaliser)
        # before it is up.
        if not generation.awake and call_safely(generation.wake, default=False):
            generation.awake = True
        return self.generation.awake

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
        dimensions = self.generation.dimensions(
            layers, ignore, gauge=family.definition.is_gauge
        )
        prefix = line_prefix(family.key, dimensions)
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

    def collect(
        self, timestamp_ms: int, size: int = 100, handover: Handover | None = None
    ) -> Iterator[DataPoints]:
        """Yield what was recorded since the last collection, *size* points at a time.

        They are added to *handover*, too. One thread may collect at a time. Between two
        chunks no lock is held.
        """
        handover = handover or Handover()
        if self._retired.groups:
            self._retired.forward()
            yield from self._retired.collect(timestamp_ms, size, handover)
        for family in self.catalog.all():
            all_series = family.all_series()
            for start in range(0, len(all_series), size):
                chunk = all_series[start : start + size]
                yield family.drain(chunk, timestamp_ms, handover)
        for observer in list(self.observers.values()):
            parts = [*observer(timestamp_ms).parts(size)]
            handover.add(parts, observer)
            yield from parts
        self.invalid_values.report()  # last, because draining checks values
        self._caps.report(self.catalog.all(), self.generation.options)
        self.generation.report()

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
        self._retired.clear()
        self.invalid_values.clear()
        self.catalog.reset_after_fork()
        parent, self.generation = self.generation, self.generation.after_fork()
        if self.generation.platform is not parent.platform:
            self.clear()  # each series names the process of the parent
        if parent.options.numbered is not Numbered.NONE:
            # Their series have the parent's number, or none, and no value.
            for family in self.catalog.all():
                if family.definition.is_gauge:
                    family.clear()
        self.series_count = sum(len(family.series) for family in self.catalog.all())
        self._begin_observing()

    # -- within --------------------------------------------------------------------

    def _make(
        self, family: Family, prefix: str, origin: Origin | None
    ) -> AnySeries | None:
        with self._lock:
            if prefix not in family.series and not self._has_room(family):
                family.capped = True
                if not family.series:
                    return None
                prefix = self._overflow_prefix(family)
            series: AnySeries | None = family.series.get(prefix)
            if series is None:
                made = self._new(family, prefix)
                if isinstance(made, GaugeSeries):
                    made.origin = origin
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
        dimensions = self.generation.overflow_dimensions(
            gauge=family.definition.is_gauge
        )
        return line_prefix(family.key, dimensions)

    def _new(self, family: Family, prefix: str) -> AnySeries:
        fair_share = _BUDGET // (self.series_count + 1)
        limit = max(_LOWEST_LIMIT, min(_HIGHEST_LIMIT, fair_share))
        kind = KINDS[family.definition.kind]
        return kind(family.key, prefix, family.lock, family.reject, limit)

    def _begin_observing(self) -> None:
        for observer in list(self.observers.values()):
            observer.begin()

    def _disable_all(self) -> None:
        self.fast = []
        for family in self.catalog.all():
            for series in family.all_series():
                series.disable()


def _not_pickled(_name: str) -> NoReturn:
    raise TypeError("cannot pickle a registry that no other process has")
