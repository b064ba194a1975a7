"""The addresses of the endpoint: to post lines, and to see what arrived."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dtmetrics.receiver.page import CONTENT_SECURITY_POLICY, render
from dtmetrics.receiver.request_body import read_body
from dtmetrics.receiver.store import Store
from dtmetrics.receiver.verdict import check_lines, error_envelope

__all__ = ["LOOPBACK_NAMES", "ONEAGENT_PATH", "create_app"]

ONEAGENT_PATH = "/metrics/ingest"
_ENVIRONMENT_PATHS = (
    "/api/v2/metrics/ingest",
    "/e/{environment}/api/v2/metrics/ingest",
)
_ONEAGENT_LINES = 1000

# "[" is what older versions of Starlette find in "[::1]:14499". Allowing it is safe: a
# page can let a name of its own resolve to this computer, but not an address.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]", "[")


def create_app(
    *,
    token: str | None = None,
    clock: Callable[[], float] = time.time,
    store: Store | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_NAMES,
) -> Starlette:
    """Return the endpoint as an ASGI application.

    With a *token*, lines are accepted only with an ``Authorization`` header that
    carries it. *allowed_hosts* are the names, without a port, that a ``Host`` header
    may have; ``["*"]`` allows any.
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
        # Any page in the developer's browser can let its own name resolve to
        # 127.0.0.1, and would then read what arrived as its own (DNS rebinding).
        middleware=[
            Middleware(
                TrustedHostMiddleware,
                allowed_hosts=list(allowed_hosts),
                www_redirect=False,
            )
        ],
        exception_handlers={HTTPException: _error_response},
    )


class _Endpoint:
    """The request handlers."""

    def __init__(
        self, token: str | None, clock: Callable[[], float], store: Store
    ) -> None:
        self._token = None if token is None else token.encode()
        self._clock = clock
        self._store = store

    async def ingest(self, request: Request) -> Response:
        try:
            _reject_browsers(request)
            self._authorize(request)
            body = await read_body(request)
        except HTTPException:
            self._store.count_rejected_request()
            raise
        # Only a OneAgent limits the lines of a request.
        lines_limit = _ONEAGENT_LINES if request.url.path == ONEAGENT_PATH else None
        now_ms = int(self._clock() * 1000)
        verdict = check_lines(body, now_ms=now_ms, lines_limit=lines_limit)
        self._store.add(verdict)
        return JSONResponse(verdict.answer, verdict.status)

    async def page(self, request: Request) -> Response:
        del request
        content = render(self._store.snapshot(), self._store.stats())
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return HTMLResponse(content, headers=headers)

    async def series(self, request: Request) -> Response:
        del request
        return JSONResponse(self._store.snapshot())

    async def stats(self, request: Request) -> Response:
        del request
        return JSONResponse(self._store.stats())

    def _authorize(self, request: Request) -> None:
        if self._token is None:
            return
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if scheme.lower() != "api-token" or not hmac.compare_digest(
            credentials.encode("latin-1"), self._token
        ):
            raise HTTPException(401, "Token Authentication failed")


def _reject_browsers(request: Request) -> None:
    """Reject a post by a web page, which sends ``Origin``; clients of the API do not.

    A browser posts ``text/plain`` across origins without asking the server first.
    """
    if "origin" in request.headers:
        raise HTTPException(403, "lines are not accepted from web pages")


async def _error_response(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    envelope = error_envelope(error.status_code, error.detail)
    return JSONResponse(envelope, error.status_code, error.headers)
