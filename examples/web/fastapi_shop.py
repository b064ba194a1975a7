"""A FastAPI application."""

from fastapi import APIRouter, FastAPI

from dtmetrics import configure, timed
from dtmetrics.integrations.fastapi import Metrics

router = APIRouter(prefix="/items")


@timed("item.lookup.duration")
async def look_up(number: int) -> str:
    """Return an item."""
    return f"item {number}"


@router.get("/{number}")
async def item(number: int) -> str:
    """Answer with an item."""
    return await look_up(number)


def create_app() -> FastAPI:
    """Return the application; called in each worker."""
    configure(dimensions={"service": "shop"})
    app = FastAPI()
    Metrics(app, exclude="/health", active_requests=True)
    app.include_router(router)
    return app
