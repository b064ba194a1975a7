"""How conventions call what is measured of HTTP, and how they write its values.

OpenTelemetry's, https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (1.44),
and those that it had before.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any, NamedTuple

from dtmetrics._config.environment import known_http_methods
from dtmetrics._core.safe_call import call_safely

__all__ = [
    "CONVENTIONS",
    "METHODS",
    "OTHER",
    "SCHEMES",
    "VERSIONS",
    "Names",
    "alone",
    "announced",
    "code_of",
    "methods_of",
    "without_body",
]

METHODS = frozenset(
    "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split()  # noqa: SIM905
)
OTHER = "_OTHER"

#: Others are what a proxy was told by a client, and passed on.
SCHEMES = frozenset(("http", "https", "ws", "wss"))

_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # from CPython 3.11 on

#: By what servers write, with and without "HTTP/". Others are the client's invention.
VERSIONS = {
    prefix + text: text.removesuffix(".0") if text > "2" else text
    for text in ("1.0", "1.1", "2", "2.0", "3", "3.0")
    for prefix in ("", "HTTP/")
}


class Names(NamedTuple):
    """How a convention calls what is measured; an empty name is left out."""

    duration: str
    unit: str
    per_second: int
    request_size: str
    response_size: str
    method: str
    scheme: str
    version: str
    status: str
    error: str
    #: From which status on an answer is an error by itself.
    failing: int
    route: str = ""
    address: str = ""
    port: str = ""

    def dimensions(
        self,
        *,
        method: str,
        scheme: Any,
        version: Any,
        status: int | None,
        error: Any,
        route: Any = None,
        address: Any = None,
        port: Any = None,
    ) -> dict[str, Any]:
        """Return what says which request it was."""
        if error is None and status is not None and status >= self.failing:
            error = status
        named = {
            self.method: method,
            self.scheme: scheme,
            self.version: VERSIONS.get(version),
            self.status: status,
            self.route: route,
            self.address: address,
            self.port: port,
            self.error: error,
        }
        named.pop("", None)
        return named


_STABLE = Names(
    duration="http.server.request.duration",
    unit="s",
    per_second=1,
    request_size="http.server.request.body.size",
    response_size="http.server.response.body.size",
    method="http.request.method",
    scheme="url.scheme",
    version="network.protocol.version",
    status="http.response.status_code",
    error="error.type",
    failing=500,
    route="http.route",
)
_OLD = Names(
    duration="http.server.duration",
    unit="ms",
    per_second=1000,
    request_size="http.server.request.size",
    response_size="http.server.response.size",
    method="http.method",
    scheme="http.scheme",
    version="http.flavor",
    status="http.status_code",
    error="",
    failing=500,
    route="http.target",  # where OpenTelemetry's Python put the route
)
# There is no convention: a name beside the others, and what of them makes sense.
_WEBSOCKET = _STABLE._replace(
    duration="websocket.server.connection.duration", method="", status=""
)
CONVENTIONS = {
    "stable": [_STABLE],
    "old": [_OLD],
    "both": [_STABLE, _OLD],
    "websocket": [_WEBSOCKET],
}


def methods_of(known: Iterable[str] | None) -> frozenset[str]:
    """Return which methods have a name of their own, if *known* or nobody says so."""
    if isinstance(known, str) or not isinstance(known, Iterable | None):
        raise TypeError("known_methods is no list of methods")
    return frozenset(known or known_http_methods() or METHODS)


def announced(length: Any) -> int | None:
    """Return the size that a Content-Length says; None where it says none."""
    if length is None:
        return None
    # A text or bytes, and of a server's or a client's it may be anything.
    size = call_safely(int, length, default=-1)
    return size if size >= 0 else None


def without_body(method: Any, status: Any) -> bool:
    """Say whether an answer has no body, and so no size of one."""
    return method == "HEAD" or status in (204, 304)


def code_of(status: Any) -> int:
    """Return a status as a number; WSGI's is a text, "200 OK"."""
    return int(status[:3] if isinstance(status, str) else status)


def alone(error: BaseException) -> BaseException:
    """Return the exception that is alone in a group of them, or else the group.

    Old Starlette streams in a group of tasks, which raises even a single one so.
    """
    while isinstance(error, _GROUP) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
