from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dtmetrics.receiver.app import INFLATED_LIMIT, read_body
from dtmetrics.receiver.verdict import BODY_LIMIT
from tests.support.receiver_client import error_of, post, served


class Upload:
    """A request whose body arrives in pieces; it counts those that were read."""

    def __init__(
        self, pieces: Sequence[bytes], *, ends: bool = True, **headers: str
    ) -> None:
        self.pieces_read = 0
        self._pieces = list(pieces)
        self._ends = ends
        fields = {"content-type": "text/plain", **headers}
        self._scope = {
            "type": "http",
            "method": "POST",
            "headers": [
                (name.replace("_", "-").encode(), text.encode())
                for name, text in fields.items()
            ],
        }

    async def _receive(self) -> dict[str, Any]:
        if self.pieces_read == len(self._pieces) and not self._ends:
            return {"type": "http.disconnect"}
        piece = self._pieces[self.pieces_read] if self._pieces else b""
        self.pieces_read += 1
        more = self.pieces_read < len(self._pieces) or not self._ends
        return {"type": "http.request", "body": piece, "more_body": more}

    def read(self) -> bytes:
        """Read the body."""
        return asyncio.run(read_body(Request(self._scope, self._receive)))

    def rejection(self) -> tuple[int, str]:
        """Return why the body is rejected."""
        with pytest.raises(HTTPException) as caught:
            self.read()
        return caught.value.status_code, caught.value.detail


pieces = st.lists(st.binary(max_size=50), max_size=8)


@given(pieces)
def test_arrives_whole(pieces: list[bytes]) -> None:
    """A body is read whole, however it is split into pieces."""
    assert Upload(pieces).read() == b"".join(pieces)


@given(st.binary(max_size=2_000), st.integers(1, 100), st.integers(0, 9))
def test_arrives_inflated(body: bytes, size: int, level: int) -> None:
    """A compressed body is inflated, wherever its bytes are split."""
    packed = gzip.compress(body, level, mtime=0)
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert Upload(pieces, content_encoding=" GZIP ").read() == body


@given(st.binary(max_size=300), st.data())
def test_damaged(body: bytes, data: st.DataObject) -> None:
    """What is not gzip, is cut short or has bytes after it is rejected as a whole."""
    packed = gzip.compress(body, mtime=0)
    short = packed[: data.draw(st.integers(0, len(packed) - 1))]
    longer = packed + data.draw(st.binary(min_size=1, max_size=20))
    for damaged in (body, short, longer):
        upload = Upload([damaged], content_encoding="gzip")
        assert upload.rejection() == (400, "invalid gzip")


@pytest.mark.parametrize("declared", [True, False])
def test_limit(declared: bool) -> None:
    """A body of exactly the limit is read; one with a byte more is rejected."""
    for size in (BODY_LIMIT, BODY_LIMIT + 1):
        headers = {"content_length": str(size)} if declared else {}
        upload = Upload(
            [b"x" * 1_000] * (size // 1_000) + [b"x" * (size % 1_000)], **headers
        )
        if size == BODY_LIMIT:
            assert len(upload.read()) == size
        else:
            assert upload.rejection()[0] == 413
            assert upload.pieces_read == (0 if declared else 1_001)


@pytest.mark.parametrize("more", [0, 1])
def test_inflated_limit(more: int) -> None:
    """A body is inflated up to the limit; one that inflates further is rejected."""
    packed = gzip.compress(bytes(INFLATED_LIMIT + more), mtime=0)
    upload = Upload([packed], content_encoding="gzip")
    if more:
        size = f"more than {INFLATED_LIMIT} bytes when inflated"
        assert upload.rejection() == (413, f"request body too large: {size}")
    else:
        assert len(upload.read()) == INFLATED_LIMIT


@pytest.mark.parametrize(
    "length", ["-1", "x", "", "9" * 30, "\u0663".encode().decode("latin-1")]
)
def test_odd_lengths(length: str) -> None:
    """A Content-Length that is not a number is ignored; one beyond the limit is not."""
    upload = Upload([b"a 1"], content_length=length)
    if length.isdigit():
        assert upload.rejection()[0] == 413
    else:
        assert upload.read() == b"a 1"


def test_ends_early() -> None:
    """A body that ends early, because its client left, is rejected."""
    assert Upload([b"a 1"], ends=False).rejection() == (400, "request ended early")


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[httpx.Client]:
    with served() as client:
        yield client


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "", "text"],
)
def test_wrong_type(client: httpx.Client, content_type: str) -> None:
    """Only the media type text/plain is accepted."""
    answer = post(client, b"a 1", **{"Content-Type": content_type})
    assert error_of(answer)[0] == 415


def test_type_without_charset(client: httpx.Client) -> None:
    """The media type is accepted without a charset, as some clients send it."""
    assert post(client, b"a 1", **{"Content-Type": "Text/Plain"}).status_code == 202


def test_gzip(client: httpx.Client) -> None:
    """A body may be compressed with gzip, and with nothing else."""
    packed = gzip.compress(b"a 1\nb 2", mtime=0)
    assert post(client, packed, **{"Content-Encoding": "gzip"}).json()["linesOk"] == 2
    assert error_of(post(client, packed, **{"Content-Encoding": "br"}))[0] == 415


def test_gzip_bomb(client: httpx.Client) -> None:
    """A small body that inflates beyond the limits is rejected by its size."""
    gzipped = {"Content-Encoding": "gzip"}
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    assert len(bomb) < 100_000
    answer = error_of(post(client, bomb, **gzipped))
    assert answer == (
        413,
        "request body too large: more than 4000000 bytes when inflated",
    )
    answer = error_of(
        post(client, gzip.compress(b"a 1\n" * 300_000, mtime=0), **gzipped)
    )
    assert answer == (413, "request body too large: 1200000 > 1000000 bytes")


def test_too_large(client: httpx.Client) -> None:
    """A body that is too large is answered, and its connection stays usable."""
    answer = error_of(post(client, bytes(20_000_000)))
    assert answer == (413, "request body too large: 20000000 > 1000000 bytes")
    chunks = (bytes(100_000) for _ in range(100))
    answer = error_of(post(client, chunks))
    assert answer == (413, "request body too large: more than 1000000 bytes")
    assert post(client, b"a 1").status_code == 202


def answer_to(client: httpx.Client, request: bytes) -> bytes:
    """Return the first bytes of the answer to *request*, which may be half a request."""
    address = urlsplit(str(client.base_url))
    assert address.port
    with socket.create_connection(("127.0.0.1", address.port), timeout=10) as sock:
        sock.sendall(request)
        return sock.recv(1000)


def test_stops_reading_early(client: httpx.Client) -> None:
    """A body that is too large is rejected before all of it has arrived."""
    head = (
        b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain"
    )
    declared = head + b"\r\nContent-Length: 2000000\r\n\r\n"
    assert answer_to(client, declared).startswith(b"HTTP/1.1 413 ")
    chunk = b"\r\nTransfer-Encoding: chunked\r\n\r\nf4241\r\n" + bytes(1_000_001)
    assert answer_to(client, head + chunk).startswith(b"HTTP/1.1 413 ")


def test_client_leaves_early() -> None:
    """A request that ends early counts as rejected, and has no other effect."""
    with served() as client:
        port = urlsplit(str(client.base_url)).port
        with socket.create_connection(("127.0.0.1", port or 0), timeout=10) as sock:
            sock.sendall(
                b"POST /metrics/ingest HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: text/plain\r\nContent-Length: 100\r\n\r\na 1\n"
            )
        # The server notices the end of that connection at its next read from it.
        for _ in range(1000):
            stats = client.get("/api/stats").json()
            if stats["requests_rejected"]:
                break
        assert stats["requests_rejected"] == 1
        assert stats["accepted"] == 0
