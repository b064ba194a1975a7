"""Metrics of what an application asks by httpx.

>>> from dtmetrics.integrations.httpx import instrument_httpx, uninstrument_httpx
>>> instrument_httpx()
>>> uninstrument_httpx()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from dtmetrics._instrument.client import PORTS, Calls, clock
from dtmetrics._instrument.patch import Patches, Target

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dtmetrics._instrument.client import Options

__all__ = ["instrument_httpx", "uninstrument_httpx"]


def instrument_httpx(**options: Unpack[Options]) -> None:
    """CallHook each request of every client, those that exist already too.

    What httpx's own transports are given counts, until the head of the answer is
    there: a redirect is one more request, and a stream takes no longer than its head.
    Nothing of an answer or an exception changes. A second call does nothing.
    """
    _patches.put(lambda: Calls(_describe, "dtmetrics.integrations.httpx", **options))


def uninstrument_httpx() -> None:
    """CallHook no more, and give httpx back what it had."""
    _patches.remove()


def _around(calls: Calls, send: Callable[..., httpx.Response]) -> Callable[..., Any]:
    def handle_request(
        self: httpx.HTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        if not calls.measured():
            return send(self, request)
        start = clock()
        try:
            response = send(self, request)
        except BaseException as error:
            calls.fail(clock() - start, request, error)
            raise
        calls.end(clock() - start, request, response)
        return response

    return handle_request


def _around_async(calls: Calls, send: Callable[..., Any]) -> Callable[..., Any]:
    async def handle_async_request(
        self: httpx.AsyncHTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        if not calls.measured():
            return await send(self, request)  # type: ignore[no-any-return]
        start = clock()
        try:
            response: httpx.Response = await send(self, request)
        except BaseException as error:
            calls.fail(clock() - start, request, error)
            raise
        calls.end(clock() - start, request, response)
        return response

    return handle_async_request


def _describe(request: httpx.Request, response: httpx.Response | None) -> Any:
    url = request.url
    scheme, host, port = url.scheme, url.raw_host, url.port
    if port is None:
        port = PORTS.get(scheme)
    if response is None:
        return request.method, scheme, host, port, None, None
    version = response.extensions.get("http_version")
    return request.method, scheme, host, port, response.status_code, version


_patches = Patches(
    Target(httpx.HTTPTransport, "handle_request", _around),
    Target(httpx.AsyncHTTPTransport, "handle_async_request", _around_async),
)
