"""Metrics of what an application asks by requests.

>>> from dtmetrics.integrations.requests import instrument_requests
>>> from dtmetrics.integrations.requests import uninstrument_requests
>>> instrument_requests()
>>> uninstrument_requests()
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

from dtmetrics._instrument.client import PORTS, Calls, clock
from dtmetrics._instrument.patch import Patches, Target

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dtmetrics._instrument.client import Options

__all__ = ["instrument_requests", "uninstrument_requests"]

# As urllib3 writes them.
_VERSIONS = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}


def instrument_requests(**options: Unpack[Options]) -> None:
    """CallHook each request of every session, those that exist already too.

    What an adapter sends counts, until the head of the answer is there: a redirect is
    one more request, a retry of urllib3's within it is not, and a stream takes no
    longer than its head. Nothing of an answer or an exception changes. A second call
    does nothing.
    """
    _patches.put(lambda: Calls(_describe, "dtmetrics.integrations.requests", **options))


def uninstrument_requests() -> None:
    """CallHook no more, and give requests back what it had."""
    _patches.remove()


def _around(calls: Calls, found: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if not calls.measured():
            return found(self, request, *args, **kwargs)
        start = clock()
        try:
            response = found(self, request, *args, **kwargs)
        except BaseException as error:
            calls.fail(clock() - start, request, error)
            raise
        calls.end(clock() - start, request, response)
        return response

    return send


def _describe(request: Any, response: Any) -> Any:
    # Of what requests prepares, all up to the path: a cache of paths would be useless.
    server = _server("/".join(request.url.split("/", 3)[:3]))
    if response is None:
        return request.method, *server, None, None
    version = _VERSIONS.get(getattr(response.raw, "version", 0))
    return request.method, *server, response.status_code, version


@lru_cache(256)
def _server(url: str) -> tuple[str, str | None, int | None]:
    split = urlsplit(url)
    return split.scheme, split.hostname, split.port or PORTS.get(split.scheme)


_patches = Patches(Target(HTTPAdapter, "send", _around))
