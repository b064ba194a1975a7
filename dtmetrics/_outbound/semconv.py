"""How conventions call what is measured of an HTTP client.

OpenTelemetry's, https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (1.44),
and those that its Python instrumentations had before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dtmetrics._web.semconv import VERSIONS

__all__ = ["CONVENTIONS", "Names"]


class Names(NamedTuple):
    """How a convention calls what is measured; an empty name is left out."""

    duration: str
    unit: str
    per_second: int
    request_size: str
    response_size: str
    method: str
    scheme: str
    address: str
    port: str
    status: str
    version: str
    error: str

    def dimensions(
        self,
        method: str,
        scheme: str,
        address: str,
        port: int | None,
        status: int | None,
        version: Any,
        error: Any,
    ) -> dict[str, Any]:
        """Return what says which request it was."""
        if error is None and status is not None and status >= 400:
            error = status
        named = {
            self.method: method,
            self.scheme: scheme,
            self.address: address,
            self.port: port,
            self.status: status,
            self.version: VERSIONS.get(version),
            self.error: error,
        }
        named.pop("", None)
        return named


_STABLE = Names(
    duration="http.client.request.duration",
    unit="s",
    per_second=1,
    request_size="http.client.request.body.size",
    response_size="http.client.response.body.size",
    method="http.request.method",
    scheme="",  # opt-in, and told by the port
    address="server.address",
    port="server.port",
    status="http.response.status_code",
    version="network.protocol.version",
    error="error.type",
)
_OLD = Names(
    duration="http.client.duration",
    unit="ms",
    per_second=1000,
    request_size="http.client.request.size",
    response_size="http.client.response.size",
    method="http.method",
    scheme="http.scheme",
    address="net.peer.name",
    port="net.peer.port",
    status="http.status_code",
    version="http.flavor",
    error="",
)
CONVENTIONS = {"stable": [_STABLE], "old": [_OLD], "both": [_STABLE, _OLD]}
