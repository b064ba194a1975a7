"""One request to a server, and what frameworks leave for its middleware."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.shared import Shared
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.client_disconnect import is_client_disconnect

if TYPE_CHECKING:
    from dtmetrics._instrument.http_server import ServerInstruments

__all__ = [
    "ERROR",
    "INSTRUMENTED",
    "ROUTE",
    "ServerRequest",
    "is_failure",
    "set_error",
    "set_route",
]

#: An application of any framework may leave its route under this key of the WSGI
#: environ or the ASGI scope.
ROUTE = "dtmetrics.route"
#: A framework that answers for its views' exceptions leaves their type here.
ERROR = "dtmetrics.error"
#: The `ServerRequest` that a middleware records, so that one further in does not. A
#: copy of the environ or the scope holds the same object, so what is left in it reaches
#: the middleware; a key of the copy does not.
INSTRUMENTED = "dtmetrics.instrumented"


# Without an __init__: its call costs 40 ns on CPython 3.11. Without a __repr__: pages
# for debugging show the environ, which the default one would repeat.
@dataclass(init=False, eq=False, repr=False, slots=True)
class ServerRequest(Shared):  # a middleware may pass on a deep copy of the scope
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
    #: Bytes of the two bodies, where they are needed and known by the end.
    request_size: int | None
    response_size: int | None
    #: The headers of the response as the application passed them, and the seconds until
    #: its first byte was sent, where they are needed.
    headers: object
    first_byte: float | None
    #: What a framework further in left: its route, the type of the exception that it
    #: answers, and whether it raised that because the client left.
    route: str | None
    error: str | None
    client_left: bool
    #: The scope of the innermost router of Starlette, which may be a copy.
    scope: Any

    def first_byte_sent(self) -> None:
        """Take the time: the first byte has been sent. Later calls do nothing."""
        if self.first_byte is None:
            self.first_byte = self.instruments.clock() - self.start

    def sent(self) -> None:
        """Stop the clock: the last byte has been sent. Later calls do nothing."""
        if self.duration is not None:
            return
        self.duration = self.instruments.clock() - self.start
        if self.leave is not None:
            self.leave()

    def fail(self, error: BaseException, wsgi_input: object = None) -> None:
        """Take the *error* that a framework answers with a status of 500 or more."""
        # Only the type: the exception's traceback holds the environ.
        self.error = error_type(error)
        self.client_left = is_client_disconnect(error, wsgi_input)

    def discard(self) -> None:
        """End the request without a record of it."""
        self.ended = True
        self.sent()

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
        if route is None:
            route = self.route
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


def set_route(scope: Mapping[str, Any], route: str | None) -> None:
    """Name the route of a request, by its WSGI environ or its ASGI scope.

    Unlike the key ``dtmetrics.route``, this also works where a middleware between has
    passed on a copy of the environ or the scope. Without a middleware of dtmetrics it
    does nothing.

    Args:
        scope (Mapping): The environ or the scope that the application got.
        route (str | None): The template of the route, never the path.

    >>> from dtmetrics.integrations.wsgi import MetricsMiddleware, set_route
    >>> def application(environ, start_response):
    ...     set_route(environ, "/items/{number}")
    ...     start_response("204 No Content", [])
    ...     return []
    >>> application = MetricsMiddleware(application)
    """
    request = scope.get(INSTRUMENTED)
    if request is not None:
        request.route = route


def set_error(scope: Mapping[str, Any], error: BaseException) -> None:
    """Leave the *error* that a framework answers with a status of 500 or more."""
    request = scope.get(INSTRUMENTED)
    if request is not None:
        request.fail(error, scope.get("wsgi.input"))


def is_failure(status: object) -> bool:
    """Return whether *status*, a number or WSGI's text, is 500 or more.

    >>> is_failure("503 Service Unavailable"), is_failure(404), is_failure(None)
    (True, False, False)
    """
    if isinstance(status, str):
        return status[:1] in ("5", "6")
    return isinstance(status, int) and status >= 500
