"""A WSGI application for uWSGI."""

from collections.abc import Callable
from typing import Any

from dtmetrics import configure, counter
from dtmetrics.integrations.wsgi import MetricsMiddleware

configure(dimensions={"service": "shop"})
served = counter("pages.served", unit="{page}")


def shop(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with a page."""
    served.inc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\n"]


application = MetricsMiddleware(shop)
