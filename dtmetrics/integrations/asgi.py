"""Metrics of any ASGI application.

>>> from dtmetrics.integrations.asgi import MetricsMiddleware
>>> async def application(scope, receive, send):
...     await send({"type": "http.response.start", "status": 200, "headers": []})
...     await send({"type": "http.response.body", "body": b"hello"})
>>> application = MetricsMiddleware(application)

With Starlette and FastAPI: ``app.add_middleware(MetricsMiddleware)``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.http_server import (
    ERROR,
    INSTRUMENTED,
    ROUTE,
    Dimensions,
    Pattern,
    ServerInstruments,
    ServerRequest,
)
from dtmetrics._instrument.semconv import content_length
from dtmetrics._instrument.starlette_routes import (
    Routes,
    is_client_disconnect,
    is_from_background_task,
)
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["MetricsMiddleware"]

_LENGTH = b"content-length"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class MetricsMiddleware:
    """Records each HTTP request to *app*, until the last byte of its response was sent.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged. The routes of Starlette and FastAPI are found;
    another application may leave its route in ``scope["dtmetrics.route"]``.

    Args:
        app (Callable): The ASGI application.
        exclude (str | re.Pattern | Iterable): Paths or routes that are not recorded: a
            text, in which ``*`` matches anything, a compiled expression, which is
            searched for, or several of these. Default: none. Example:
            ``exclude=["/health", "/static/*"]``.
        dimensions (Callable | None): Called with the scope when the response was
            sent; returns a mapping of further dimensions. Default: none. Example:
            ``dimensions=lambda scope: {"host": scope["server"][0]}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, whose
            dimension ``dtmetrics.worker`` is a small number for each worker. Default:
            False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
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

    def __init__(  # noqa: PLR0913 -- the options, by keyword
        self,
        app: Application,
        *,
        exclude: Pattern | Iterable[Pattern] = (),
        dimensions: Dimensions | None = None,
        active_requests: bool = False,
        body_sizes: bool = False,
        websockets: bool = False,
        known_methods: Iterable[str] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.app = app
        meter = meter or default.get_meter(__name__)
        self._instruments = {
            "http": ServerInstruments(
                meter,
                exclude=exclude,
                dimensions=dimensions,
                active_requests=active_requests,
                body_sizes=body_sizes,
                known_methods=known_methods,
            )
        }
        if websockets:
            self._instruments["websocket"] = ServerInstruments(
                meter, exclude=exclude, dimensions=dimensions, websocket=True
            )
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI defines it."""
        get = scope.get
        instruments = self._instruments.get(scope["type"])
        request = None
        if instruments is not None and INSTRUMENTED not in scope:
            request = instruments.begin(
                get("method"), get("scheme"), get("http_version"), get("path"), scope
            )
        if request is None:
            await self.app(scope, receive, send)
            return
        scope[INSTRUMENTED] = True
        if request.instruments.body_sizes:
            length = next((v for k, v in get("headers", ()) if k == _LENGTH), None)
            request.request_size = content_length(length)
            request.response_size = 0
        exchange = _AsgiExchange(request, scope, send, self._routes)
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.end()


@dataclass(eq=False, slots=True)
class _AsgiExchange:
    """A request, and the messages of its response."""

    request: ServerRequest
    scope: Scope
    pass_on: Send
    routes: Routes
    status: object = None
    client_left: bool = False
    streams: bool = False

    async def send(self, message: Message) -> None:
        """Pass *message* on; look at it once the server has taken it."""
        try:
            await self.pass_on(message)
        except OSError:  # a server raises it when the client has left
            self.client_left = True
            raise
        kind = message.get("type")
        if kind == "http.response.start":
            self.status = message.get("status")
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
        if error is None or (is_sent and is_from_background_task(error)):
            self._record(self.status, self.scope.get(ERROR))
        elif not (self.client_left or is_client_disconnect(error)):
            self._record(self.status, error)
        else:
            # A status of 500 answers the exception, but the client has left.
            status = self.status
            failed = isinstance(status, int) and status >= 500
            self._record(None if failed else status, None)

    def _record(self, status: object, error: BaseException | str | None) -> None:
        scope = self.scope
        route = scope.get(ROUTE)
        if route is None and "router" in scope:
            route = call_safely(self.routes.template, scope, default=None)
        self.request.end(status, route, error, scope.get("scheme"))
        scope.pop(INSTRUMENTED, None)
