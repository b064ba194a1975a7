"""The body of a request, read no further than allowed."""

from __future__ import annotations

import zlib

from anyio import fail_after
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from dtmetrics.receiver.judge import BODY_LIMIT

__all__ = ["INFLATED_LIMIT", "read_body"]

# More than a body may have, so that the answer can name the size of most that are
# too large; and far less than what a megabyte of gzip can grow to.
INFLATED_LIMIT = 4_000_000

# From one computer to itself.
_BODY_SECONDS = 10.0

# Accept a gzip header, and none of zlib's own.
_GZIP = zlib.MAX_WBITS | 16


async def read_body(request: Request) -> bytes:
    """Return the body of *request*, inflated; refuse what is no text or too long."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    if media_type.strip().lower() != "text/plain":
        raise HTTPException(415, "Content-Type must be text/plain; charset=utf-8")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        raise HTTPException(415, "Content-Encoding must be gzip or absent")
    raw = await _read(request)
    return _inflate(raw) if encoding == "gzip" else raw


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > BODY_LIMIT:
        raise _too_large(f"{declared} > {BODY_LIMIT} bytes")
    body = bytearray()
    try:
        with fail_after(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise _too_large(f"more than {BODY_LIMIT} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "request ended early") from None
    except TimeoutError:
        raise HTTPException(408, "request came too slowly") from None
    return bytes(body)


def _inflate(raw: bytes) -> bytes:
    inflater = zlib.decompressobj(_GZIP)
    try:
        body = inflater.decompress(raw, INFLATED_LIMIT)
    except zlib.error:
        raise HTTPException(400, "invalid gzip") from None
    if inflater.unconsumed_tail:
        raise _too_large(f"more than {INFLATED_LIMIT} bytes when inflated")
    if not inflater.eof or inflater.unused_data:
        raise HTTPException(400, "invalid gzip")
    return body


def _too_large(size: str) -> HTTPException:
    # No `Connection: close`: uvicorn then reads what is still on its way and drops it,
    # where closing at once would reset the connection before the answer is read.
    return HTTPException(413, f"request body too large: {size}")
