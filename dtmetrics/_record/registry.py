"""The registry: makes series within limits, and collects them.

Series are made by recording and discarded at the next start; families stay.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.shared import Shared
from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.catalog import Catalog
from dtmetrics._record.collection import Collection
from dtmetrics._record.context import ContextBlock, any_in_use
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.distribution_series import DistributionSeries, Plan
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.generation import Generation
from dtmetrics._record.handover import Handover, Totals
from dtmetrics._record.idle_series import IDLE_SECONDS
from dtmetrics._record.invalid_values import InvalidValues, ignore
from dtmetrics._record.lookup import Lookup
from dtmetrics._record.number import Number
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._record.pickling import Reduced
from dtmetrics._record.refusal import Refusal
from dtmetrics._record.retired import CommonDimensions
from dtmetrics._record.room import has_room, new_series, overflow_prefix
from dtmetrics._record.series import CounterSeries
from dtmetrics._record.source import Source

if TYPE_CHECKING:
    from dtmetrics._record.origin import Origin

__all__ = ["Observer", "Registry"]

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
    the instrument has not cached. Counter and summary series that are idle for
    *idle_seconds* by *clock* are forgotten.
    """

    def __init__(
        self,
        get_meter: Callable[[str], Any] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
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
        self.clock = clock
        # Whether the instruments of a key are not all enabled or disabled.
        self._is_any_mixed = False
        self.collection: Collection = Collection(self, idle_seconds)
        #: Called when an instrument that is disabled is first used in a generation.
        self.attempted: Callable[[], object] = bool
        self.invalid_values: InvalidValues = InvalidValues()
        self.catalog: Catalog = Catalog(self.invalid_values)
        self.generation: Generation = Generation(RecordingOptions(), bool)
        # Re-entrant, because a signal handler may record while its own thread makes a
        # series. It is held for microseconds, and not while foreign code runs.
        self.lock: AbstractContextManager[bool] = RLock()
        self.lookup: Lookup = Lookup(self)

    def __reduce__(self) -> Reduced:
        return getattr, (self.get_meter(""), "registry")

    @property
    def recorded(self) -> bool:
        """Whether a value was recorded since the start, in this process."""
        return self.generation.epoch.recorded

    # -- recording ---------------------------------------------------------------

    def start(self, options: RecordingOptions, wake: Callable[[], bool]) -> None:
        """Begin to record, without any series.

        The first record in each process calls *wake*; if it returns False or raises,
        so does the next record. Raises the first DefinitionError of the process if the
        options are strict.
        """
        with self.lock:
            self.catalog.start(options)
            self.invalid_values.clear()
            self.collection.follow_options()
            own_levels = self.generation.levels_beside(options)
            self.generation = Generation(options, wake, own_levels=own_levels)
            self.clear()
            self._refresh_sources()
            self.recording = True
        self._begin_observing()

    def restart(self, options: RecordingOptions) -> None:
        """Go on with *options*; nothing that was recorded is lost.

        The next record calls *wake* once more. Raises the first DefinitionError of the
        process if the options are strict.
        """
        with self.lock:
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
            self.collection.follow_options()
            self.fast = []
            self.series_count = 0
            discarded = [(family, family.clear()) for family in self.catalog.all()]
            self.generation = generation.with_options(options)
            self._refresh_sources()
            common = CommonDimensions(generation)
            for family, all_series in discarded:
                self.collection.retired.add(family, all_series, common)
        self.collection.retired.forward()

    def stop(self) -> None:
        """Stop recording. Recorded values can still be collected."""
        with self.lock:
            self.recording = False
            self._disable_all()

    def clear(self) -> None:
        """Discard every series with its values."""
        with self.lock:
            self.fast = []
            self.collection.clear()
            for family in self.catalog.all():
                family.clear()
            self.series_count = 0

    def set_level(self, scope: str, level: int) -> None:
        """Let instruments of *scope* record from *level* on; NOTSET: as those above.

        What was recorded before is sent.
        """
        with self.lock:
            own_levels = {**self.generation.own_levels, scope: level}
            try:
                self.generation = self.generation.with_levels(own_levels)
                self._refresh_sources()
            finally:  # so that each instrument looks once whether it is enabled
                self._disable_all()

    def series(
        self, origin: Origin, layers: Sequence[Pairs], *, keep: bool = False
    ) -> AnySeries:
        """Return the series of *origin* for these layers of dimensions; make a new one.

        Past a limit it is the overflow series of the metric key. It is a `Refusal` if
        the instrument is not to record it; with *keep* not because of a level.
        """
        while True:
            generation = self.generation
            series = self.lookup.find(origin, layers, keep=keep)
            if isinstance(series, DistributionSeries):
                series.worker = generation.worker
            if series is not None and generation is self.generation:
                return series  # else the key or the dimensions may be old

    def add_source(self, family: Family, source: Source) -> None:
        """Note that *source* records into series of *family*."""
        with self.lock:
            family.sources.add(source, self.generation)
            self._is_any_mixed = self._is_any_mixed or family.sources.mixed

    def own_series(self, family: Family, pairs: Pairs) -> AnySeries | None:
        """Return a series of dtmetrics itself, which no rule changes.

        None if it has no room.
        """
        dimensions = self.generation.dimensions((pairs,), ignore)
        prefix = line_prefix(family.key, dimensions)
        series: AnySeries | None = family.series.get(prefix)
        return series or self.make(family, prefix)

    def enable(self, series: AnySeries, generation: Generation) -> None:
        """Let instruments record into *series* directly, if nothing forbids it.

        It was looked up in *generation*.
        """
        if not self.wake():
            return
        with self.lock:
            stale = generation is not self.generation
            if self._is_any_mixed and not isinstance(series, GaugeSeries):
                families = self.catalog.sent_under(series.key)
                stale = stale or any(family.sources.mixed for family in families)
            if self.recording and not series.discarded and not stale:
                series.enabled = True
                if series.buffer is None:
                    self._enable_fast_path(series)

    def wake(self) -> bool:
        """Start the flusher, unless it runs: there is or will be something to collect.

        Returns whether it runs.
        """
        generation = self.generation
        generation.epoch.recorded = True
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
        with self.lock:
            fast, self.fast = self.fast, []
            for series in fast:
                series.buffer = None

    def make_list(self, series: CounterSeries) -> list[Number]:
        """Return the list of *series*, which is made for its first increment but 1."""
        with self.lock:
            if series.values is None:
                series.values = []
            return series.values

    def remove(self, origin: Origin, layers: Sequence[Pairs]) -> None:
        """Discard the series for these layers with its values, if there is one."""
        place = self.lookup.place(origin, layers, ignore)
        if isinstance(place, Refusal):
            return
        with self.lock:
            series = place.family.series.pop(place.prefix, None)
            if series is not None:
                self.series_count -= 1
                series.discard()

    def look_up_again(self) -> None:
        """Let each instrument look up again what it has cached."""
        with self.lock:
            generation = self.generation
            self.generation = generation.with_levels(generation.own_levels)

    def follow(self, family: Family, plan: Plan) -> None:
        """Make the series of *family* anew, for *plan*; nothing is lost."""
        with self.lock:
            family.plan = plan
            discarded = family.clear()
            self.series_count -= len(discarded)
            common = CommonDimensions(self.generation)
            self.collection.retired.add(family, discarded, common)

    def quarantine(self, key: str, reason: str) -> None:
        """Stop recording what is sent under *key*, until the next start."""
        for family in self.catalog.quarantine(key, reason):
            # Each time, because a record that was running may have made a series.
            with self.lock:
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
        return self.collection.chunks(timestamp_ms, size, handover)

    def capped(self) -> dict[str, str]:
        """Return the metric keys that reached a limit, and what grew."""
        return self.collection.capped()

    def check_values(self) -> None:
        """Count the invalid ones among the values that wait for the next collection."""
        for family in self.catalog.all():
            for series in family.all_series():
                series.check()

    def reset_after_fork(self) -> None:
        """In a forked child: drop what was recorded, which the parent sends."""
        # New locks: in a free-threaded build another thread may have held the old ones.
        self.lock = RLock()
        self.fast = []
        self.collection.reset_after_fork()
        self.invalid_values.clear()
        self.catalog.reset_after_fork()
        parent, self.generation = self.generation, self.generation.after_fork()
        if self.generation.platform is not parent.platform:
            self.clear()  # each series names the process of the parent
        if parent.options.numbered is not Numbered.NONE:
            # Their series have the parent's number, or none, and no value.
            for family in self.catalog.all():
                if family.definition.is_gauge or family.plan is not None:
                    family.clear()
        self.series_count = sum(len(family.series) for family in self.catalog.all())
        self._refresh_sources()
        self._begin_observing()

    # -- within --------------------------------------------------------------------

    def _refresh_sources(self) -> None:
        families = self.catalog.all()
        for family in families:
            family.sources.refresh(self.generation)
        self._is_any_mixed = any(family.sources.mixed for family in families)

    def make(self, family: Family, prefix: str) -> AnySeries | None:
        """Return the series of *family* that a line with *prefix* has.

        Past a limit it is the overflow series; None without room for any.
        """
        with self.lock:
            generation, count = self.generation, self.series_count
            known = prefix in family.series
            if not known and not has_room(family, generation, count):
                family.capped = True
                if not family.series:
                    return None
                prefix = overflow_prefix(family, generation)
            series: AnySeries | None = family.series.get(prefix)
            if series is None:
                made = new_series(family, prefix, count)
                # One step: a signal handler may have made it meanwhile.
                series = family.series.setdefault(prefix, made)
                self.series_count += series is made
            return series

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
