"""Responses, parsed as the answers to a batch of five lines."""

from __future__ import annotations

import json

from dtmetrics._export.causes import Destination
from dtmetrics._export.response import parse_response
from dtmetrics.exporters import Batch, ExportResult
from tests.support.exporter_contract import a_batch

NOW = 1_700_000_000.0
TO = Destination("ag.example:9999", "/e/abc/api/v2/metrics/ingest")
ENVELOPE = {"error": {"code": 400, "message": "CANARY"}}
FIVE = a_batch(*(f"k{n} count,delta=1" for n in range(5)))


def result_of(
    status: int, content: object = b"", batch: Batch = FIVE, **headers: str
) -> ExportResult:
    """Parse a response; content that is not bytes is encoded as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_response(
        batch, status=status, headers=named, content=raw, now=NOW, to=TO
    )
