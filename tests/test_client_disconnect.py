from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

import pytest

from dtmetrics._instrument.client_disconnect import (
    is_cancelled_by_server,
    is_client_disconnect,
)


def raised(call: Any, *args: Any) -> BaseException:
    """Return what *call* raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011 -- any
        call(*args)
    return caught.value


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("django.core.exceptions", "RequestAborted"),
        ("django.http.request", "UnreadablePostError"),
        ("falcon", "WebSocketDisconnected"),
        ("litestar.exceptions", "WebSocketDisconnect"),
        ("starlette.requests", "ClientDisconnect"),
        ("starlette.websockets", "WebSocketDisconnect"),
        ("werkzeug.exceptions", "ClientDisconnected"),
    ],
)
def test_types(module: str, name: str) -> None:
    """A framework's own exception means that the client left, and so do its subclasses."""
    kind = getattr(pytest.importorskip(module), name)
    error = kind.__new__(kind)
    assert is_client_disconnect(error)
    assert is_client_disconnect(type("Own", (kind,), {}).__new__(kind))
    assert not is_client_disconnect(ValueError())


class Raw(io.RawIOBase):
    """A connection whose client leaves."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise ConnectionResetError


class Database:
    """Another connection."""

    def read(self) -> bytes:
        raise ConnectionResetError(104, "Connection reset by peer")


def test_where_an_error_was_raised() -> None:
    """Only an exception that the body's reader raised means that the client left."""
    upload: Any = Raw()
    buffered = io.BufferedReader(upload)  # as wsgiref and werkzeug have it
    assert is_client_disconnect(raised(upload.read, 1), upload)
    assert is_client_disconnect(raised(buffered.read, 1), buffered)
    assert not is_client_disconnect(raised(upload.read, 1))
    for reader in (upload, buffered):
        assert not is_client_disconnect(raised(Database().read), reader)

    def view(stream: Any) -> None:
        Database().read()

    assert not is_client_disconnect(raised(view, upload), upload)


@pytest.mark.parametrize("kind", [OSError, EOFError, ValueError, TypeError])
def test_what_a_reader_raises(kind: type[Exception]) -> None:
    """A reader raises an OSError, or a ValueError for a chunk that is cut off."""

    class Reader:
        def read(self) -> bytes:
            raise kind

    reader = Reader()
    found = is_client_disconnect(raised(reader.read), reader)
    assert found is (kind is not TypeError)


def test_the_reason_of_an_error() -> None:
    """An exception that was raised while another was handled has that one as its reason."""
    upload = Raw()

    def view() -> None:
        try:
            upload.read(1)
        except OSError:
            raise ValueError  # noqa: B904 -- as applications do

    error = raised(view)
    assert is_client_disconnect(error, upload)
    error.__context__ = error  # type: ignore[assignment]
    assert not is_client_disconnect(error, upload)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("error during read(9) on wsgi.input"), True),
        (OSError("Apache/mod_wsgi request data read error"), True),
        (OSError("disk"), False),
        (FileNotFoundError(2, "No such file", "/srv/wsgi.py"), False),
        (ValueError("wsgi.input"), False),
    ],
)
def test_readers_in_c(error: Exception, expected: bool) -> None:
    """An OSError of uWSGI or mod_wsgi has no number, and names the server."""
    assert is_client_disconnect(error, object()) is expected


def test_cancelled_by_the_server() -> None:
    """A task that was cancelled shows it; an awaited task that was is another's."""

    async def run() -> tuple[bool, bool]:
        async def wait() -> bool:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                return is_cancelled_by_server(error)
            return False

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        by_server = await task
        other = asyncio.ensure_future(asyncio.Event().wait())
        other.cancel()
        try:
            await other
        except asyncio.CancelledError as error:
            return by_server, is_cancelled_by_server(error)
        raise AssertionError

    assert asyncio.run(run()) == (True, sys.version_info < (3, 11))


def test_cancelled_elsewhere() -> None:
    """In a thread without an event loop, a cancellation comes from outside."""
    assert is_cancelled_by_server(asyncio.CancelledError())
    assert not is_cancelled_by_server(ValueError())
    cancelled = type("Cancelled", (BaseException,), {"__module__": "trio"})
    assert is_cancelled_by_server(cancelled())
