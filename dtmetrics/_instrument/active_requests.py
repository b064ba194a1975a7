"""The gauge of requests that are being answered now, one for each worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from dtmetrics._instrument.worker_id import worker_number
from dtmetrics._record.instruments import Inside
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
        self._registry = meter.registry
        self._known = known
        self._gauge = meter.gauge(
            "http.server.active_requests",
            unit="{request}",
            description="HTTP requests that are being answered",
        )
        self._bound = lru_cache(_CACHED)(self._bind)
        self._epoch: object = None

    def enter(self, method: str | None, scheme: str | None) -> Callable[[], None]:
        """Count one request more; return the function that counts it off."""
        if self._epoch is not self._registry.epoch:  # a forked worker has its number
            self._epoch = self._registry.epoch
            self._bound = lru_cache(_CACHED)(self._bind)
        inside = self._bound(method, scheme)
        token = inside.begin()
        return lambda: inside.end(token, None, None, None)

    def _bind(self, method: str | None, scheme: str | None) -> Inside:
        dimensions = self._known(method, scheme)
        return Inside(
            self._gauge.bind(**dimensions, **{"dtmetrics.worker": worker_number()})
        )
