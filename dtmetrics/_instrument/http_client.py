"""Requests that an HTTP client makes, from the call until the response's head arrives.

The convention lets a client's request end there, or at the end of the body. The head is
the only end that every library has in common: an unread body may be cleaned up at any
time. Each request that a transport or an adapter gets counts, those of redirects too;
what either retries by itself does not.

An integration makes one ``ClientInstruments``, and around each request of its library::

    if not instruments.enabled():
        ...                                        # pass the request on untouched
    start = perf_counter()
    instruments.end(perf_counter() - start, request, response)
    instruments.fail(perf_counter() - start, request, error)  # where it raised

None of these raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import (
    BODILESS_STATUSES,
    OTHER,
    VERSIONS,
    HttpInstruments,
    accepted_methods,
    content_length,
)
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = ["PORTS", "ClientInstruments", "Description"]

#: The port of a URL that names none.
PORTS = {"http": 80, "https": 443}

INVALID_REQUEST = "request that cannot be described"

# How many combinations of a description and an error keep their bound instruments.
# Applications and servers can make up any number of them.
_CACHED = 1024


#: Method, host, port; of the response, if there is one, its status and its protocol's
#: version. Texts may be ASCII bytes. A tuple: a NamedTuple costs 0.2 us more to make.
Description = tuple[str, str | bytes | None, int | None, int | None, str | bytes | None]


class ClientInstruments:
    """The instruments of one client library."""

    def __init__(
        self,
        meter: Meter,
        describe: Callable[[Any, Any], Description],
        *,
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
    ) -> None:
        #: False once uninstrumented: an application may still hold a wrapped method.
        self.active = True
        self._describe = describe
        self._methods = accepted_methods(known_methods)
        self._registry = meter.registry
        self._instruments = HttpInstruments.define(
            meter,
            "client",
            "Duration of requests, until the head of the response arrived",
            body_sizes=body_sizes,
        )
        self._bound = lru_cache(_CACHED)(self._bind)

    def enabled(self) -> bool:
        """Return whether to record a request: not an exporter's own."""
        return self._registry.recording and self.active and not SUPPRESSED.get()

    def end(self, took: float, request: object, response: object) -> None:
        """Record a request that was answered after *took* seconds."""
        self._record_safely(took, request, response, None)

    def fail(self, took: float, request: object, error: BaseException) -> None:
        """Record a request that ended in an exception, cancelling included."""
        self._record_safely(took, request, None, error_type(error))

    # -- within --------------------------------------------------------------------

    def _record_safely(self, *arguments: object) -> None:
        # What a transport, an adapter or a server answers may be anything.
        call_safely(self._record, *arguments, default=None, on_error=self._reject)

    def _reject(self, _: Exception) -> None:
        self._instruments.duration.reject(INVALID_REQUEST)

    def _record(
        self,
        took: float,
        request: Any,  # noqa: ANN401 -- of any library
        response: Any,  # noqa: ANN401 -- of any library
        error: str | None,
    ) -> None:
        duration, request_size, response_size = self._bound(
            self._describe(request, response), error
        )
        duration.record(took)
        if request_size is not None:
            _record_size(request_size, request.headers)
        if response_size is not None and response is not None:
            _record_size(response_size, response.headers)

    def _bind(self, description: Description, error: str | None) -> HttpInstruments:
        method, host, port, status, version = description
        if error is None and status is not None and status >= 400:
            error = str(status)
        dimensions = {
            "http.request.method": method if method in self._methods else OTHER,
            "http.response.status_code": status,
            "network.protocol.version": VERSIONS.get(_text(version) or ""),
            "server.address": _text(host),
            "server.port": port,
            "error.type": error,
        }
        instruments = self._instruments
        if method == "HEAD" or status in BODILESS_STATUSES:
            instruments = instruments._replace(response_size=None)
        bound: Any = (each and each.bind(**dimensions) for each in instruments)
        return HttpInstruments(*bound)


def _record_size(instrument: Summary, headers: Any) -> None:  # noqa: ANN401 -- of any library
    size = content_length(headers.get("Content-Length"))
    if size is not None:
        instrument.record(size)


def _text(value: str | bytes | None) -> str | None:
    return value.decode("ascii") if isinstance(value, bytes) else value
