"""A receiver on a real socket, and a client that posts lines to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from dtmetrics.receiver import create_app, running

NOW = 1_700_000_000.0
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
PATHS = ["/metrics/ingest", "/api/v2/metrics/ingest", "/e/abc/api/v2/metrics/ingest"]


@contextmanager
def served(**settings: Any) -> Iterator[httpx.Client]:
    """Serve an endpoint on a real socket, and yield a client of it."""
    app = create_app(clock=lambda: NOW, **settings)
    with running(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def post(client: httpx.Client, content: Any, **headers: str) -> httpx.Response:
    """Post *content* as lines."""
    return client.post(PATHS[1], content=content, headers={**TEXT, **headers})


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Return status and message of an error envelope, which repeats the status."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return error["code"], error["message"]
