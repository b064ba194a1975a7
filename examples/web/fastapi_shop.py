"""A FastAPI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from dtmetrics import configure, shutdown, timed
from dtmetrics.integrations.asgi import MetricsMiddleware

router = APIRouter(prefix="/items")


@timed("item.lookup.duration")
async def look_up(number: int) -> str:
    """Return an item."""
    return f"item {number}"


@router.get("/{number}")
async def item(number: int) -> str:
    """Answer with an item."""
    return await look_up(number)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Call shutdown(): uvicorn ends by the signal, so that no exit handler runs."""
    yield
    shutdown()


def create_app() -> FastAPI:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    app = FastAPI(lifespan=lifespan)
    app.add_middleware(MetricsMiddleware, exclude="/health", active_requests=True)
    app.include_router(router)
    return app
