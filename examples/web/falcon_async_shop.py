"""A Falcon application, under an ASGI server."""

import falcon.asgi

import dtmetrics
from dtmetrics.integrations.asgi import MetricsMiddleware
from dtmetrics.integrations.routes import report_routes


class Item:
    """An item of the shop."""

    async def on_get(
        self, _: falcon.asgi.Request, response: falcon.asgi.Response, *, number: int
    ) -> None:
        """Answer with the item."""
        response.text = f"item {number}\n"


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    dtmetrics.configure(dimensions={"service": "shop"})
    dtmetrics.install_signal_handlers()  # uvicorn ends by a signal
    app = falcon.asgi.App()
    app.add_route("/items/{number:int}", Item())
    return MetricsMiddleware(report_routes(app), exclude="/health")
