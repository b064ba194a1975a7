"""A Starlette application."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from dtmetrics import configure, counter
from dtmetrics.integrations.starlette import Metrics

viewed = counter("items.viewed", unit="{item}")


async def item(request: Request) -> PlainTextResponse:
    """Answer with an item."""
    viewed.inc()
    return PlainTextResponse(f"item {request.path_params['number']}\n")


def create_app() -> Starlette:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    routes = [Mount("/items", routes=[Route("/{number}", item)])]
    app = Starlette(routes=routes)
    Metrics(app, exclude="/health")
    return app
