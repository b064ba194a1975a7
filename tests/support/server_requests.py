"""Requests to a server that a recorder records, and the dimensions of their series."""

from __future__ import annotations

from typing import Any

from dtmetrics._instrument.http_server import ServerInstruments
from dtmetrics._instrument.server_request import ServerRequest
from tests.support.recorder import Recorder

DURATION = "http.server.request.duration"


def instruments(recorder: Recorder, **options: Any) -> ServerInstruments:
    """Return the instruments of one middleware."""
    return ServerInstruments(recorder.meter, **options)


def begin(these: ServerInstruments, method: str = "GET", **more: Any) -> ServerRequest:
    """Begin a request that is recorded."""
    request = these.begin(method, "http", "1.1", **more)
    assert request is not None
    return request


def dimensions(recorder: Recorder, key: str = DURATION) -> list[dict[str, str]]:
    """Return the dimensions of each series of *key*."""
    return [
        dict(pairs) for (name, pairs), _ in recorder.payloads().items() if name == key
    ]


def only(recorder: Recorder, key: str = DURATION) -> dict[str, str]:
    """Return the dimensions of the one series of *key*."""
    [pairs] = dimensions(recorder, key)
    return pairs
