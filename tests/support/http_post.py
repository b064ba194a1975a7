"""One post, to an endpoint with a script."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from dtmetrics._core.secret import Secret
from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Batch, ExportResult
from tests.support.endpoint import Endpoint, Verdict
from tests.support.exporter_contract import a_body

TOKEN = "dt0c01.CANARY.secret"


def post(
    *script: Verdict, body: Batch | None = None, timeout: float = 5.0
) -> tuple[ExportResult, Endpoint]:
    """Post once to an endpoint with this script; return the result and the endpoint."""
    with Endpoint(*script) as endpoint:
        exporter = HttpExporter(endpoint.url, Secret(TOKEN), local=True)
        result = exporter.export(body or a_body(), timeout)
        exporter.close()
    return result, endpoint


def fake(
    respond: Callable[[httpx.Request], httpx.Response], token: str = TOKEN
) -> HttpExporter:
    """Return an exporter whose transport is a function."""

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return respond(request)

    return HttpExporter("https://x.example/api", Secret(token), transport=Transport)
