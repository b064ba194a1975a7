"""Metrics of any WSGI application.

>>> from dtmetrics.integrations.wsgi import MetricsMiddleware
>>> def application(environ, start_response):
...     start_response("200 OK", [])
...     return [b"hello"]
>>> application = MetricsMiddleware(application)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.client_disconnect import is_client_disconnect
from dtmetrics._instrument.http_server import Pattern, ServerInstruments
from dtmetrics._instrument.semconv import content_length
from dtmetrics._instrument.server_request import (
    ERROR,
    INSTRUMENTED,
    ROUTE,
    ServerRequest,
    is_failure,
    set_route,
)
from dtmetrics._instrument.users_dimensions import Dimensions
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["MetricsMiddleware", "set_route"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[..., Iterable[bytes]]


class MetricsMiddleware:
    """Records each HTTP request to *app*, until the last byte of its response was sent.

    Each request is recorded as ``http.server.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    The response is passed on unchanged. The routes of Bottle are found, those of
    some other frameworks by `dtmetrics.integrations.routes.report_routes`; any
    application may leave its route in ``environ["dtmetrics.route"]``.

    Args:
        app (Callable): The WSGI application.
        exclude (str | re.Pattern | Iterable): Paths or routes that are not recorded: a
            text, in which ``*`` matches anything, a compiled expression, which is
            searched for, or several of these. Default: none. Example:
            ``exclude=["/health", "/static/*"]``.
        dimensions (Callable | None): Called with the environ when the response was
            sent; returns a mapping of further dimensions. If it takes a second
            argument, that is a `dtmetrics.integrations.Response`, with ``status`` and
            ``headers``. Default: none. Example:
            ``dimensions=lambda environ: {"host": environ["HTTP_HOST"]}``.
        active_requests (bool): Add the gauge ``http.server.active_requests``, of each
            worker if there are several. Default: False.
        body_sizes (bool): Add ``http.server.request.body.size`` and
            ``http.server.response.body.size``, in bytes. Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        time_to_first_byte (bool): Add ``http.server.time_to_first_byte``, in seconds.
            Default: False.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.wsgi")``.

    Raises:
        TypeError: An option has the wrong type.

    >>> from dtmetrics.integrations.wsgi import MetricsMiddleware
    >>> def application(environ, start_response):
    ...     start_response("204 No Content", [])
    ...     return []
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
        known_methods: Iterable[str] | None = None,
        time_to_first_byte: bool = False,
        meter: Meter | None = None,
    ) -> None:
        self.app = app
        self._instruments = ServerInstruments(
            meter or default.get_meter(__name__),
            exclude=exclude,
            dimensions=dimensions,
            active_requests=active_requests,
            body_sizes=body_sizes,
            known_methods=known_methods,
            time_to_first_byte=time_to_first_byte,
        )

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request, as WSGI defines it."""
        return self._respond(self.app, environ, start_response)

    def _respond(
        self, app: Application, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request by *app*."""
        if INSTRUMENTED in environ:
            return app(environ, start_response)
        instruments, get = self._instruments, environ.get
        request = instruments.begin(
            get("REQUEST_METHOD"),
            get("wsgi.url_scheme"),
            get("SERVER_PROTOCOL"),
            None if instruments.excludes is None else _path_of(environ),
            environ,
        )
        if request is None:
            return app(environ, start_response)
        environ[INSTRUMENTED] = request
        exchange = _WsgiExchange(request, environ, start_response)
        if instruments.body_sizes:
            request.request_size = content_length(get("CONTENT_LENGTH"))
            request.response_size = 0
        try:
            result: Any = app(environ, exchange.start_response)
        except BaseException as error:
            exchange.end(error)
            raise
        if result is None:  # some servers take it for an empty body
            exchange.end(complete=True)
        elif _is_file(result, environ):
            exchange.end_on_close(result)
        else:
            body = _SizedBody if hasattr(result, "__len__") else _Body
            result = body(result, exchange)
        return result  # type: ignore[no-any-return]


@dataclass(eq=False, slots=True)
class _WsgiExchange:
    """A request, and the status and the pieces of its response."""

    request: ServerRequest
    environ: Environ
    start: StartResponse
    status: str | None = None
    #: Whether the server has a piece to send, and so has sent the status.
    begun: bool = False
    client_left: bool = False
    servers_write: Callable[[bytes], object] = field(init=False)

    def end(
        self, error: BaseException | None = None, *, complete: bool = False
    ) -> None:
        """Record the request, once. If *complete*, the server has the whole body."""
        if self.request.ended:
            return
        environ, status = self.environ, self.status
        get = environ.get
        if "HTTP_UPGRADE" in environ and self._is_websocket(error):
            self.request.discard()
        else:
            if error is None:
                error = get(ERROR)
                if status is None and (complete or self.begun):
                    status = "500"  # no server can send a body without a status
                if error is not None and not is_failure(status):
                    error = None
            else:
                if not self.begun:
                    status = None  # the server answers the exception instead
                if self.client_left or is_client_disconnect(error, get("wsgi.input")):
                    error = None
            route = get(ROUTE)
            if route is None and "bottle.route" in environ:
                route = getattr(environ["bottle.route"], "rule", None)
            self.request.end(status, route, error, get("wsgi.url_scheme"))
        environ.pop(INSTRUMENTED, None)

    def _is_websocket(self, error: BaseException | None) -> bool:
        """Return whether the application took over the connection for a websocket.

        It then has no response: flask-sock and Flask-SocketIO raise StopIteration under
        gunicorn, and return an empty body elsewhere.
        """
        upgrade = call_safely(str.lower, self.environ["HTTP_UPGRADE"], default="")
        status = self.status  # of any application
        is_answered = isinstance(status, str) and status[:1] not in ("1", "2")
        return (
            upgrade == "websocket"
            and not is_answered
            and (error is None or isinstance(error, StopIteration))
        )

    def take(self, piece: bytes) -> None:
        """Take account of a *piece* that the server sends."""
        if not self.begun:
            self.begun = True
            if self.request.instruments.inspects_head:
                self.request.first_byte_sent()
        size = self.request.response_size
        if size is not None:
            self.request.response_size = size + call_safely(len, piece, default=0)

    def close(self, close: Callable[[], object] | None) -> None:
        """Call the application's own *close*, if there is one; record the request."""
        try:
            if close is not None:
                close()
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    def start_response(self, status: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- the server's own
        """Call the server's ``start_response``; return a ``write`` function."""
        self.servers_write = self.start(status, *args, **kwargs)
        self.status = status
        if self.request.instruments.inspects_head:
            self.request.headers = args[0] if args else None
        return self.write

    def write(self, piece: bytes) -> object:
        """Call the server's ``write`` function."""
        try:
            result = self.servers_write(piece)
        except OSError:
            self.client_left = True
            raise
        self.take(piece)
        return result

    def end_on_close(self, file: Any) -> None:  # noqa: ANN401 -- the server's own
        """Record the request when the server closes *file*; it must not be wrapped."""
        self.request.response_size = None  # the server may send it without Python
        self.begun = True
        self.request.first_byte_sent()
        close = partial(self.close, getattr(file, "close", None))
        if call_safely(setattr, file, "close", close, default=self) is self:
            self.end()  # an object without attributes: its end cannot be seen


@dataclass(eq=False, slots=True)
class _Body:
    """The body of a response, passed on piece by piece."""

    result: Iterable[bytes]
    exchange: _WsgiExchange
    step: Callable[[], bytes] = field(init=False)

    def __iter__(self) -> Iterator[bytes]:
        try:
            self.step = iter(self.result).__next__
        except BaseException as error:
            self.exchange.end(error)
            raise
        return self

    def __next__(self) -> bytes:
        exchange = self.exchange
        try:
            piece = self.step()
        except StopIteration:
            exchange.end(complete=True)
            raise
        except BaseException as error:
            exchange.end(error)
            raise
        exchange.take(piece)
        return piece

    def close(self) -> None:
        """Close the application's own result, as servers must."""
        self.exchange.close(getattr(self.result, "close", None))

    def __del__(self) -> None:
        # A server that does not close it leaves the request active otherwise.
        self.exchange.end()


class _SizedBody(_Body):
    """A body whose length the server may use to make a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.result)  # type: ignore[arg-type]


def _path_of(environ: Environ) -> str:
    return f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"


def _is_file(result: object, environ: Environ) -> bool:
    """Return whether the server will recognise *result* as its own file wrapper."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    # uWSGI's wrapper is a function that returns its argument, and remembers it.
    return wrapper is not None and hasattr(result, "read")
