"""The endpoint on a socket: in this process until a signal, or in a thread."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from dtmetrics.receiver.app import LOOPBACK_NAMES, create_app
from dtmetrics.receiver.store import Store

__all__ = ["DEFAULT_PORT", "LOOPBACK", "running", "serve"]

LOOPBACK = "127.0.0.1"
#: The port of a OneAgent.
DEFAULT_PORT = 14499

_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


def serve(
    *,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    token: str | None = None,
    as_oneagent: bool = False,
) -> int:
    """Run the receiver until SIGINT or SIGTERM, and return an exit status.

    Its address is one line on stdout, written once it accepts connections, so that a
    parent process can read it. Everything else goes to stderr. Port 0 is a free one.
    """
    try:
        listener = _listen(host, port)
    except OSError as error:
        reason = str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "the address is in use, perhaps by a OneAgent"
        sys.stderr.write(f"dtmetrics: cannot listen on {host}:{port}: {reason}\n")
        return 1
    with listener:
        app = create_app(
            token=token,
            store=Store(report=_report),
            allowed_hosts=_allowed_hosts(host),
            as_oneagent=as_oneagent,
        )
        server = _server(app)
        # uvicorn raises a signal again once it has stopped, with the handlers that it
        # found. With these the process ends with status 0.
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, server.handle_exit)
        sys.stderr.write("For development only. Ctrl+C stops it.\n")
        sys.stdout.write(f"dtmetrics receiver on {_address(listener)}\n")
        sys.stdout.flush()
        server.run(sockets=[listener])
    return 0


@contextmanager
def running(
    app: Starlette | None = None, *, host: str = LOOPBACK, port: int = 0
) -> Iterator[str]:
    """Run *app*, or a new endpoint, in a thread; the block gets its address.

    >>> from dtmetrics.receiver import running
    >>> with running() as address:  # doctest: +ELLIPSIS
    ...     print(address)
    http://127.0.0.1:...
    """
    with _listen(host, port) as listener:
        server = _server(app or create_app(allowed_hosts=_allowed_hosts(host)))
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
            thread.join(5.0)


def _report(warning: str) -> None:
    sys.stderr.write(f"warning: {warning}\n")
    sys.stderr.flush()


def _listen(host: str, port: int) -> socket.socket:
    # From here on the kernel accepts connections; uvicorn answers them a moment later.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allowed_hosts(host: str) -> Sequence[str]:
    """Return the names to accept in ``Host``: any, on an interface that was chosen."""
    return LOOPBACK_NAMES if host in {LOOPBACK, "::1", "localhost"} else ["*"]


def _server(app: Starlette) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",  # the same one, whether or not httptools is installed
            ws="none",
            lifespan="off",
            # The program around configures logging. uvicorn's own configuration would
            # write to stdout, which is for the address alone.
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=_HEADERS,
            limit_concurrency=128,  # macOS gives a process 256 descriptors
            timeout_graceful_shutdown=2,
        )
    )
