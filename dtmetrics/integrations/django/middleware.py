"""A request to a Django application, from its first middleware to its last byte."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.client_disconnect import (
    is_cancelled_by_server,
    is_client_disconnect,
)
from dtmetrics._instrument.semconv import content_length
from dtmetrics._instrument.server_request import INSTRUMENTED, ServerRequest
from dtmetrics.integrations.django.options import server_instruments, settings_dict
from dtmetrics.integrations.django.routes import as_path

if TYPE_CHECKING:
    from django.http import HttpRequest
    from typing_extensions import Self

__all__ = ["MetricsMiddleware"]

_EXCHANGE = "_dtmetrics"  # an attribute of Django's request


class MetricsMiddleware:
    """Records each request until the last byte of its response was sent.

    Each is recorded as ``http.server.request.duration``, in seconds, by OpenTelemetry's
    names (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/). The response
    is not changed. Put the middleware first in ``MIDDLEWARE``: it does not time the
    middlewares before it. Its options are in ``DTMETRICS``, which
    `dtmetrics.integrations.django` describes.

    Raises MiddlewareNotUsed, which Django handles, if an option is wrong.

    ::

        MIDDLEWARE = ["dtmetrics.integrations.django.MetricsMiddleware", ...]
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        try:
            self._instruments = server_instruments(settings_dict() or {})
        except TypeError as error:  # the site works without metrics
            log.warning("requests are not recorded: DTMETRICS: %s", error)
            raise MiddlewareNotUsed(f"DTMETRICS: {error}") from error
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_set_error, dispatch_uid="dtmetrics")

    def __call__(self, request: HttpRequest) -> Any:  # noqa: ANN401 -- of any class
        """Answer a request, as Django defines it."""
        if self._is_async:
            return self._answer(request)
        exchange = self._begin(request)
        if exchange is None:
            return self.get_response(request)
        with exchange:
            return exchange.follow(self.get_response(request))

    async def _answer(self, request: HttpRequest) -> Any:  # noqa: ANN401 -- of any class
        exchange = self._begin(request)
        if exchange is None:
            return await self.get_response(request)
        with exchange:
            return exchange.follow(await self.get_response(request))

    def _begin(self, request: HttpRequest) -> _Exchange | None:
        reject = self._instruments.reject
        return call_safely(self._exchange, request, default=None, on_error=reject)

    def _exchange(self, request: HttpRequest) -> _Exchange | None:
        if _EXCHANGE in vars(request):  # the middleware is listed twice
            return None
        around = request.META
        get = around.get
        version = get("SERVER_PROTOCOL")
        if version is None and hasattr(request, "scope"):
            around = request.scope
            version = around.get("http_version")
        if INSTRUMENTED in around:
            return _RouteReport(request, around[INSTRUMENTED])
        begun = self._instruments.begin(
            request.method, request.scheme, version, request.path, request
        )
        if begun is None:
            return None
        if self._instruments.body_sizes:
            begun.request_size = content_length(get("CONTENT_LENGTH"))
            begun.response_size = 0
        return _RecordedExchange(request, begun)


class _Exchange(ABC):
    """A request and its response."""

    __slots__ = ("_request", "begun")

    def __init__(self, request: Any, begun: ServerRequest) -> None:  # noqa: ANN401 -- of any class
        self._request = request
        #: The request that this middleware records, or one around Django.
        self.begun = begun
        setattr(request, _EXCHANGE, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self.end(error)

    def follow(self, response: Any) -> Any:  # noqa: ANN401 -- of any class
        """Return *response*, after a look at it."""
        call_safely(self.inspect, response, default=None)
        return response

    @abstractmethod
    def inspect(self, response: Any) -> None:  # noqa: ANN401 -- of any class
        """Take from *response* what is to be recorded or reported."""

    @abstractmethod
    def end(self, error: BaseException | None = None) -> None:
        """Record or report the request, which ended in *error* or a response."""


class _RouteReport(_Exchange):
    """Reports the route to the middleware around Django that records the request."""

    __slots__ = ()

    def inspect(self, response: Any) -> None:  # noqa: ANN401 -- of any class
        """Report the route."""
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Report the route."""
        request = self._request
        self.begun.route = call_safely(_matched_route, request, default=None)
        vars(request).pop(_EXCHANGE, None)


class _RecordedExchange(_Exchange):
    """A request that is recorded.

    It ends with Django's request, which the last response that a middleware made closes
    after the last byte. Where Django closes none, because a thread goes on after its
    client has left, it ends when the object is freed.
    """

    __slots__ = ("_status",)

    def __init__(self, request: Any, begun: ServerRequest) -> None:  # noqa: ANN401 -- of any class
        super().__init__(request, begun)
        self._status: int | None = None
        request.close = self._close

    def inspect(self, response: Any) -> None:  # noqa: ANN401 -- of any class
        """Take the status of *response*, and wrap the pieces of a stream."""
        self._status = response.status_code
        sizes = self.begun.response_size is not None
        if self.begun.instruments.inspects_head:
            self.begun.headers = response.headers
            # A WSGI server sends the head with the first piece.
            if not response.streaming or hasattr(self._request, "scope"):
                self.begun.first_byte_sent()
        if not response.streaming:
            if sizes:
                self.begun.response_size = len(response.content)
            return
        if sizes and getattr(response, "file_to_stream", None) is not None:
            # The server may send the file without Python.
            self.begun.response_size = content_length(response.get("Content-Length"))
            sizes = False
        # Not by `streaming_content = ...`: it would make a plain stream of a file.
        wrap = self._async_pieces if response.is_async else self._pieces
        response._iterator = wrap(response._iterator, sizes=sizes)  # noqa: SLF001 -- its setter would unwrap a file

    def _pieces(self, pieces: Iterator[Any], *, sizes: bool) -> Iterator[Any]:
        begun = hasattr(self._request, "scope")  # an ASGI server has sent the status
        try:
            for piece in pieces:
                if not begun:
                    begun = True
                    if self.begun.instruments.inspects_head:
                        self.begun.first_byte_sent()
                if sizes:
                    self._count(piece)
                yield piece
        except Exception as error:
            if not begun:
                self._status = None  # the server answers the exception instead
            self.end(error)
            raise

    async def _async_pieces(
        self, pieces: AsyncIterator[Any], *, sizes: bool
    ) -> AsyncIterator[Any]:
        try:
            async for piece in pieces:
                if sizes:
                    self._count(piece)
                yield piece
        except Exception as error:  # not CancelledError: then the client has left
            self.end(error)
            raise

    def _count(self, piece: str | bytes) -> None:
        size = self.begun.response_size or 0
        self.begun.response_size = size + call_safely(_size_of, piece, default=0)

    def end(self, error: BaseException | None = None) -> None:
        """Record the request, once."""
        if self.begun.ended:
            return
        request = self._request
        if error is not None and (
            is_client_disconnect(error, request.META.get("wsgi.input"))
            or is_cancelled_by_server(error)
        ):
            error = None
        route = call_safely(_matched_route, request, default=None)
        self.begun.end(self._status, route, error)
        for name in ("close", _EXCHANGE):  # a cycle, for the garbage collector
            vars(request).pop(name, None)

    def __del__(self) -> None:
        self.end()

    def _close(self) -> None:
        request = self._request
        try:
            type(request).close(request)
        finally:
            self.end()


def _set_error(*, request: Any = None, **_: object) -> None:  # noqa: ANN401 -- of any class
    # Django answers the exception with a status of 500.
    exchange = getattr(request, _EXCHANGE, None)
    error = sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.begun.fail(error, request.META.get("wsgi.input"))


def _matched_route(request: HttpRequest) -> str | None:
    match = getattr(request, "resolver_match", None)
    if match is None or match.route is None:
        return None
    return as_path(settings.FORCE_SCRIPT_NAME or "", match.route)


def _size_of(piece: str | bytes) -> int:
    return len(piece.encode() if isinstance(piece, str) else piece)
