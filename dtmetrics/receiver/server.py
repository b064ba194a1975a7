"""The endpoint behind a socket: in this process until a signal, or in a thread."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from dtmetrics.receiver.app import create_app
from dtmetrics.receiver.guard import LOOPBACK_NAMES

__all__ = ["DEFAULT_PORT", "LOOPBACK", "running", "serve"]

LOOPBACK = "127.0.0.1"
#: Where a OneAgent listens.
DEFAULT_PORT = 14499

_CONNECTIONS = 64
_JOIN_SECONDS = 5.0
# How long a connection may be open, or idle, without the whole head of a request.
_HEAD_SECONDS = 5.0


def serve(
    *, host: str = LOOPBACK, port: int = DEFAULT_PORT, token: str | None = None
) -> int:
    """Run the receiver until SIGINT or SIGTERM, and return an exit status.

    Its address is one line on stdout, written once a connection can be made, so that
    a parent process may read it; all else goes to stderr. Port 0 is a free one.
    """
    try:
        listener = _listen(host, port)
    except OSError as error:
        sys.stderr.write(f"dtmetrics: cannot listen on {host}:{port}: {error}\n")
        return 1
    with listener:
        server = _server(create_app(token=token, hosts=_names(host)))
        _stop_on_signals(server)
        sys.stderr.write("For development only. Ctrl+C stops it.\n")
        sys.stdout.write(f"dtmetrics receiver on {_address(listener)}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])
    return 0


@contextmanager
def running(
    app: Starlette | None = None, *, host: str = LOOPBACK, port: int = 0
) -> Iterator[str]:
    """Run *app*, or a new endpoint, in a thread; the block gets its address."""
    with _listen(host, port) as listener:
        server = _server(app or create_app(hosts=_names(host)))
        thread = threading.Thread(
            target=server.run,
            kwargs={"sockets": [listener]},
            name="dtmetrics-receiver",
            daemon=True,
        )
        thread.start()
        try:
            yield _address(listener)
        finally:
            server.should_exit = True
            thread.join(_JOIN_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    # From here on the kernel accepts connections; they are answered a moment later.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _names(host: str) -> frozenset[str] | None:
    """Return the names to answer to: any, once somebody chose another interface."""
    return LOOPBACK_NAMES if host in {LOOPBACK, "::1", "localhost"} else None


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Impatient,
            ws="none",
            lifespan="off",
            # Logging belongs to the program around; uvicorn's own set-up would also
            # write to stdout, which is for the address alone.
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
    )


class _Impatient(H11Protocol):
    """Hangs up on who says nothing, or a head without end, that others have room."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count."""
        super().connection_made(transport)
        self._look_again()

    def _look_again(self) -> None:
        self.loop.call_later(_HEAD_SECONDS, self._look, self.cycle)

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is before and self.conn.their_state is h11.IDLE:
            self.transport.close()
        else:
            self._look_again()


def _stop_on_signals(server: uvicorn.Server) -> None:
    """Let SIGINT and SIGTERM end the server and nothing else.

    uvicorn catches them too, but raises them again once it has stopped, and restores
    our handlers first: a wanted stop then ends with status 0.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        server.should_exit = True

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)
