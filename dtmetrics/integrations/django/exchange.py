"""A request to Django and its response, until the last byte was sent."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.http_server import ERROR, ROUTE, ServerRequest
from dtmetrics._instrument.semconv import content_length

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase
    from django.urls import ResolverMatch

__all__ = ["EXCHANGE", "DjangoExchange", "RouteReport", "set_error"]

EXCHANGE = "_dtmetrics"  # an attribute of Django's request


class RouteReport:
    """Reports route and error to the middleware around Django that records the request.

    They are left in the WSGI environ or the ASGI scope.
    """

    __slots__ = ("_around", "_request", "error")

    def __init__(self, around: MutableMapping[str, Any], request: HttpRequest) -> None:
        self._around = around
        self._request = request
        self.error: str | None = None
        setattr(request, EXCHANGE, self)

    def follow(self, response: HttpResponseBase) -> None:
        """Report the route, and the error that *response* is about."""
        if response.status_code >= 500:
            self._around[ERROR] = self.error
        self.end()

    def end(self, _: BaseException | None = None) -> None:
        """Report the route."""
        self._around[ROUTE] = _matched_route(self._request)
        vars(self._request).pop(EXCHANGE, None)


class DjangoExchange:
    """A request and its response.

    It ends with Django's request, which the last response that a middleware made closes
    after the last byte. Where Django closes none, because a thread goes on after its
    client has left, it ends when the object is freed.
    """

    __slots__ = ("_begun", "_ended", "_request", "_status", "error")

    def __init__(self, begun: ServerRequest, request: Any) -> None:  # noqa: ANN401 -- of any class
        self._begun = begun
        self._request = request
        self._status: int | None = None
        self._ended = False
        self.error: str | None = None
        setattr(request, EXCHANGE, self)
        request.close = self._close

    def follow(self, response: Any) -> None:  # noqa: ANN401 -- of any class
        """Take the status of *response*, and wrap the pieces of a stream."""
        self._status = response.status_code
        sizes = self._begun.response_size is not None
        if not response.streaming:
            if sizes:
                self._begun.response_size = len(response.content)
            return
        if sizes and getattr(response, "file_to_stream", None) is not None:
            # The server may send the file without Python.
            length = response.get("Content-Length")
            self._begun.response_size = content_length(length)
            sizes = False
        # Not by `streaming_content = ...`: it would make a plain stream of a file.
        pieces = response._iterator  # noqa: SLF001 -- its setter would unwrap a file
        if response.is_async:
            wrapped: _Body = _AsyncPieces(pieces, self, sizes=sizes)
        else:
            status_is_sent = hasattr(self._request, "scope")
            wrapped = _Pieces(pieces, self, sizes=sizes, begun=status_is_sent)
        response._iterator = wrapped  # noqa: SLF001 -- its setter would unwrap a file

    def count(self, piece: str | bytes) -> None:
        """Add the size of *piece*, which is about to be sent."""
        size = self._begun.response_size or 0
        self._begun.response_size = size + call_safely(_size_of, piece, default=0)

    def end(
        self, error: BaseException | str | None = None, *, begun: bool = True
    ) -> None:
        """Record the request, once. Unless *begun*, the server has sent no status."""
        if self._ended:
            return
        self._ended = True
        status, request = self._status if begun else None, self._request
        if error is None and status is not None and status >= 500:
            error = self.error
        self._begun.end(status, _matched_route(request), error)
        for name in ("close", EXCHANGE):  # a cycle, for the garbage collector
            vars(request).pop(name, None)

    def __del__(self) -> None:
        if not self._ended:
            self.end()

    def _close(self) -> None:
        request = self._request
        try:
            type(request).close(request)
        finally:
            self.end()


class _Body:
    """The body of a stream, passed on piece by piece."""

    __slots__ = ("_exchange", "_pieces", "_sizes")

    def __init__(self, pieces: Any, exchange: DjangoExchange, *, sizes: bool) -> None:  # noqa: ANN401 -- of any class
        self._pieces = pieces
        self._exchange = exchange
        self._sizes = sizes


class _Pieces(_Body):
    __slots__ = ("_begun",)

    def __init__(
        self,
        pieces: Any,  # noqa: ANN401 -- of any class
        exchange: DjangoExchange,
        *,
        sizes: bool,
        begun: bool,
    ) -> None:
        super().__init__(pieces, exchange, sizes=sizes)
        self._begun = begun

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 -- of any class
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise
        except Exception as error:
            self._exchange.end(error, begun=self._begun)
            raise
        self._begun = True
        if self._sizes:
            self._exchange.count(piece)
        return piece


class _AsyncPieces(_Body):
    __slots__ = ()

    def __aiter__(self) -> _AsyncPieces:
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 -- of any class
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:  # not CancelledError: then the client has left
            self._exchange.end(error)
            raise
        if self._sizes:
            self._exchange.count(piece)
        return piece


def set_error(*, request: Any = None, **_: object) -> None:  # noqa: ANN401 -- of any class
    """Keep the type of an exception that Django answers with a status of 500."""
    exchange = getattr(request, EXCHANGE, None)
    error = sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.error = error_type(error)


def _matched_route(request: HttpRequest) -> str | None:
    match = getattr(request, "resolver_match", None)
    return None if match is None else call_safely(_route_of, match, default=None)


def _route_of(match: ResolverMatch) -> str | None:
    route = match.route
    return None if route is None else _as_path(settings.FORCE_SCRIPT_NAME or "", route)


@lru_cache(4096)
def _as_path(root: str, route: str) -> str:
    """Return *route* as a path is written, below the application's *root*."""
    route = route.removeprefix("^")
    for end in ("$", r"\Z"):
        if not route.endswith(f"\\{end}"):
            route = route.removesuffix(end)
    return f"{root.rstrip('/')}/{route.removeprefix('/')}"


def _size_of(piece: str | bytes) -> int:
    return len(piece.encode() if isinstance(piece, str) else piece)
