"""A request to a Django application, from its first middleware to its last byte."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.semconv import announced
from dtmetrics._instrument.server import (
    ERROR,
    MEASURED,
    NOT_RECORDED,
    ROUTE,
    Request,
    Requests,
    error_type,
)
from dtmetrics.integrations.django.options import faults_of_requests, given, of_requests

__all__ = ["MetricsMiddleware"]

_EXCHANGE = "_dtmetrics"  # an attribute of Django's request


class MetricsMiddleware:
    """Measures each request until the last byte of its answer was sent.

    Nothing of the answer changes. It belongs first in ``MIDDLEWARE``: what comes before
    is not measured. Its options are in ``DTMETRICS``, and those of
    `dtmetrics.integrations.asgi.MetricsMiddleware`; ``request_dimensions`` is given
    Django's request when the answer is out.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._requests = _requests()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(_note_error, dispatch_uid="dtmetrics")

    def __call__(self, request: Any) -> Any:
        """Answer a request, as Django wants it."""
        if self._is_async:
            return self._answer(request)
        exchange = call_safely(
            self._begin, request, default=None, on_error=self._refuse
        )
        if exchange is None:
            return self.get_response(request)
        try:
            response = self.get_response(request)
        except BaseException as error:
            exchange.end(error)
            raise
        call_safely(exchange.follow, response, default=None)
        return response

    async def _answer(self, request: Any) -> Any:
        exchange = call_safely(
            self._begin, request, default=None, on_error=self._refuse
        )
        if exchange is None:
            return await self.get_response(request)
        try:
            response = await self.get_response(request)
        except BaseException as error:
            exchange.end(error)
            raise
        call_safely(exchange.follow, response, default=None)
        return response

    def _begin(self, request: Any) -> _Exchange | _Told | None:
        if _EXCHANGE in vars(request):  # the middleware is there twice
            return None
        around = request.META
        get = around.get
        version = get("SERVER_PROTOCOL")
        if version is None and hasattr(request, "scope"):
            around = request.scope
            version = around.get("http_version")
        if MEASURED in around:
            return _Told(around, request)
        measured = self._requests.begin(
            request.method, request.scheme, version, request.path, request
        )
        if measured is None:
            return None
        if self._requests.body_sizes:
            length = get("CONTENT_LENGTH")
            measured.request_size = announced(length)
            measured.response_size = 0
        return _Exchange(measured, request)

    def _refuse(self, _: Exception) -> None:
        self._requests.refuse(NOT_RECORDED)


def _requests() -> Requests:
    """Return what the settings ask for; where they cannot work, Django goes without."""
    options = given() or {}
    for fault in faults_of_requests(options):
        log.warning("requests are not measured: %s", fault.text)
        raise MiddlewareNotUsed(fault.text)
    return Requests(**of_requests(options))


class _Told:
    """A request that a middleware around Django measures: it is told what it was."""

    __slots__ = ("_around", "_request", "error")

    def __init__(self, around: Any, request: Any) -> None:
        self._around = around
        self._request = request
        self.error: str | None = None
        setattr(request, _EXCHANGE, self)

    def follow(self, response: Any) -> None:
        """Tell what *response* is about."""
        if response.status_code >= 500:
            self._around[ERROR] = self.error
        self.end()

    def end(self, _: BaseException | None = None) -> None:
        """Tell the route."""
        self._around[ROUTE] = _matched(self._request)
        vars(self._request).pop(_EXCHANGE, None)


class _Exchange:
    """A request and what was said in answer.

    Its end is the end of Django's request, which whatever response a middleware has
    made in the end closes, after the last byte. Where Django closes none (a thread goes
    on whose client has left), the end is that of the object.
    """

    __slots__ = ("_ended", "_measured", "_request", "_status", "error")

    def __init__(self, measured: Request, request: Any) -> None:
        self._measured = measured
        self._request = request
        self._status: Any = None
        self._ended = False
        self.error: str | None = None
        setattr(request, _EXCHANGE, self)
        request.close = self._close

    def follow(self, response: Any) -> None:
        """Take note of *response*, which is to be sent."""
        self._status = response.status_code
        sizes = self._measured.response_size is not None
        if not response.streaming:
            if sizes:
                self._measured.response_size = len(response.content)
            return
        if sizes and getattr(response, "file_to_stream", None) is not None:
            # A server may send it by means of its own.
            length = response.get("Content-Length")
            self._measured.response_size = announced(length)
            sizes = False
        # Its setter would make a plain stream of a file.
        if response.is_async:
            response._iterator = _AsyncPieces(response._iterator, self, sizes)
        else:
            begun = hasattr(self._request, "scope")
            response._iterator = _Pieces(response._iterator, self, sizes, begun)

    def count(self, piece: Any) -> None:
        """Add the size of *piece*, which is about to be sent."""
        size = self._measured.response_size or 0
        self._measured.response_size = size + call_safely(_size_of, piece, default=0)

    def end(
        self, error: BaseException | str | None = None, *, begun: bool = True
    ) -> None:
        """Record it, once; without *begun* a server has not sent the status yet."""
        if self._ended:
            return
        self._ended = True
        status, request = self._status if begun else None, self._request
        if error is None and isinstance(status, int) and status >= 500:
            error = self.error
        self._measured.end(status, _matched(request), error)
        for name in ("close", _EXCHANGE):  # a circle, for the garbage collector
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

    def __init__(self, pieces: Any, exchange: _Exchange, sizes: bool) -> None:
        self._pieces = pieces
        self._exchange = exchange
        self._sizes = sizes


class _Pieces(_Body):
    __slots__ = ("_begun",)

    def __init__(self, pieces: Any, exchange: _Exchange, sizes: bool, begun: bool):
        super().__init__(pieces, exchange, sizes)
        self._begun = begun

    def __iter__(self) -> _Pieces:
        return self

    def __next__(self) -> Any:
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

    async def __anext__(self) -> Any:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:  # not by who is cancelled: that client has left
            self._exchange.end(error)
            raise
        if self._sizes:
            self._exchange.count(piece)
        return piece


def _note_error(*, request: Any = None, **_: Any) -> None:
    """Take note of what Django is about to answer for, by a response of status 500."""
    exchange = getattr(request, _EXCHANGE, None)
    error = sys.exc_info()[1]
    if exchange is not None and error is not None:
        exchange.error = error_type(error)


def _matched(request: Any) -> str | None:
    match = getattr(request, "resolver_match", None)
    return None if match is None else call_safely(_route_of, match, default=None)


def _route_of(match: Any) -> str | None:
    route = match.route
    return None if route is None else _written(settings.FORCE_SCRIPT_NAME or "", route)


@lru_cache(4096)
def _written(root: str, route: str) -> str:
    """Return *route* as a path is written, below the application's *root*."""
    route = route.removeprefix("^")
    for end in ("$", r"\Z"):
        if not route.endswith(f"\\{end}"):
            route = route.removesuffix(end)
    return f"{root.rstrip('/')}/{route.removeprefix('/')}"


def _size_of(piece: Any) -> int:
    return len(piece.encode() if isinstance(piece, str) else piece)
