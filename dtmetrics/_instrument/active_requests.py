"""The gauge of requests that are being answered now, one for each worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dtmetrics._instrument.worker_id import worker_number
from dtmetrics._record.gauge import RunningCalls
from dtmetrics._record.meter import Meter

__all__ = ["ActiveRequests"]

# How many combinations of method and scheme keep their bound gauge.
_CACHED = 1024


class ActiveRequests:
    """The gauge ``http.server.active_requests``.

    The convention wants the same dimensions when a request begins and when it ends, so
    the gauge has only those that are known in the beginning.
    """

    def __init__(
        self, meter: Meter, known: Callable[[object, object], dict[str, object]]
    ) -> None:
        self._known = known
        self._gauge = meter.gauge(
            "http.server.active_requests",
            unit="{request}",
            description="HTTP requests that are being answered",
        )
        self._bound = lru_cache(_CACHED)(self._bind)

    def enter(self, method: str | None, scheme: str | None) -> Callable[[], None]:
        """Count one request more; return the function that counts it off."""
        running = self._bound(method, scheme, self._gauge.registry.generation)
        token = running.begin()
        return lambda: running.end(token)

    def _bind(
        self, method: object, scheme: object, _generation: object
    ) -> RunningCalls:
        # A forked worker has another generation, and a number of its own.
        dimensions = self._known(method, scheme)
        return RunningCalls(
            self._gauge.bind(**dimensions, **{"dtmetrics.worker": worker_number()})
        )
