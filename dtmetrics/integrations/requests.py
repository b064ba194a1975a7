"""Metrics of the requests that an application makes with requests.

>>> from dtmetrics.integrations.requests import instrument_requests
>>> from dtmetrics.integrations.requests import uninstrument_requests
>>> instrument_requests()
>>> uninstrument_requests()
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from dtmetrics._instrument.http_client import (
    PORTS,
    ClientInstruments,
    Description,
    recording,
)
from dtmetrics._instrument.patches import Patches
from dtmetrics._instrument.users_dimensions import Dimensions
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

__all__ = ["instrument_requests", "uninstrument_requests"]

# By urllib3's numbers.
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


def instrument_requests(
    *,
    dimensions: Dimensions | None = None,
    body_sizes: bool = False,
    known_methods: Iterable[str] | None = None,
    meter: Meter | None = None,
) -> None:
    """Record each request of every session, existing sessions included.

    Each request is recorded as ``http.client.request.duration``, in seconds, by
    OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
    A request is one call of an adapter, until the head of the response has arrived: a
    redirect is one more request, urllib3's own retries are not, and the body of a
    stream is not waited for. Responses and exceptions are passed on unchanged. A second
    call does nothing.

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
            ``get_meter("dtmetrics.integrations.requests")``.

    Raises:
        TypeError: An option has the wrong type.

    >>> from dtmetrics.integrations.requests import instrument_requests
    >>> from dtmetrics.integrations.requests import uninstrument_requests
    >>> instrument_requests(body_sizes=True)
    >>> uninstrument_requests()
    """
    _patches.apply(
        meter or default.get_meter(__name__),
        dimensions=dimensions,
        body_sizes=body_sizes,
        known_methods=known_methods,
    )


def uninstrument_requests() -> None:
    """Stop recording, and restore requests' own methods.

    Without ``instrument_requests()`` it does nothing.

    >>> from dtmetrics.integrations.requests import uninstrument_requests
    >>> uninstrument_requests()
    """
    _patches.remove()


def _describe(request: PreparedRequest, response: Response | None) -> Description:
    method, url = str(request.method), str(request.url)
    # All up to the path: a cache of paths would be useless.
    host, port = _server("/".join(url.split("/", 3)[:3]))
    if response is None:
        return method, host, port, None, None
    version = _VERSIONS.get(getattr(response.raw, "version", 0))
    return method, host, port, response.status_code, version


@lru_cache(256)
def _server(url: str) -> tuple[str | None, int | None]:
    split = urlsplit(url)
    return split.hostname, split.port or PORTS.get(split.scheme)


_patches = Patches(
    partial(ClientInstruments, describe=_describe), (HTTPAdapter, "send", recording)
)
