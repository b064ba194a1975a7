"""A request to a Django application, from its first middleware to its last byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.http_server import (
    INSTRUMENTED,
    INVALID_REQUEST,
    ServerInstruments,
)
from dtmetrics._instrument.semconv import content_length
from dtmetrics.integrations.django.exchange import (
    EXCHANGE,
    DjangoExchange,
    RouteReport,
    set_error,
)
from dtmetrics.integrations.django.options import (
    middleware_problems,
    server_instruments,
    settings_dict,
)

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

__all__ = ["MetricsMiddleware"]


class MetricsMiddleware:
    """Records each request until the last byte of its response was sent.

    The response is not changed. Put it first in ``MIDDLEWARE``: it does not time the
    middlewares before it. ``DTMETRICS`` holds its options: those of
    `dtmetrics.integrations.asgi.MetricsMiddleware`, with ``request_dimensions`` in
    place of ``dimensions``, which is called with Django's request when the response was
    sent.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._instruments = _instruments()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        got_request_exception.connect(set_error, dispatch_uid="dtmetrics")

    def __call__(self, request: HttpRequest) -> Any:  # noqa: ANN401 -- of any class
        """Answer a request, as Django defines it."""
        if self._is_async:
            return self._answer(request)
        exchange = call_safely(
            self._begin, request, default=None, on_error=self._reject
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

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        exchange = call_safely(
            self._begin, request, default=None, on_error=self._reject
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

    def _begin(self, request: HttpRequest) -> DjangoExchange | RouteReport | None:
        if EXCHANGE in vars(request):  # the middleware is listed twice
            return None
        around = request.META
        get = around.get
        version = get("SERVER_PROTOCOL")
        if version is None and hasattr(request, "scope"):
            around = request.scope
            version = around.get("http_version")
        if INSTRUMENTED in around:
            return RouteReport(around, request)
        instruments = self._instruments
        begun = instruments.begin(
            request.method, request.scheme, version, request.path, request
        )
        if begun is None:
            return None
        if instruments.body_sizes:
            begun.request_size = content_length(get("CONTENT_LENGTH"))
            begun.response_size = 0
        return DjangoExchange(begun, request)

    def _reject(self, _: Exception) -> None:
        self._instruments.reject(INVALID_REQUEST)


def _instruments() -> ServerInstruments:
    """Return the instruments that the settings describe.

    Raises MiddlewareNotUsed if they have a problem: the site works without metrics.
    """
    options = settings_dict() or {}
    for problem in middleware_problems(options):
        log.warning("requests are not recorded: %s", problem.text)
        raise MiddlewareNotUsed(problem.text)
    return server_instruments(options)
