"""An ASGI application for uvicorn."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dtmetrics import configure, counter
from dtmetrics.integrations.starlette import Metrics

configure(dimensions={"service": "shop"})
served = counter("pages.served", unit="{page}")


async def page(_: Request) -> PlainTextResponse:
    """Answer with a page."""
    served.inc()
    return PlainTextResponse("hello\n")


application = Starlette(routes=[Route("/", page)])
Metrics(application)
