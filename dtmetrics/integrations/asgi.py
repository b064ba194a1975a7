"""Metrics of any ASGI application.

>>> from dtmetrics.integrations.asgi import MetricsMiddleware
>>> async def application(scope, receive, send):
...     await send({"type": "http.response.start", "status": 200, "headers": []})
...     await send({"type": "http.response.body", "body": b"hello"})
>>> application = MetricsMiddleware(application)

FastAPI, Starlette and Litestar have modules of their own, whose ``Metrics(app)`` also
records what the framework answers outside of all middlewares.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.client_disconnect import (
    is_cancelled_by_server,
    is_client_disconnect,
)
from dtmetrics._instrument.http_server import Pattern, ServerInstruments
from dtmetrics._instrument.lifespan import Message, Receive, Send, follow_lifespan
from dtmetrics._instrument.semconv import content_length
from dtmetrics._instrument.server_request import (
    ERROR,
    INSTRUMENTED,
    ROUTE,
    ServerRequest,
    is_failure,
    set_route,
)
from dtmetrics._instrument.starlette_routes import (
    Routes,
    is_from_background_task,
    watch_routers,
)
from dtmetrics._instrument.users_dimensions import Dimensions
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["MetricsMiddleware", "set_route"]

_LENGTH = b"content-length"

Scope = MutableMapping[str, Any]
# Frameworks have types of their own for scope, receive and send.
Application = Callable[..., Awaitable[None]]


class MetricsMiddleware:
    """Records each HTTP request to *app*, until the last byte of its response was sent.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged. When the server stops, what was recorded is
    delivered in at most 2 seconds, before the answer to ``lifespan.shutdown``: uvicorn
    ends the process by a signal. The routes of FastAPI, Litestar and
    Starlette are found, those of some other frameworks by
    `dtmetrics.integrations.routes.report_routes`; any application may leave its route
    in ``scope["dtmetrics.route"]``.

    Args:
        app (Callable): The ASGI application.
        exclude (str | re.Pattern | Iterable): Paths or routes that are not recorded: a
            text, in which ``*`` matches anything, a compiled expression, which is
            searched for, or several of these. Default: none. Example:
            ``exclude=["/health", "/static/*"]``.
        dimensions (Callable | None): Called with the scope when the response was
            sent; returns a mapping of further dimensions. If it takes a second
            argument, that is a `dtmetrics.integrations.Response`, with ``status`` and
            ``headers``. Default: none. Example:
            ``dimensions=lambda scope: {"host": scope["server"][0]}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, of each
            worker if there are several. Default: False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
        time_to_first_byte (bool): Add ``http.server.time_to_first_byte``, in seconds.
            Default: False.
        websockets (bool): Add ``websocket.server.connection.duration``, in seconds.
            Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.asgi")``.

    Raises:
        TypeError: An option has the wrong type.

    >>> from dtmetrics.integrations.asgi import MetricsMiddleware
    >>> async def application(scope, receive, send):
    ...     await send({"type": "http.response.start", "status": 204, "headers": []})
    ...     await send({"type": "http.response.body"})
    >>> application = MetricsMiddleware(application, exclude="/health")
    """

    _METER = __name__

    def __init__(  # noqa: PLR0913 -- the options, by keyword
        self,
        app: Application,
        *,
        exclude: Pattern | Iterable[Pattern] = (),
        dimensions: Dimensions | None = None,
        active_requests: bool = False,
        body_sizes: bool = False,
        time_to_first_byte: bool = False,
        websockets: bool = False,
        known_methods: Iterable[str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.app = app
        meter = meter or default.get_meter(self._METER)
        self._instruments = {
            "http": ServerInstruments(
                meter,
                exclude=exclude,
                dimensions=dimensions,
                active_requests=active_requests,
                body_sizes=body_sizes,
                known_methods=known_methods,
                time_to_first_byte=time_to_first_byte,
            )
        }
        if websockets:
            self._instruments["websocket"] = ServerInstruments(
                meter, exclude=exclude, dimensions=dimensions, websocket=True
            )
        self._routes = Routes()
        watch_routers()
        self._attach(app)

    def _attach(self, app: Any) -> None:  # noqa: ANN401 -- of a framework
        """Change *app*: for the subclasses, which belong to a framework."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI defines it."""
        get, kind = scope.get, scope["type"]
        instruments = self._instruments.get(kind)
        request = None
        if instruments is not None and INSTRUMENTED not in scope:
            # A server need not name the scheme: daphne leaves out that of websockets.
            scheme = get("scheme") or ("http" if kind == "http" else "ws")
            request = instruments.begin(
                get("method"), scheme, get("http_version"), get("path"), scope
            )
        if request is None:
            if kind == "lifespan":
                app = partial(self.app, scope)
                await follow_lifespan(app, receive, send, flush=default.flush)
            else:
                await self.app(scope, receive, send)
            return
        scope[INSTRUMENTED] = request
        if request.instruments.body_sizes:
            length = next((v for k, v in get("headers", ()) if k == _LENGTH), None)
            request.request_size = content_length(length)
            request.response_size = 0
        exchange = _AsgiExchange()
        exchange.request, exchange.scope, exchange.routes = request, scope, self._routes
        exchange.get_next, exchange.pass_on = receive, send
        exchange.status = exchange.left_unanswered = None
        exchange.streams = False
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.end()


# Without an __init__: its call costs 100 ns on CPython 3.11.
@dataclass(init=False, eq=False, slots=True)
class _AsgiExchange:
    """A request, and the messages of its response."""

    request: ServerRequest
    scope: Scope
    get_next: Receive
    pass_on: Send
    routes: Routes
    status: object
    #: Whether a client that left had got no status; None if it has not left.
    left_unanswered: bool | None
    streams: bool

    async def receive(self) -> Message:
        """Return the server's next message; look whether the client has left."""
        message = await self.get_next()
        # Servers also report it after the last byte.
        is_open = self.request.duration is None
        if is_open and message.get("type") == "http.disconnect":
            self._leave()
        return message

    def _leave(self) -> None:
        if self.left_unanswered is None:
            self.left_unanswered = self.status is None

    async def send(self, message: Message) -> None:
        """Pass *message* on; look at it once the server has taken it."""
        try:
            await self.pass_on(message)
        except OSError:  # a server raises it when the client has left
            self._leave()
            raise
        kind = message.get("type")
        if kind == "http.response.start":
            self.status = message.get("status")
            if self.request.instruments.inspects_head:
                self.request.headers = message.get("headers")
                self.request.first_byte_sent()
        elif kind == "http.response.body":
            if self.request.response_size is not None:
                self.request.response_size += len(message.get("body") or b"")
            if message.get("more_body"):
                self.streams = True
            else:
                # Starlette ends a failed stream with the same message as a whole one.
                self._sent(certain=not self.streams or bool(message.get("body")))
        elif kind == "http.response.pathsend":  # the server itself reads a file
            self.request.response_size = None
            self._sent(certain=True)

    def _sent(self, *, certain: bool) -> None:
        self.request.sent()
        # A response that succeeded is recorded now: background tasks come next, and may
        # take long. One that failed, or may have, is recorded when the application has
        # raised, as Starlette does after it has answered: then the error is known.
        if certain and isinstance(self.status, int) and self.status < 500:
            self._record(self.status, None)

    def end(self, error: BaseException | None = None) -> None:
        """Record the request, unless it is recorded already."""
        request = self.request
        if request.ended:
            return
        is_sent = request.duration is not None
        if error is not None and self.left_unanswered is None:
            if is_sent and is_from_background_task(error):
                error = None
            elif is_client_disconnect(error):
                self.left_unanswered = True
            elif is_cancelled_by_server(error):
                self.left_unanswered = False
        status = self.status
        if self.left_unanswered is not None:
            error = None  # whatever the application raised then
            if self.left_unanswered and is_failure(status):
                status = None
        elif error is None and is_failure(status):
            error = self.scope.get(ERROR)
        self._record(status, error)

    def _record(self, status: object, error: BaseException | str | None) -> None:
        request, scope = self.request, self.scope
        inner = scope if request.scope is None else request.scope
        route = inner.get(ROUTE) or request.route
        if route is None and "router" in inner:
            route = call_safely(self.routes.template, inner, default=None)
        elif route is None:
            route = inner.get("path_template") or None  # of Litestar
        if request.source is scope:
            request.source = inner
        request.end(status, route, error, inner.get("scheme"))
        # A copy of the scope holds the request, which must not hold the copy.
        request.scope = None
        scope.pop(INSTRUMENTED, None)
