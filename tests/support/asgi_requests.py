"""Requests to an ASGI application, as a server sends them, without a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from dtmetrics._protocol.point import GaugeSummary
from tests.support.recorder import Recorder

#: The number of requests by route, status and error.
Counts = dict[tuple[str | None, str | None, str | None], int]


def ask(app: Any, path: str, **more: Any) -> int | None:
    """Send one GET to *app*; return the status that the client gets."""
    statuses = []
    received = [{"type": "http.request", "body": b"", "more_body": False}]
    complete = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if received:
            return received.pop()
        # The client stays. As by the specification of ASGI, the exchange ends with the
        # response; Quart waits for that since 0.23.
        await complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        elif not message.get("more_body", False):
            complete.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        **more,
    }
    with suppress(ValueError):
        asyncio.run(app(scope, receive, send))
    return statuses[0] if statuses else None


def live(app: Any) -> list[str]:
    """Start *app* and stop it, as a server does; return the messages that it sent."""
    sent = []
    received = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]

    async def receive() -> dict[str, Any]:
        return received.pop()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send))
    return sent


def counts(recorder: Recorder) -> Counts:
    """Collect; return the number of requests by route, status and error."""
    found: Counts = {}
    for (key, pairs), payload in recorder.payloads().items():
        assert key == "http.server.request.duration"
        assert isinstance(payload, GaugeSummary)
        get = dict(pairs).get
        by = get("http.route"), get("http.response.status_code"), get("error.type")
        found[by] = payload.count
    return found
