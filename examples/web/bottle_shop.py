"""A Bottle application."""

from bottle import Bottle

from dtmetrics import configure
from dtmetrics.integrations.wsgi import MetricsMiddleware

app = Bottle()


@app.get("/items/<number:int>")
def item(number: int) -> str:
    """Answer with an item."""
    return f"item {number}\n"


def create_app() -> MetricsMiddleware:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    return MetricsMiddleware(app, exclude="/health")
