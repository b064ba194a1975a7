"""A FastAPI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from dtmetrics import configure, shutdown
from dtmetrics.integrations.fastapi import Metrics

router = APIRouter()


@router.get("/{number}")
@router.head("/{number}")
async def item(number: int) -> int:
    """Answer with the number."""
    return number


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Send the last interval: uvicorn ends by the signal itself."""
    yield
    shutdown()


def create_app() -> FastAPI:
    """Return the application."""
    configure(interval=0.2)
    app = FastAPI(lifespan=lifespan)
    Metrics(app, active_requests=True)
    app.include_router(router, prefix="/items")

    @app.get("/raises")
    async def raises() -> None:
        raise KeyError

    @app.post("/upload")
    async def upload(request: Request) -> int:
        return len(await request.body())

    @app.get("/unavailable")
    async def unavailable() -> None:
        raise HTTPException(503)

    @app.get("/same")
    async def same() -> Response:
        return Response(status_code=304)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "a"
            yield "b"

        return StreamingResponse(pieces())

    @app.get("/fails")
    async def fails() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "a"
            raise ValueError

        return StreamingResponse(pieces())

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            while True:
                yield "a" * 10_000
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    return app
