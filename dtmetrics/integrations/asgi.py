"""Metrics of any ASGI application.

>>> from dtmetrics.integrations.asgi import MetricsMiddleware
>>> async def application(scope, receive, send):
...     await send({"type": "http.response.start", "status": 200, "headers": []})
...     await send({"type": "http.response.body", "body": b"hello"})
>>> application = MetricsMiddleware(application)

Or ``app.add_middleware(MetricsMiddleware)`` for Starlette and FastAPI.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.semconv import announced
from dtmetrics._instrument.server import ERROR, MEASURED, ROUTE, Request, Requests
from dtmetrics._instrument.starlette_routes import (
    Routes,
    comes_from_the_background,
    says_that_a_client_left,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dtmetrics._instrument.server import Options

__all__ = ["MetricsMiddleware"]

_LENGTH = b"content-length"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class MetricsMiddleware:
    """Measures each HTTP request to *app*, until the last byte of its answer was sent.

    Nothing of the answer changes. Starlette's and FastAPI's routes are known; what is
    built otherwise may leave its route in ``scope["dtmetrics.route"]``. Websockets pass
    untouched, unless *websockets* asks for the duration of their connections.

    *exclude* names paths or routes that are not measured (``*`` stands for anything;
    compiled expressions are searched for); *dimensions* makes more dimensions of the
    scope, when the answer is out; *semconv* is "stable", "old" or "both";
    *active_requests* and *body_sizes* switch on what their names say; *known_methods*
    replaces the methods that are not ``_OTHER``; *meter* records.
    """

    def __init__(
        self, app: Application, *, websockets: bool = False, **options: Unpack[Options]
    ) -> None:
        self.app = app
        self._kinds = {"http": Requests(**options)}
        if websockets:
            shared: dict[str, Any] = {
                key: value
                for key, value in options.items()
                if key in ("dimensions", "exclude", "meter")
            }
            self._kinds["websocket"] = Requests(semconv="websocket", **shared)
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI wants it."""
        get = scope.get
        requests = self._kinds.get(scope["type"])
        request = (
            None
            if requests is None or MEASURED in scope
            else requests.begin(
                get("method"), get("scheme"), get("http_version"), get("path"), scope
            )
        )
        if requests is None or request is None:
            await self.app(scope, receive, send)
            return
        scope[MEASURED] = True
        if requests.body_sizes:
            length = next((v for k, v in get("headers", ()) if k == _LENGTH), None)
            request.request_size = announced(length)
            request.response_size = 0
        exchange = _Exchange(request, scope, send, self._routes)
        try:
            await self.app(scope, receive, exchange.send)
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.end()


class _Exchange:
    """A request and what was sent in answer."""

    __slots__ = (
        "_left",
        "_request",
        "_routes",
        "_scope",
        "_send",
        "_status",
        "_streams",
    )

    def __init__(
        self, request: Request, scope: Scope, send: Send, routes: Routes
    ) -> None:
        self._request = request
        self._scope = scope
        self._send = send
        self._routes = routes
        self._status: Any = None
        self._left = self._streams = False

    async def send(self, message: Message) -> None:
        """Pass *message* on, and see what it says once the server has taken it."""
        try:
            await self._send(message)
        except OSError:  # so says a server that the client has left
            self._left = True
            raise
        kind = message.get("type")
        if kind == "http.response.start":
            self._status = message.get("status")
        elif kind == "http.response.body":
            if self._request.response_size is not None:
                self._request.response_size += len(message.get("body") or b"")
            if message.get("more_body"):
                self._streams = True
            else:
                # Starlette ends a stream that has failed as it does a whole one.
                self._sent(settled=not self._streams or bool(message.get("body")))
        elif kind == "http.response.pathsend":  # the server reads a file by itself
            self._request.response_size = None
            self._sent(settled=True)

    def _sent(self, *, settled: bool) -> None:
        self._request.sent()
        # What failed, or may have, is recorded when the application has raised, as
        # Starlette does after its answer: then it is known what it was. What did not is
        # recorded now: tasks in the background come next, and may take long.
        if settled and isinstance(self._status, int) and self._status < 500:
            self._record(self._status, None)

    def end(self, error: BaseException | None = None) -> None:
        """Record it, unless it was."""
        request = self._request
        if request.ended:
            return
        if error is None or (request.is_sent and comes_from_the_background(error)):
            self._record(self._status, self._scope.get(ERROR))
        elif not (self._left or says_that_a_client_left(error)):
            self._record(self._status, error)
        else:
            status = self._status
            failed = isinstance(status, int) and status >= 500
            # It was an answer to the exception, for nobody.
            self._record(None if failed else status, None)

    def _record(self, status: Any, error: BaseException | str | None) -> None:
        scope = self._scope
        route = scope.get(ROUTE)
        if route is None:
            route = call_safely(self._routes.of, scope, default=None)
        self._request.end(status, route, error, scope.get("scheme"))
        scope.pop(MEASURED, None)
