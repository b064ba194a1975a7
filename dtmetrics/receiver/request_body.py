"""Reading the body of a request within limits."""

from __future__ import annotations

import zlib

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from dtmetrics.receiver.verdict import BODY_LIMIT

__all__ = ["INFLATED_LIMIT", "read_body"]

# More than BODY_LIMIT, so that most rejections can name the size, and far less than
# the gigabyte that a megabyte of gzip can inflate to.
INFLATED_LIMIT = 4_000_000

# zlib's flag for a gzip header, and none of its own formats.
_GZIP = zlib.MAX_WBITS | 16


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
    raw = await _read(request)
    return _inflate(raw) if encoding == "gzip" else raw


async def _read(request: Request) -> bytes:
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
    # Without `Connection: close`, uvicorn reads the rest of the body and drops it.
    # Closing at once would reset the connection before the client reads the answer.
    return HTTPException(413, f"request body too large: {size}")
