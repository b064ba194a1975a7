"""What can be asked: to take lines in, and what arrived."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dtmetrics.receiver.body import read_body
from dtmetrics.receiver.guard import LOOPBACK_NAMES, Guard
from dtmetrics.receiver.judge import error_envelope, judge
from dtmetrics.receiver.page import render
from dtmetrics.receiver.store import Store

__all__ = ["ONEAGENT_PATH", "create_app"]

ONEAGENT_PATH = "/metrics/ingest"
_ENVIRONMENT_PATHS = (
    "/api/v2/metrics/ingest",
    "/e/{environment}/api/v2/metrics/ingest",
)
_ONEAGENT_LINES = 1000


def create_app(
    *,
    token: str | None = None,
    clock: Callable[[], float] = time.time,
    store: Store | None = None,
    hosts: Collection[str] | None = LOOPBACK_NAMES,
) -> Starlette:
    """Return the endpoint as an ASGI application.

    With a *token*, lines are taken in only with the header that carries it. *hosts*
    are the names it answers to, without a port; None stands for any name.
    """
    endpoint = _Endpoint(token, clock, Store(clock=clock) if store is None else store)
    ingest_paths = (ONEAGENT_PATH, *_ENVIRONMENT_PATHS)
    return Starlette(
        routes=[
            *(Route(path, endpoint.ingest, methods=["POST"]) for path in ingest_paths),
            Route("/", endpoint.page),
            Route("/api/series", endpoint.series),
            Route("/api/stats", endpoint.stats),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={HTTPException: _enveloped},
    )


class _Endpoint:
    """The handlers. Authorization is compared, and goes no further."""

    def __init__(
        self, token: str | None, clock: Callable[[], float], store: Store
    ) -> None:
        self._token = None if token is None else token.encode()
        self._clock = clock
        self._store = store

    async def ingest(self, request: Request) -> Response:
        try:
            self._authorize(request)
            body = await read_body(request)
        except HTTPException:
            self._store.refuse()
            raise
        # Only a OneAgent limits the lines of a request.
        lines_limit = _ONEAGENT_LINES if request.url.path == ONEAGENT_PATH else None
        now_ms = int(self._clock() * 1000)
        verdict = judge(body, now_ms=now_ms, lines_limit=lines_limit)
        self._store.take(verdict)
        return JSONResponse(verdict.answer, verdict.status)

    async def page(self, request: Request) -> Response:
        del request
        return HTMLResponse(render(self._store.snapshot(), self._store.stats()))

    async def series(self, request: Request) -> Response:
        del request
        return JSONResponse(self._store.snapshot())

    async def stats(self, request: Request) -> Response:
        del request
        return JSONResponse(self._store.stats())

    def _authorize(self, request: Request) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "api-token" or not hmac.compare_digest(
            given.encode("latin-1"), self._token
        ):
            raise HTTPException(401, "Token Authentication failed")


async def _enveloped(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    envelope = error_envelope(error.status_code, error.detail)
    return JSONResponse(envelope, error.status_code, error.headers)
