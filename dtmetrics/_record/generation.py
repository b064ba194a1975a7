"""What holds from one start of recording, or one fork, to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dtmetrics._core import log
from dtmetrics._core.level import OFF
from dtmetrics._protocol.normalize import DIMENSIONS_LIMIT, line_prefix
from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.dimensions import Pairs, merge
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._record.platform import PlatformDimensions
from dtmetrics._record.worker_dimension import WORKER
from dtmetrics._record.worker_number import worker_number

__all__ = ["Generation"]

OVERFLOW: Pairs = (("dtmetrics.overflow", "true"),)


class Generation:
    """What holds from one start, or one fork, to the next.

    Each start, each change of the options and each fork makes a new one. A cache that
    outlives a record compares it by identity, to detect that it is stale.
    """

    def __init__(
        self,
        options: RecordingOptions,
        wake: Callable[[], bool],
        overflow: Dimensions | None = None,
        platform: PlatformDimensions | None = None,
    ) -> None:
        self.options = options
        #: The dimensions of the platform, which win over those of the program.
        self.platform: PlatformDimensions = platform or PlatformDimensions(
            options.enrichment, options.process_dimension
        )
        #: The same object in generations that continue each other's values.
        self.epoch: object = object()
        #: Starts the flusher; returns whether it runs.
        self.wake = wake
        self.awake = False
        #: Whether a value has been recorded.
        self.recorded = False
        #: The dimensions of the series for what exceeds a limit.
        self.overflow: Dimensions = (
            self.platform.added_to(overflow)
            if overflow
            else self.dimensions((OVERFLOW,), ignore)
        )
        self._levels: dict[str, int] = {}
        self._worker: Pairs | None = None
        self._reported = False

    def with_options(self, options: RecordingOptions) -> Generation:
        """Return the next generation, which continues the values of this one."""
        generation = Generation(options, self.wake)
        generation.epoch = self.epoch
        generation.recorded = self.recorded
        return generation

    def after_fork(self) -> Generation:
        """Return the next generation; runs no code of the dimensions' classes."""
        platform = self.platform.after_fork()
        numbered = self.options.numbered.after_fork()
        options = self.options._replace(numbered=numbered)
        return Generation(options, self.wake, self.overflow, platform)

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
        """Return *layers* as one set, between the default and platform dimensions.

        Those of a *gauge* begin with the number of the worker, so that any other value
        of its key wins over it, and it is the first to be left out beyond the limit.
        """
        defaults = tuple(self.options.dimensions.items())
        worker = self.worker if gauge else ()
        return self.platform.added_to(merge((worker, defaults, *layers), reject))

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

    def enabled(self, scope: str, level: int) -> bool:
        """Return whether instruments of this *scope* and *level* record.

        As in logging, the nearest scope above decides that has a level of its own. If
        that level or the instrument's is OFF, it does not record.
        """
        lowest = self._levels.get(scope)
        if lowest is None:
            lowest = self._levels[scope] = self._lowest_level(scope)
        return lowest <= level < OFF

    def _lowest_level(self, scope: str) -> int:
        levels = self.options.levels
        while scope:
            if scope in levels:
                return levels[scope]
            scope, _, _ = scope.rpartition(".")
        return self.options.level
