"""A WSGI application without a framework."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from dtmetrics import configure
from dtmetrics.integrations.wsgi import MetricsMiddleware


def failing() -> Iterator[bytes]:
    """Yield a piece, and fail."""
    yield b"a"
    raise ValueError


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Answer by the path."""
    _, first, *rest = environ["PATH_INFO"].split("/")
    if first == "missing":
        start_response("404 Not Found", [])
        return []
    environ["dtmetrics.route"] = f"/{first}/{{number}}" if rest else f"/{first}"
    if first == "upload":
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size).encode()]
    if environ["REQUEST_METHOD"] == "POST":
        start_response("405 Method Not Allowed", [("Content-Length", "0")])
        return []
    if first == "raises":
        raise KeyError
    if first == "unavailable":
        start_response("503 Service Unavailable", [("Content-Length", "0")])
        return []
    if first == "written":
        write = start_response("200 OK", [("Content-Length", "2")])
        write(b"ab")
        return []
    headers = [("Content-Type", "text/plain")]
    if first == "same":
        start_response("304 Not Modified", headers)
        return []
    start_response("200 OK", headers)
    if first == "file":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abc" * 10_000))
    if first == "fails":
        return failing()
    if first == "endless":
        return repeat(b"a" * 10_000)
    return iter([b"a", b"b"]) if first == "stream" else [b"a"]


def create_app() -> MetricsMiddleware:
    """Return the application."""
    configure(interval=0.2)
    return MetricsMiddleware(application, active_requests=True)
