"""Posting one batch with HttpExporter, to a scripted endpoint or to a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from dtmetrics._core.secret import Secret
from dtmetrics._export.connections import Route
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsFiles
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import Endpoint, Verdict
from tests.support.exporter_contract import a_batch

#: Tests look for the middle part, which must appear in no log and no traceback.
TOKEN = "dt0c01.CANARY.secret"


def post(
    *script: Verdict, batch: Batch | None = None, timeout: float = 5.0
) -> tuple[ExportResult, Endpoint]:
    """Post once to an endpoint with this script; return the result and the endpoint."""
    with Endpoint(*script) as endpoint:
        exporter = HttpExporter(endpoint.url, Secret(TOKEN), local=True)
        result = exporter.export(batch or a_batch(), timeout)
        exporter.close()
    return result, endpoint


def symptom_of(result: ExportResult) -> tuple[Outcome, str]:
    """Return the outcome of *result*, and what was seen where, without the remedy."""
    return result.outcome, result.reason.partition(": ")[0]


def trusting(certificate: Path) -> Route:
    """Return a direct route that trusts the certificates in this file."""
    return Route(files=TlsFiles(ca_file=str(certificate)))


def exporter_calling(
    respond: Callable[[httpx.Request], httpx.Response],
) -> HttpExporter:
    """Return an exporter whose transport calls *respond*."""

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return respond(request)

    return HttpExporter("https://x.example/api", Secret(TOKEN), transport=Transport)
