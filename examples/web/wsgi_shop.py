"""A WSGI application without a framework."""

from collections.abc import Callable
from typing import Any

from dtmetrics import configure
from dtmetrics.integrations.wsgi import MetricsMiddleware


def shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with an item."""
    _, first, *rest = environ["PATH_INFO"].split("/")
    if first != "items" or len(rest) != 1:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]
    # A framework's router finds the route.
    environ["dtmetrics.route"] = "/items/{number}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"item {rest[0]}\n".encode()]


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    return MetricsMiddleware(shop, exclude="/health")
