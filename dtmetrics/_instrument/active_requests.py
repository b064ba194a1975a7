"""How many requests are being answered now: a gauge of each worker's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dtmetrics._instrument.bounded_cache import BoundedCache
from dtmetrics._instrument.worker_id import worker_number
from dtmetrics._record.gauge import RunningCalls
from dtmetrics._record.meter import Meter

__all__ = ["Active"]

#: Makes dimensions of what a server says: a method and a scheme.
Dimensions = Callable[[Any, Any], dict[str, Any]]


class Active:
    """The gauge; who is inside has moved the series that it moves back.

    The convention wants the same dimensions at both ends, so there are only those that
    are known in the beginning.
    """

    def __init__(self, meter: Meter, dimensions: Dimensions) -> None:
        self._registry = meter.registry
        self._dimensions = dimensions
        self._gauge = meter.gauge(
            "http.server.active_requests",
            unit="{request}",
            description="HTTP requests that are being answered",
        )
        self._kept = BoundedCache(self._bind)
        self._generation: object = None

    def enter(self, method: Any, scheme: Any) -> Callable[[], None]:
        """Count one more; return what counts one less."""
        generation = self._registry.generation
        if self._generation is not generation:  # a forked worker has its number
            self._generation, self._kept = generation, BoundedCache(self._bind)
        inside = self._kept[method, scheme]
        token = inside.begin()
        return lambda: inside.end(token, None, None, None)

    def _bind(self, method: Any, scheme: Any) -> RunningCalls:
        named = self._dimensions(method, scheme)
        named["dtmetrics.worker"] = worker_number()
        return RunningCalls(self._gauge.bind(**named))
