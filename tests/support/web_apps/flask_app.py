"""A Flask application."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from flask import Blueprint, Flask, Response, abort, request

from dtmetrics import configure
from dtmetrics.integrations.flask import Metrics

metrics = Metrics(active_requests=True)
views = Blueprint("views", __name__)


@views.get("/items/<int:number>")
def item(number: int) -> str:
    """Answer with the number."""
    return str(number)


@views.get("/raises")
def raises() -> str:
    """Fail."""
    raise KeyError


@views.get("/unavailable")
def unavailable() -> None:
    """Answer 503."""
    abort(503)


@views.get("/same")
def same() -> Any:
    """Answer 304."""
    return "", 304


@views.get("/stream")
def stream() -> Response:
    """Answer piece by piece."""
    return Response(iter("ab"))


@views.get("/fails")
def fails() -> Response:
    """Answer with a piece, and fail."""

    def pieces() -> Iterator[str]:
        yield "a"
        raise ValueError

    return Response(pieces())


@views.get("/endless")
def endless() -> Response:
    """Answer without end."""
    return Response(repeat("a" * 10_000))


@views.post("/upload")
def upload() -> str:
    """Read the body."""
    return str(len(request.get_data()))


def create_app() -> Flask:
    """Return the application."""
    configure(interval=0.2)
    app = Flask(__name__)
    app.register_blueprint(views)
    metrics.init_app(app)
    return app
