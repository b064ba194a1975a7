"""An ASGI application for uvicorn; FastAPI takes the same lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dtmetrics import configure, counter, shutdown
from dtmetrics.integrations.asgi import MetricsMiddleware

configure(dimensions={"service": "shop"})
served = counter("pages.served", unit="{page}")


async def page(_: Request) -> PlainTextResponse:
    """Answer with a page."""
    served.inc()
    return PlainTextResponse("hello\n")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Send the rest at the end: the signal that ends uvicorn skips exit handlers."""
    yield
    shutdown()


application = Starlette(routes=[Route("/", page)], lifespan=lifespan)
application.add_middleware(MetricsMiddleware)
