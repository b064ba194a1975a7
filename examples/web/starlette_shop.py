"""A Starlette application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from dtmetrics import configure, counter, shutdown
from dtmetrics.integrations.asgi import MetricsMiddleware

viewed = counter("items.viewed", unit="{item}")


async def item(request: Request) -> PlainTextResponse:
    """Answer with an item."""
    viewed.inc()
    return PlainTextResponse(f"item {request.path_params['number']}\n")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Call shutdown(): uvicorn ends by the signal, so that no exit handler runs."""
    yield
    shutdown()


def create_app() -> Starlette:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    return Starlette(
        routes=[Mount("/items", routes=[Route("/{number}", item)])],
        middleware=[Middleware(MetricsMiddleware, exclude="/health")],
        lifespan=lifespan,
    )
