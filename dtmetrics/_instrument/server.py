"""A web request, from its beginning to its end.

A middleware makes one ``Requests``, and for each request that comes::

    request = requests.begin(method, scheme, version, path, about)
    if request is None:                # nobody records, or it is excluded
        ...                            # pass it on untouched
    request.sent()                     # the last byte is out: the clock stops
    request.end(status, route, error)  # and it is recorded, once

``sent()`` may be left out where both are one moment. Nothing of it ever raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any, Literal, TypedDict

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.active_requests import Active
from dtmetrics._instrument.bounded_cache import BoundedCache
from dtmetrics._instrument.exclude import Pattern, excluding
from dtmetrics._instrument.http_instruments import Descriptions, Measured
from dtmetrics._instrument.semconv import (
    CONVENTIONS,
    OTHER,
    SCHEMES,
    alone,
    code_of,
    methods_of,
    without_body,
)
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = [
    "ERROR",
    "MEASURED",
    "ROUTE",
    "Options",
    "Request",
    "Requests",
    "error_type",
]

#: An application of any framework may name its route under this key of the WSGI
#: environ or the ASGI scope.
ROUTE = "dtmetrics.route"
#: And a framework that answers for what its views raise, the type of it.
ERROR = "dtmetrics.error"
#: It is there while a middleware measures: another one inside would count it twice.
MEASURED = "dtmetrics.measured"

_SAID = Descriptions(
    "Duration of requests, until the last byte was sent",
    "Size of the bodies of HTTP requests",
    "Size of the bodies of HTTP responses",
)

NO_DIMENSIONS = "dimensions= failed"
NOT_RECORDED = "request that makes no sense"


class Options(TypedDict, total=False):
    """What every middleware takes."""

    #: Paths or routes that are not measured.
    exclude: Pattern | Iterable[Pattern]
    #: Makes more dimensions, of the WSGI environ, the ASGI scope or Django's request.
    dimensions: Callable[[Any], Mapping[str, Any]] | None
    #: Which names: those in force, those before 1.21, or both while one migrates.
    semconv: Literal["stable", "old", "both"]
    #: Whether to show how many requests are inside now.
    active_requests: bool
    #: Whether to measure the sizes of bodies.
    body_sizes: bool
    #: Methods with a name of their own; others are ``_OTHER``.
    known_methods: Iterable[str] | None
    #: What records; by default the meter ``dtmetrics.web``.
    meter: Meter | None


class Requests:
    """The requests of one application, as one middleware sees them."""

    def __init__(
        self,
        *,
        exclude: Pattern | Iterable[Pattern] = (),
        dimensions: Callable[[Any], Mapping[str, Any]] | None = None,
        semconv: Literal["stable", "old", "both", "websocket"] = "stable",
        active_requests: bool = False,
        body_sizes: bool = False,
        known_methods: Iterable[str] | None = None,
        meter: Meter | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if semconv not in CONVENTIONS:
            raise ValueError(f'semconv is "stable", "old" or "both", not {semconv!r}')
        self.clock = clock
        #: Whether a middleware has to find out the sizes of bodies.
        self.body_sizes = body_sizes
        #: None: nobody needs to find out the path.
        self.excludes = excluding(exclude)
        self._dimensions = dimensions
        self._methods = methods_of(known_methods)
        self._meter = meter or default.get_meter("dtmetrics.web")
        self._registry = self._meter.registry
        self._names = CONVENTIONS[semconv]
        self._measured = [
            Measured.define(self._meter, names, _SAID, sizes=body_sizes)
            for names in self._names
        ]
        self._active = Active(self._meter, self._of_active) if active_requests else None
        # By what server and application say.
        self._bound = BoundedCache(self._bind)

    def begin(
        self,
        method: str | None,
        scheme: str | None,
        version: str | None,
        path: str | None = None,
        about: Any = None,
    ) -> Request | None:
        """Begin to measure a request; None: nobody records, or it is excluded.

        *about* is what the user's ``dimensions=`` will be asked about.
        """
        if not self._registry.recording:
            return None
        excludes = self.excludes
        if excludes is not None and call_safely(excludes, path or "", default=None):
            return None
        request = Request()
        request._requests = self
        request._method, request._scheme, request._version = method, scheme, version
        request._about = None if self._dimensions is None else about
        request._took = request.request_size = request.response_size = None
        request.ended = False
        request._left = None
        if self._active is not None:
            request._left = call_safely(
                self._active.enter, method, scheme, default=None
            )
        clock = self.clock
        request._start = clock()
        return request

    def refuse(self, reason: str) -> None:
        """Count something that could not be recorded."""
        self._measured[0].duration.reject(reason)

    # -- within --------------------------------------------------------------------

    def _record(self, request: Request, status: Any, route: Any, error: Any) -> None:
        if isinstance(error, BaseException):
            error = alone(error)
            # Servers answer for whoever raises, but not for who was cancelled.
            if status is None and isinstance(error, Exception):
                status = 500
                request.response_size = None
            error = error_type(error)
        key = (request._method, request._scheme, request._version, status, route, error)
        bound = self._bound[key]
        took: Any = request._took
        more = None if self._dimensions is None else self._more(request._about)
        for duration, per_second, request_size, response_size, named in bound:
            given = named if more is None else {**named, **more}
            duration.record(took * per_second, **given)
            if request_size is not None and request.request_size is not None:
                request_size.record(request.request_size, **given)
            if response_size is not None and request.response_size is not None:
                response_size.record(request.response_size, **given)

    def _bind(
        self,
        method: Any,
        scheme: Any,
        version: Any,
        status: Any,
        route: Any,
        error: Any,
    ) -> list[Measured]:
        excludes = self.excludes
        if excludes is not None and isinstance(route, str) and excludes(route):
            return []
        code = call_safely(code_of, status, default=None)
        bodiless = without_body(method, code)
        return [
            self._for(
                measured._replace(response_size=None) if bodiless else measured,
                names.dimensions(
                    method=self._known(method),
                    scheme=_known_scheme(scheme),
                    version=version,
                    status=code,
                    error=error,
                    route=route,
                ),
            )
            for names, measured in zip(self._names, self._measured, strict=True)
        ]

    def _for(self, measured: Measured, named: Mapping[str, Any]) -> Measured:
        # A bound handle remembers a thousand sets of dimensions that it was given; of
        # some hundred handles each with its own, that could be some hundred MB.
        if self._dimensions is None:
            return measured.bind(named)
        return measured._replace(named=named)

    def _of_active(self, method: Any, scheme: Any) -> dict[str, Any]:
        # Of "both" one gauge has all: two under one key would be added up.
        named = {names.method: self._known(method) for names in self._names}
        return named | {names.scheme: _known_scheme(scheme) for names in self._names}

    def _known(self, method: Any) -> str:
        return method if method in self._methods else OTHER

    def _more(self, about: Any) -> dict[str, Any]:
        """Return the user's own dimensions."""
        return call_safely(
            _pairs,
            self._dimensions,
            about,
            default={},
            on_error=lambda _: self.refuse(NO_DIMENSIONS),
        )


class Request:
    """One request: what `Requests.begin` gives."""

    # Without an __init__, whose call costs 40 ns on CPython 3.11.
    __slots__ = (
        "_about",
        "_left",
        "_method",
        "_requests",
        "_scheme",
        "_start",
        "_took",
        "_version",
        "ended",
        "request_size",
        "response_size",
    )

    _requests: Requests
    _method: str | None
    _scheme: str | None
    _version: str | None
    _about: Any
    _start: float
    _took: float | None
    _left: Callable[[], None] | None  # what tells the gauge
    #: Whether it was recorded.
    ended: bool
    #: Bytes of the two bodies, where they are wanted and known by the end.
    request_size: int | None
    response_size: int | None

    @property
    def is_sent(self) -> bool:
        """Whether the last byte has been sent."""
        return self._took is not None

    def sent(self) -> None:
        """Stop the clock: the last byte has been sent. Later calls do nothing."""
        if self._took is not None:
            return
        clock = self._requests.clock
        self._took = clock() - self._start
        left, self._left = self._left, None
        if left is not None:
            left()

    def end(
        self,
        status: int | str | None,
        route: str | None = None,
        error: BaseException | str | None = None,
        scheme: str | None = None,
    ) -> None:
        """Record it. Later calls do nothing.

        *status* is what was sent, if anything; *route* the framework's, never the
        path; *error* what was raised, or its type; *scheme* the client's, where what
        is inside knows more of it than the server.
        """
        if self.ended:
            return
        self.ended = True
        if scheme is not None:
            self._scheme = scheme
        self.sent()
        # What an application says (a status, a route) may be anything.
        requests = self._requests
        call_safely(
            requests._record,
            self,
            status,
            route,
            error,
            default=None,
            on_error=lambda _: requests.refuse(NOT_RECORDED),
        )


def _known_scheme(scheme: Any) -> Any:
    return scheme if scheme in SCHEMES else None


def _pairs(
    dimensions: Callable[[Any], Mapping[str, Any]], about: Any
) -> dict[str, Any]:
    return {str(key): value for key, value in dict(dimensions(about)).items()}
