"""How conventions call what is measured of an HTTP client.

OpenTelemetry's, https://opentelemetry.io/docs/specs/semconv/http/http-metrics/ (1.44),
and those that its Python instrumentations had before.
"""

from __future__ import annotations

from dtmetrics._instrument.semconv import Names

__all__ = ["CONVENTIONS"]

_STABLE = Names(
    duration="http.client.request.duration",
    unit="s",
    per_second=1,
    request_size="http.client.request.body.size",
    response_size="http.client.response.body.size",
    method="http.request.method",
    scheme="",  # opt-in, and told by the port
    version="network.protocol.version",
    status="http.response.status_code",
    error="error.type",
    failing=400,
    address="server.address",
    port="server.port",
)
_OLD = Names(
    duration="http.client.duration",
    unit="ms",
    per_second=1000,
    request_size="http.client.request.size",
    response_size="http.client.response.size",
    method="http.method",
    scheme="http.scheme",
    version="http.flavor",
    status="http.status_code",
    error="",
    failing=400,
    address="net.peer.name",
    port="net.peer.port",
)
CONVENTIONS = {"stable": [_STABLE], "old": [_OLD], "both": [_STABLE, _OLD]}
