"""Metrics of the requests that an application makes with httpx or httpx2.

>>> from dtmetrics.integrations.httpx import instrument_httpx, uninstrument_httpx
>>> instrument_httpx()
>>> uninstrument_httpx()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from time import perf_counter
from typing import Any

import httpx

from dtmetrics._core.safe_call import call_safely
from dtmetrics._instrument.http_client import (
    PORTS,
    ClientInstruments,
    Description,
    recording,
)
from dtmetrics._instrument.patches import Patches, Target
from dtmetrics._instrument.users_dimensions import Dimensions
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["instrument_httpx", "uninstrument_httpx"]


def instrument_httpx(
    *,
    dimensions: Dimensions | None = None,
    body_sizes: bool = False,
    known_methods: Iterable[str] | None = None,
    meter: Meter | None = None,
) -> None:
    """Record each request of every client, existing clients included.

    Each request is recorded as ``http.client.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    A request is one call of httpx's own transports, until the head of the response has
    arrived: a redirect is one more request, and the body of a stream is not waited for.
    Responses and exceptions are passed on unchanged. A second call does nothing.

    httpx2 (https://pypi.org/project/httpx2/), with which for example openai and
    anthropic send, is instrumented as well if it is installed.

    Args:
        dimensions (Callable | None): Called with the request when it has ended; returns
            a mapping of further dimensions. If it takes a second argument, that is a
            `dtmetrics.integrations.Response`, with ``status`` and ``headers``. Default:
            none. Example: ``dimensions=lambda request: {"tenant":
            request.headers["X-Tenant"]}``.
        body_sizes (bool): Add ``http.client.request.body.size`` and
            ``http.client.response.body.size``, in bytes, as Content-Length announces
            them. Default: False.
        known_methods (Iterable[str] | None): The methods that are recorded by name; all
            others are ``_OTHER``. Default: those of the environment variable
            ``OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`` (separated by commas), or else
            OpenTelemetry's ten.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.httpx")``.

    Raises:
        TypeError: An option has the wrong type.

    >>> from dtmetrics.integrations.httpx import instrument_httpx, uninstrument_httpx
    >>> instrument_httpx(body_sizes=True)
    >>> uninstrument_httpx()
    """
    _patches.apply(
        meter or default.get_meter(__name__),
        dimensions=dimensions,
        body_sizes=body_sizes,
        known_methods=known_methods,
    )


def uninstrument_httpx() -> None:
    """Stop recording, and restore the methods of httpx and httpx2.

    Without ``instrument_httpx()`` it does nothing.

    >>> from dtmetrics.integrations.httpx import uninstrument_httpx
    >>> uninstrument_httpx()
    """
    _patches.remove()


def _recording_async(
    instruments: ClientInstruments, send: Callable[..., Any]
) -> Callable[..., Any]:
    async def handle_async_request(
        self: httpx.AsyncHTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        if not instruments.enabled():
            return await send(self, request)  # type: ignore[no-any-return]
        start = perf_counter()
        try:
            response: httpx.Response = await send(self, request)
        except BaseException as error:
            instruments.record(perf_counter() - start, request, error=error)
            raise
        instruments.record(perf_counter() - start, request, response)
        return response

    return handle_async_request


def _describe(request: httpx.Request, response: httpx.Response | None) -> Description:
    url = request.url
    port = url.port or PORTS.get(url.scheme)
    if response is None:
        return request.method, url.raw_host, port, None, None
    version = response.extensions.get("http_version")
    return request.method, url.raw_host, port, response.status_code, version


def _targets() -> Iterator[Target[ClientInstruments]]:
    # Imported here, or a library that imports httpx2 later would not be recorded. If it
    # cannot be imported, no library sends with it.
    httpx2: Any = call_safely(import_module, "httpx2", default=None)
    yield from _transports(httpx)
    # httpx2.alias_httpx() lets both names be one module.
    if httpx2 is not None and httpx2.HTTPTransport is not httpx.HTTPTransport:
        yield from _transports(httpx2)


def _transports(library: Any) -> Iterator[Target[ClientInstruments]]:  # noqa: ANN401 -- a module
    yield library.HTTPTransport, "handle_request", recording
    yield library.AsyncHTTPTransport, "handle_async_request", _recording_async


_patches = Patches(partial(ClientInstruments, describe=_describe), *_targets())
