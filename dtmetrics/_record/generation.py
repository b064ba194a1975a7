"""What holds from one start of recording, or one fork, to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.dimensions import Pairs, merge
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.options import RecordingOptions

__all__ = ["Generation"]

OVERFLOW: Pairs = (("dtmetrics.overflow", "true"),)


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
