"""SlowSummary: a summary that keeps the worst sample of each interval."""

from __future__ import annotations

from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.instruments import Summary
from dtmetrics._record.origin import Origin
from dtmetrics._record.summary_series import SummarySeries
from dtmetrics._record.worst_sample import WorstSample

__all__ = ["SlowSummary"]


class SlowSummary(Summary):
    """A summary with ``slow=``.

    It shows no series to the code that would record into it without a call. So other
    instruments do not pay for it.
    """

    __slots__ = ("_plain", "worst")

    def __init__(self, origin: Origin, bound: Pairs = ()) -> None:
        super().__init__(origin, bound)
        # It caches the series that this one does not show.
        self._plain = Summary(origin, bound)
        samples = origin.registry.collection.worst_samples
        self.worst: WorstSample = samples.of(origin)

    def find_series(self, dimensions: dict[str, object]) -> SummarySeries | None:
        """Return the series to record into; None if nothing is to be recorded."""
        series = self._plain.find_series(dimensions)
        if series is None:
            self._generation = self._plain._generation  # noqa: SLF001 -- of an object of its own class
        return series

    def record(self, /, value: int | float, **dimensions: object) -> None:
        """Observe *value*."""
        self.record_with(value, dimensions)

    def record_with(self, value: float, dimensions: dict[str, object]) -> None:
        """Observe *value*, with dimensions of any names."""
        series = self._plain._series  # noqa: SLF001 -- as above
        if series.buffer is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series = found
        values = series.values
        values.append(value)
        if len(values) > series.limit:
            series.fold_if_free()
        self.worst.add(value, series)
