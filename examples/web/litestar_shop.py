"""A Litestar application."""

from litestar import Litestar, get

import dtmetrics
from dtmetrics.integrations.litestar import Metrics


@get("/items/{number:int}")
async def item(number: int) -> str:
    """Answer with an item."""
    return f"item {number}\n"


def create_app() -> Litestar:
    """Return the application; called in each worker."""
    dtmetrics.configure(dimensions={"service": "shop"})
    dtmetrics.install_signal_handlers()  # uvicorn ends by a signal
    app = Litestar([item])
    Metrics(app, exclude="/health")
    return app
