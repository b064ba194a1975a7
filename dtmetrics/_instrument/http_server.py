"""Requests that an HTTP server answers, from their beginning to their end.

A middleware makes one ``ServerInstruments``, and for each request::

    request = instruments.begin(method, scheme, version, path, source)
    if request is None:                # recording is off, or the path is excluded
        ...                            # pass the request on untouched
    request.first_byte_sent()          # if instruments.inspects_head
    request.sent()                     # the last byte was sent: the clock stops
    request.end(status, route, error)  # the request is recorded, once

``sent()`` may be left out where both are the same moment. None of these raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from time import perf_counter
from typing import Any, cast

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import (
    MOST_BINDINGS,
    OTHER,
    SCHEMES,
    VERSIONS,
    ActiveRequests,
    CachedBinding,
    HttpInstruments,
    accepted_methods,
    sole_exception,
)
from dtmetrics._instrument.server_request import ServerRequest, is_failure
from dtmetrics._instrument.users_dimensions import (
    Dimensions,
    UsersDimensions,
    status_code,
)
from dtmetrics._record.meter import Meter

__all__ = [
    "Dimensions",
    "Pattern",
    "ServerInstruments",
]

INVALID_REQUEST = "request that cannot be described"

#: A text, in which ``*`` matches anything, or an expression that is searched for.
Pattern = str | re.Pattern[str]


class ServerInstruments(CachedBinding):
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
        time_to_first_byte: bool = False,
        websocket: bool = False,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.clock = clock
        #: Whether a middleware has to find out the sizes of bodies.
        self.body_sizes = body_sizes
        #: Finds whether a path or a route is excluded. None if none is: then a
        #: middleware need not find out the path.
        self.excludes: Callable[[str], object] | None = _matcher(exclude)
        self._users = None if dimensions is None else UsersDimensions(dimensions)
        #: Whether a middleware has to set a request's ``headers``, and to call its
        #: ``first_byte_sent()``.
        self.inspects_head: bool = time_to_first_byte or (
            self._users is not None and self._users.of_response
        )
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
            if time_to_first_byte:
                self._instruments = self._instruments.with_first_byte(meter)
        self._active = ActiveRequests(meter, self._known) if active_requests else None
        self._bound = lru_cache(MOST_BINDINGS)(self._bind)

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
        request.source = None if self._users is None else source
        request.duration = request.request_size = request.response_size = None
        request.headers = request.first_byte = None
        request.ended = request.client_left = False
        request.leave = request.route = request.error = request.scope = None
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
        if error is None and request.error is not None and is_failure(status):
            # The framework's answer to an exception; a client that left has none.
            error = request.error
            if request.client_left:
                status = error = None
        if isinstance(error, BaseException):
            error = sole_exception(error)
            # A server answers 500 to an exception, but does not answer a cancellation.
            if status is None and isinstance(error, Exception):
                status = 500
                request.response_size = request.headers = None
            error = error_type(error)
        bound = self._bound(
            request.method, request.scheme, request.version, status, route, error
        )
        if bound is None:
            return
        (duration, request_size, response_size, first_byte), dimensions = bound
        took: Any = request.duration  # `cast` would be a call
        if self._users is None:
            duration.record(took)  # bound: it looks up nothing
        else:
            users = self._users.safely(
                duration, request.source, status, request.headers
            )
            dimensions = {**dimensions, **users}
            duration.record_with(took, dimensions)
        if request_size is not None and request.request_size is not None:
            request_size.record_with(request.request_size, dimensions)
        if response_size is not None and request.response_size is not None:
            response_size.record_with(request.response_size, dimensions)
        if first_byte is not None:
            # Without a body the head is sent at the end.
            first_byte.record_with(request.first_byte or took, dimensions)

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
        code = status_code(status)
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
        if self._users is not None:
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
