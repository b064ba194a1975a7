"""The HTTP instruments of OpenTelemetry's semantic conventions, and their values.

https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (version 1.44)
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from dtmetrics._config.environment import known_http_methods
from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.gauge import RunningCalls
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = [
    "METHODS",
    "MOST_BINDINGS",
    "OTHER",
    "SCHEMES",
    "VERSIONS",
    "ActiveRequests",
    "CachedBinding",
    "HttpInstruments",
    "accepted_methods",
    "content_length",
    "sole_exception",
]

#: The methods that the convention names. Others are recorded as OTHER: a client can
#: make up any number of them.
METHODS = frozenset(
    "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split()  # noqa: SIM905
)
OTHER = "_OTHER"

#: A proxy may pass on any scheme that a client made up; others are left out.
SCHEMES = frozenset(("http", "https", "ws", "wss"))

#: ``network.protocol.version`` by what servers write, with and without "HTTP/". Other
#: versions are left out: a client can make up any number of them.
VERSIONS = {
    prefix + text: text.removesuffix(".0") if text > "2" else text
    for text in ("1.0", "1.1", "2", "2.0", "3", "3.0")
    for prefix in ("", "HTTP/")
}

# Responses with these statuses have no body, and so no size of one.
_BODILESS_STATUSES = frozenset((204, 304))

#: How many combinations of dimensions keep their bound instruments, in each cache.
#: Clients, servers and applications can make up any number of them.
MOST_BINDINGS = 1024

_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # added in Python 3.11


class HttpInstruments(NamedTuple):
    """The instruments of one side; sizes only where they are wanted."""

    duration: Summary
    request_size: Summary | None = None
    response_size: Summary | None = None
    first_byte: Summary | None = None

    @classmethod
    def define(
        cls,
        meter: Meter,
        side: Literal["server", "client"],
        description: str,
        *,
        body_sizes: bool,
    ) -> HttpInstruments:
        """Define the instruments; *description* is the duration's.

        Raises DefinitionError under ``configure(strict=True)``, if a key is taken.
        """
        duration = meter.summary(
            f"http.{side}.request.duration", unit="s", description=description
        )
        sizes = (
            meter.summary(
                f"http.{side}.{message}.body.size",
                unit="By",
                description=f"Size of the bodies of HTTP {message}s",
            )
            for message in ("request", "response")
        )
        return cls(duration, *sizes) if body_sizes else cls(duration)

    def with_first_byte(self, meter: Meter) -> HttpInstruments:
        """Return the instruments with one for the time to the first byte.

        The convention has none; its name is in the style of GenAI's.
        """
        first_byte = meter.summary(
            "http.server.time_to_first_byte",
            unit="s",
            description="Time until the first byte of a response was sent",
        )
        return self._replace(first_byte=first_byte)

    def of_response(self, method: object, status: object) -> HttpInstruments:
        """Return the instruments that a response has values for.

        Without a body it has no size, and without a status no first byte.
        """
        has_body = method != "HEAD" and status not in _BODILESS_STATUSES
        these = self if has_body else self._replace(response_size=None)
        return these if status is not None else these._replace(first_byte=None)

    def bind(self, dimensions: Mapping[str, object]) -> HttpInstruments:
        """Return the instruments with fixed *dimensions*."""
        bound: Any = (each and each.bind(**dimensions) for each in self)
        return HttpInstruments(*bound)


class CachedBinding:
    """What has a cache ``_bound`` of its method ``_bind``; it is pickled without it."""

    def _bind(self, *_: Any) -> Any:  # noqa: ANN401 -- any method
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: each for name, each in vars(self).items() if name != "_bound"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _bound=lru_cache(MOST_BINDINGS)(self._bind))


class ActiveRequests(CachedBinding):
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
        self._bound = lru_cache(MOST_BINDINGS)(self._bind)

    def enter(self, method: str | None, scheme: str | None) -> Callable[[], None]:
        """Count one request more; return the function that counts it off."""
        running = self._bound(method, scheme)
        token = running.begin()
        return lambda: running.end(token)

    def _bind(self, method: object, scheme: object) -> RunningCalls:
        return RunningCalls(self._gauge.bind(**self._known(method, scheme)))


def accepted_methods(known: Iterable[str] | None) -> frozenset[str]:
    """Return the methods recorded by name: *known*, the environment's or METHODS."""
    if isinstance(known, str) or not isinstance(known, Iterable | None):
        raise TypeError(f"known_methods must be a list of HTTP methods, got {known!r}")
    return frozenset(known or known_http_methods() or METHODS)


def content_length(value: object) -> int | None:
    """Return the size that a Content-Length header announces; None if it has none.

    >>> content_length(b"12")
    12
    >>> content_length("many")
    """
    if value is None:
        return None
    # Text or bytes of a server or a client, which may be anything.
    size: int = call_safely(int, value, default=-1)
    return size if size >= 0 else None


def sole_exception(error: BaseException) -> BaseException:
    """Return the only exception of a group; any other exception as it is.

    Starlette before 0.38 streams in a task group, which wraps even one exception.
    """
    while isinstance(error, _GROUP) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
