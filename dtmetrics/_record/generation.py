"""What holds from one start of recording, or one fork, to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy

from dtmetrics._core import log
from dtmetrics._core.level import OFF
from dtmetrics._protocol.normalize import DIMENSIONS_LIMIT, line_prefix
from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.dimensions import Pairs, merge
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._record.platform import PlatformDimensions
from dtmetrics._record.rules import Rules
from dtmetrics._record.source import Source
from dtmetrics._record.worker_dimension import WORKER
from dtmetrics._record.worker_number import worker_number

__all__ = ["Epoch", "Generation"]

OVERFLOW: Pairs = (("dtmetrics.overflow", "true"),)


class Epoch:
    """What generations have in common that continue each other's values."""

    def __init__(self) -> None:
        #: Whether a value has been recorded.
        self.recorded: bool = False


class Generation:
    """What holds from one start, or one fork, to the next.

    Each start, each change of the options or of a level and each fork makes a new one.
    A cache that outlives a record compares it by identity, to detect that it is stale.
    *own_levels* were set at run time; they win over those of the options.
    """

    def __init__(
        self,
        options: RecordingOptions,
        wake: Callable[[], bool],
        *,
        rules: Rules | None = None,
        own_levels: Mapping[str, int] = {},
        overflow: Dimensions | None = None,
        platform: PlatformDimensions | None = None,
    ) -> None:
        self.options = options
        if rules is None and options.rules:
            rules = Rules(options.rules, kept=options.dimensions)
        self.rules: Rules | None = rules
        self.set_levels(own_levels)
        #: The dimensions of the platform, which win over those of the program.
        self.platform: PlatformDimensions = platform or PlatformDimensions(
            options.enrichment, options.process_dimension
        )
        #: The same object in generations that continue each other's values.
        self.epoch: Epoch = Epoch()
        #: Starts the flusher; returns whether it runs.
        self.wake = wake
        self.awake = False
        #: The dimensions of the series for what exceeds a limit.
        self.overflow: Dimensions = (
            self.platform.added_to(overflow)
            if overflow
            else self.dimensions((OVERFLOW,), ignore)
        )
        self._worker: Pairs | None = None
        self._reported = False

    def with_options(self, options: RecordingOptions) -> Generation:
        """Return the next generation, which continues the values of this one."""
        own_levels = self.levels_beside(options)
        generation = Generation(options, self.wake, own_levels=own_levels)
        generation.epoch = self.epoch
        return generation

    def with_levels(self, own_levels: Mapping[str, int]) -> Generation:
        """Return the next generation, which differs in levels alone."""
        generation = copy(self)
        generation.set_levels(own_levels)
        return generation

    def after_fork(self) -> Generation:
        """Return the next generation; runs no code of the dimensions' classes."""
        platform = self.platform.after_fork()
        numbered = self.options.numbered.after_fork()
        options = self.options._replace(numbered=numbered)
        return Generation(
            options,
            self.wake,
            rules=self.rules and self.rules.after_fork(),
            own_levels=self.own_levels,
            overflow=self.overflow,
            platform=platform,
        )

    @property
    def worker(self) -> Pairs:
        """The dimension that is added to gauges; empty for none.

        The number is taken when it is first used: a master that records no gauge, or a
        child that does not record, takes none.
        """
        if self._worker is None:
            pairs: Pairs = ()
            if self.options.numbered is Numbered.ALL:
                # Gauges of processes that differ in these are not one series anyway.
                number = worker_number(line_prefix(self.options.prefix, self.overflow))
                pairs = ((WORKER, number),)
            self._worker = pairs
        return self._worker

    def dimensions(
        self,
        layers: Sequence[Pairs],
        reject: Callable[[str], object],
        *,
        gauge: bool = False,
    ) -> Dimensions:
        """Return *layers* as one set, between the default and platform dimensions."""
        return self.platform.added_to(self.merged(layers, reject, gauge=gauge))

    def merged(
        self,
        layers: Sequence[Pairs],
        reject: Callable[[str], object],
        *,
        gauge: bool = False,
    ) -> Dimensions:
        """Return *layers* and the default dimensions as one set.

        Those of a *gauge* begin with the number of the worker, so that any other value
        of its key wins over it, and it is the first to be left out beyond the limit.
        """
        defaults = tuple(self.options.dimensions.items())
        worker = self.worker if gauge else ()
        return merge((worker, defaults, *layers), reject)

    def overflow_dimensions(self, *, gauge: bool) -> Dimensions:
        """Return the dimensions of the series for what exceeds a limit.

        It runs no code of the dimensions' classes.
        """
        texts = {key: str(text) for key, text in self.worker if gauge and text}
        if not texts or len(self.overflow) >= DIMENSIONS_LIMIT:
            return self.overflow
        return tuple(sorted({**texts, **dict(self.overflow)}.items()))

    def report(self) -> None:
        """Log, once, which dimensions of the process are missing from series."""
        self.platform.report()
        if self._worker == ((WORKER, None),) and not self._reported:
            self._reported = True
            log.warning(
                "this worker has no number: all numbers are taken, or no temporary "
                "directory can be written; its gauges have no dimension %s",
                WORKER,
            )

    def set_levels(self, own_levels: Mapping[str, int]) -> None:
        """Use *own_levels*; only of a generation that no cache refers to yet."""
        self.own_levels: Mapping[str, int] = own_levels
        #: Stands for the generation in instruments that it disables.
        self.off: object = object()
        #: The effective level of each scope.
        self._lowest: dict[str, int] = {}

    def enabled(self, source: Source) -> bool | None:
        """Return whether *source* may record; None if its dimensions decide.

        A rule may decide it, or else the level of its scope. If that or the level of
        *source* is OFF, it does not record.
        """
        _, scope, level = source
        lowest = self._lowest.get(scope)  # a call less for each series
        if lowest is None:
            lowest = self.lowest_level(scope)
        if self.rules is not None:
            return self.rules.enabled(source, lowest)
        return lowest <= level < OFF

    def lowest_level(self, scope: str) -> int:
        """Return the level from which on instruments of *scope* record.

        As in logging, the nearest scope decides that has a level of its own: this one
        or one above.
        """
        lowest = self._lowest.get(scope)
        if lowest is None:
            lowest = self._lowest[scope] = self._look_up_level(scope)
        return lowest

    def levels_beside(self, options: RecordingOptions) -> dict[str, int]:
        """Return the levels set at run time that the next *options* leave alone.

        Options win where they change a level.
        """
        return {
            scope: level
            for scope, level in self.own_levels.items()
            if options.level_of(scope) == self.options.level_of(scope)
        }

    def level(self, scope: str) -> int:
        """Return the level of this *scope* itself; NOTSET if it has none."""
        own = self.own_levels.get(scope)
        return self.options.level_of(scope) if own is None else own

    def _look_up_level(self, scope: str) -> int:
        while scope:
            if level := self.level(scope):
                return level
            scope, _, _ = scope.rpartition(".")
        return self.level("")
