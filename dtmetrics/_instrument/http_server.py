"""Requests that an HTTP server answers, from their beginning to their end.

A middleware makes one ``ServerInstruments``, and for each request::

    request = instruments.begin(method, scheme, version, path, source)
    if request is None:                # recording is off, or the path is excluded
        ...                            # pass the request on untouched
    request.sent()                     # the last byte was sent: the clock stops
    request.end(status, route, error)  # the request is recorded, once

``sent()`` may be left out where both are the same moment. None of these raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any, cast

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import (
    OTHER,
    SCHEMES,
    VERSIONS,
    ActiveRequests,
    HttpInstruments,
    accepted_methods,
    sole_exception,
)
from dtmetrics._record.meter import Meter

__all__ = [
    "ERROR",
    "INSTRUMENTED",
    "ROUTE",
    "Dimensions",
    "Pattern",
    "ServerInstruments",
    "ServerRequest",
]

#: An application of any framework may leave its route under this key of the WSGI
#: environ or the ASGI scope.
ROUTE = "dtmetrics.route"
#: A framework that answers for its views' exceptions leaves their type here.
ERROR = "dtmetrics.error"
#: Set while a middleware records the request, so that one further in does not.
INSTRUMENTED = "dtmetrics.instrumented"

INVALID_DIMENSIONS = "dimensions= failed"
INVALID_REQUEST = "request that cannot be described"

#: A text, in which ``*`` matches anything, or an expression that is searched for.
Pattern = str | re.Pattern[str]

#: Makes the user's dimensions of the WSGI environ, the ASGI scope or Django's request.
Dimensions = Callable[[Any], Mapping[str, object]]

# How many combinations of method, scheme, version, status, route and error keep their
# bound instruments. Clients and applications can make up any number of them.
_CACHED = 1024


class ServerInstruments:
    """The instruments of one middleware."""

    def __init__(  # noqa: PLR0913 -- the options of every middleware
        self,
        meter: Meter,
        *,
        exclude: Pattern | Iterable[Pattern] = (),
        dimensions: Dimensions | None = None,
        active_requests: bool = False,
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
        websocket: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.clock = clock
        #: Whether a middleware has to find out the sizes of bodies.
        self.body_sizes = body_sizes
        #: Finds whether a path or a route is excluded. None if none is: then a
        #: middleware need not find out the path.
        self.excludes: Callable[[str], object] | None = _matcher(exclude)
        self._dimensions = dimensions
        self._methods = accepted_methods(known_methods)
        self._websocket = websocket
        self._registry = meter.registry
        description = "Duration of requests, until the last byte was sent"
        if websocket:
            # The convention has no instrument for these.
            name = "websocket.server.connection.duration"
            connection = meter.summary(name, unit="s", description=description)
            self._instruments = HttpInstruments(connection)
        else:
            self._instruments = HttpInstruments.define(
                meter, "server", description, body_sizes=body_sizes
            )
        self._active = ActiveRequests(meter, self._known) if active_requests else None
        self._bound = lru_cache(_CACHED)(self._bind)

    def begin(
        self,
        method: str | None,
        scheme: str | None,
        version: str | None,
        path: str | None = None,
        source: object = None,
    ) -> ServerRequest | None:
        """Begin a request; return None if it is not to be recorded.

        *source* is the argument of the user's ``dimensions=``.
        """
        if not self._registry.recording:
            return None
        excludes = self.excludes
        if excludes is not None and call_safely(excludes, path or "", default=None):
            return None
        request = ServerRequest()
        request.instruments = self
        request.method, request.scheme, request.version = method, scheme, version
        request.source = None if self._dimensions is None else source
        request.duration = request.request_size = request.response_size = None
        request.ended = False
        request.leave = None
        if self._active is not None:
            request.leave = call_safely(
                self._active.enter, method, scheme, default=None
            )
        request.start = self.clock()
        return request

    def record(
        self,
        request: ServerRequest,
        status: object,
        route: str | None,
        error: BaseException | str | None,
    ) -> None:
        """Record *request*, which has ended."""
        if isinstance(error, BaseException):
            error = sole_exception(error)
            # A server answers 500 to an exception, but does not answer a cancellation.
            if status is None and isinstance(error, Exception):
                status = 500
                request.response_size = None
            error = error_type(error)
        bound = self._bound(
            request.method, request.scheme, request.version, status, route, error
        )
        if bound is None:
            return
        (duration, request_size, response_size), dimensions = bound
        if self._dimensions is not None:
            users = call_safely(
                self._users_dimensions,
                request.source,
                default={},
                on_error=lambda _: duration.reject(INVALID_DIMENSIONS),
            )
            dimensions = {**dimensions, **users}
        duration.record_with(cast("float", request.duration), dimensions)
        if request_size is not None and request.request_size is not None:
            request_size.record_with(request.request_size, dimensions)
        if response_size is not None and request.response_size is not None:
            response_size.record_with(request.response_size, dimensions)

    def reject(self, _: Exception) -> None:
        """Count a request that could not be described."""
        self._instruments.duration.reject(INVALID_REQUEST)

    def _bind(
        self,
        method: object,
        scheme: object,
        version: object,
        status: object,
        route: str | None,
        error: str | None,
    ) -> tuple[HttpInstruments, dict[str, object]] | None:
        """Return instruments and their dimensions; None if the route is excluded."""
        excludes = self.excludes
        if excludes is not None and isinstance(route, str) and excludes(route):
            return None
        code = call_safely(_status_code, status, default=None)
        if error is None and code is not None and code >= 500:
            error = str(code)
        dimensions = {
            **self._known(method, scheme),
            "network.protocol.version": VERSIONS.get(cast("str", version)),
            "http.response.status_code": code,
            "http.route": route,
            "error.type": error,
        }
        if self._websocket:
            del dimensions["http.request.method"]
            del dimensions["http.response.status_code"]
        instruments = self._instruments.of_response(method, code)
        if self._dimensions is not None:
            # Unbound: a bound handle caches a thousand sets of dimensions, and some
            # hundred handles with their own caches could take some hundred MB.
            return instruments, dimensions
        return instruments.bind(dimensions), {}

    def _known(self, method: object, scheme: object) -> dict[str, object]:
        """Return the dimensions that are known when a request begins."""
        return {
            "http.request.method": method if method in self._methods else OTHER,
            "url.scheme": scheme if scheme in SCHEMES else None,
        }

    def _users_dimensions(self, source: object) -> dict[str, object]:
        dimensions = dict(cast("Dimensions", self._dimensions)(source))
        return {str(key): value for key, value in dimensions.items()}


# Without an __init__: its call costs 40 ns on CPython 3.11.
@dataclass(init=False, eq=False, slots=True)
class ServerRequest:
    """One request; made by `ServerInstruments.begin`."""

    instruments: ServerInstruments
    method: str | None
    scheme: str | None
    version: str | None
    #: The argument of the user's ``dimensions=``.
    source: object
    start: float
    #: Seconds until the last byte was sent; None until then.
    duration: float | None
    #: Takes the request off the gauge of active requests.
    leave: Callable[[], None] | None
    #: Whether the request was recorded.
    ended: bool
    #: Bytes of the two bodies, where they are wanted and known by the end.
    request_size: int | None
    response_size: int | None

    def sent(self) -> None:
        """Stop the clock: the last byte has been sent. Later calls do nothing."""
        if self.duration is not None:
            return
        self.duration = self.instruments.clock() - self.start
        if self.leave is not None:
            self.leave()

    def end(
        self,
        status: object,
        route: str | None = None,
        error: BaseException | str | None = None,
        scheme: str | None = None,
    ) -> None:
        """Record the request. Later calls do nothing.

        *status* is what was sent, as a number or as WSGI's text, or None; *route* the
        framework's template, never the path; *error* what was raised, or its type;
        *scheme* the client's, where a middleware further in knows it better than the
        server.
        """
        if self.ended:
            return
        self.ended = True
        if scheme is not None:
            self.scheme = scheme
        self.sent()
        # A status or a route of an application may be anything.
        these = self.instruments
        call_safely(
            these.record,
            self,
            status,
            route,
            error,
            default=None,
            on_error=these.reject,
        )


def _status_code(status: Any) -> int:  # noqa: ANN401 -- of any application
    return int(status[:3] if isinstance(status, str) else status)  # WSGI's "200 OK"


def _matcher(exclude: Pattern | Iterable[Pattern]) -> Callable[[str], object] | None:
    """Return a search for what excludes a path or a route; None if nothing does."""
    alone = isinstance(exclude, str) or not isinstance(exclude, Iterable)
    patterns: list[Any] = [exclude] if alone else [*cast("Iterable[Any]", exclude)]
    if not all(isinstance(each, str | re.Pattern) for each in patterns):
        raise TypeError(
            "exclude must be a text, a compiled expression or a list of these, "
            f"got {exclude!r}"
        )
    texts = [each for each in patterns if isinstance(each, str)]
    searches = [each.search for each in patterns if not isinstance(each, str)]
    if texts:
        whole = "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts)
        searches.append(re.compile(whole, re.DOTALL).fullmatch)
    if len(searches) < 2:
        return searches[0] if searches else None
    return lambda text: any(search(text) for search in searches)
