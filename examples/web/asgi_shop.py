"""An ASGI application without a framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dtmetrics import configure
from dtmetrics.integrations.asgi import MetricsMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def shop(scope: Message, _receive: Receive, send: Send) -> None:
    """Answer with an item."""
    _, first, *rest = scope["path"].split("/")
    if first == "items" and len(rest) == 1:
        # A framework's router finds the route.
        scope["dtmetrics.route"] = "/items/{number}"
        status, text = 200, f"item {rest[0]}\n"
    else:
        status, text = 404, "no such page\n"
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    return MetricsMiddleware(shop, exclude="/health")
