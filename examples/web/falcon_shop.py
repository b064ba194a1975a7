"""A Falcon application, under a WSGI server."""

import falcon

from dtmetrics import configure
from dtmetrics.integrations.routes import report_routes
from dtmetrics.integrations.wsgi import MetricsMiddleware


class Item:
    """An item of the shop."""

    def on_get(
        self, _: falcon.Request, response: falcon.Response, *, number: int
    ) -> None:
        """Answer with the item."""
        response.text = f"item {number}\n"


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    app = falcon.App()
    app.add_route("/items/{number:int}", Item())
    return MetricsMiddleware(report_routes(app), exclude="/health")
