"""A Quart application."""

from quart import Quart

import dtmetrics
from dtmetrics.integrations.asgi import MetricsMiddleware
from dtmetrics.integrations.routes import report_routes


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    dtmetrics.configure(dimensions={"service": "shop"})
    dtmetrics.install_signal_handlers()  # uvicorn ends by a signal
    app = report_routes(Quart(__name__))

    @app.get("/items/<int:number>")
    async def item(number: int) -> str:
        return f"item {number}\n"

    return MetricsMiddleware(app, exclude="/health")
