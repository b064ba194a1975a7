"""A Flask application."""

from flask import Blueprint, Flask

from dtmetrics import configure, counter
from dtmetrics.integrations.flask import Metrics

items = Blueprint("items", __name__)
metrics = Metrics(exclude="/health")
viewed = counter("items.viewed", unit="{item}")


@items.get("/items/<int:number>")
def item(number: int) -> str:
    """Answer with an item."""
    viewed.inc()
    return f"item {number}\n"


def create_app() -> Flask:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    app = Flask(__name__)
    app.register_blueprint(items)
    metrics.init_app(app)
    return app
