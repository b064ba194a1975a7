"""The addresses of the endpoint: to post lines, and to see what arrived."""

from __future__ import annotations

import hmac
import time
import zlib
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dtmetrics.receiver.page import CONTENT_SECURITY_POLICY, render
from dtmetrics.receiver.store import Store
from dtmetrics.receiver.verdict import BODY_LIMIT, check_lines, error_envelope

__all__ = ["INFLATED_LIMIT", "LOOPBACK_NAMES", "create_app", "read_body"]

_ONEAGENT_PATH = "/metrics/ingest"
_INGEST_PATHS = (
    _ONEAGENT_PATH,
    "/api/v2/metrics/ingest",
    "/e/{environment}/api/v2/metrics/ingest",
)
_ONEAGENT_LINES = 1000

# "[" is what older versions of Starlette find in "[::1]:14499". Allowing it is safe: a
# page can let a name of its own resolve to this computer, but not an address.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]", "[")

# More than BODY_LIMIT, so that most rejections can name the size, and far less than
# the gigabyte that a megabyte of gzip can inflate to.
INFLATED_LIMIT = 4_000_000


def create_app(
    *,
    token: str | None = None,
    clock: Callable[[], float] = time.time,
    store: Store | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_NAMES,
    as_oneagent: bool = False,
) -> Starlette:
    """Return the endpoint as an ASGI application.

    It takes lines at the paths of a OneAgent, an environment and an ActiveGate, and
    with *as_oneagent* at the first of them alone, as a OneAgent does. With a *token*,
    lines are accepted only with an ``Authorization`` header that carries it.
    *allowed_hosts* are the names, without a port, that a ``Host`` header may have;
    ``["*"]`` allows any.
    """
    endpoint = _Endpoint(token, clock, Store(clock=clock) if store is None else store)
    paths = (_ONEAGENT_PATH,) if as_oneagent else _INGEST_PATHS
    return Starlette(
        routes=[
            *(Route(path, endpoint.ingest, methods=["POST"]) for path in paths),
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
            self._authorize(request)
            body = await read_body(request)
        except HTTPException:
            self._store.count_rejected_request()
            raise
        # Only a OneAgent limits the lines of a request.
        lines_limit = _ONEAGENT_LINES if request.url.path == _ONEAGENT_PATH else None
        now_ms = int(self._clock() * 1000)
        verdict = check_lines(body, now_ms=now_ms, lines_limit=lines_limit)
        # dtmetrics names its process there: one host may run several.
        agent = request.headers.get("user-agent", "")
        address = request.client.host if request.client else ""
        self._store.add(verdict, f"{address} {agent}")
        return JSONResponse(verdict.answer, verdict.status)

    async def page(self, _request: Request) -> Response:
        content = render(self._store.snapshot(), self._store.stats())
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return HTMLResponse(content, headers=headers)

    async def series(self, _request: Request) -> Response:
        return JSONResponse(self._store.snapshot())

    async def stats(self, _request: Request) -> Response:
        return JSONResponse(self._store.stats())

    def _authorize(self, request: Request) -> None:
        # A web page sends `Origin`; clients of the API do not. A browser posts
        # text/plain across origins without asking the server first.
        if "origin" in request.headers:
            raise HTTPException(403, "lines are not accepted from web pages")
        if self._token is None:
            return
        header = request.headers.get("authorization", "")
        scheme, _, credentials = header.partition(" ")
        if scheme.lower() != "api-token" or not hmac.compare_digest(
            credentials.encode("latin-1"), self._token
        ):
            raise HTTPException(401, "Token Authentication failed")


async def read_body(request: Request) -> bytes:
    """Return the body of *request*, inflated.

    Raises HTTPException 415 if it is not plain text, 413 if it is too large, and 400
    if it ends early or is not valid gzip.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "text/plain":
        raise HTTPException(415, "Content-Type must be text/plain; charset=utf-8")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise HTTPException(415, "Content-Encoding must be gzip or absent")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > BODY_LIMIT:
        raise _too_large(f"{declared} > {BODY_LIMIT} bytes")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise _too_large(f"more than {BODY_LIMIT} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "request ended early") from None
    return _inflate(body) if encoding == "gzip" else bytes(body)


def _inflate(packed: bytearray) -> bytes:
    # The flag asks for a gzip header, and for none of zlib's own formats.
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        body = inflater.decompress(packed, INFLATED_LIMIT)
    except zlib.error:
        raise HTTPException(400, "invalid gzip") from None
    if inflater.unconsumed_tail:
        raise _too_large(f"more than {INFLATED_LIMIT} bytes when inflated")
    if not inflater.eof or inflater.unused_data:
        raise HTTPException(400, "invalid gzip")
    return body


def _too_large(size: str) -> HTTPException:
    # Without `Connection: close`, uvicorn reads the rest of the body and drops it.
    # Closing at once would reset the connection before the client reads the answer.
    return HTTPException(413, f"request body too large: {size}")


async def _error_response(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    envelope = error_envelope(error.status_code, error.detail)
    return JSONResponse(envelope, error.status_code, error.headers)
