"""Connections to the endpoint, directly or through a proxy, and the idle ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dtmetrics._core.secret import Secret
from dtmetrics._export.abort import ConnectionState
from dtmetrics._export.http_library import httpx
from dtmetrics._export.tls import TlsContext, TlsFiles

__all__ = ["Connection", "Connections", "Route", "new_transport"]


class Connection(ConnectionState):
    """A transport that opens at most one connection. Threads never share one."""

    def __init__(self, make_transport: Callable[[], httpx.BaseTransport]) -> None:
        super().__init__()
        self._make_transport = make_transport
        self._transport: httpx.BaseTransport | None = None
        #: The status of the last response.
        self.status = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request*, and connect before if it is the first."""
        # Made here, where the caller handles an interrupt: the frames in which httpcore
        # encodes the credentials of a proxy must not reach an error reporter.
        if self._transport is None:
            self._transport = self._make_transport()
        return self._transport.handle_request(request)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class Connections:
    """The idle connections of an exporter."""

    def __init__(self, make_transport: Callable[[], httpx.BaseTransport]) -> None:
        self._make_transport = make_transport
        self._idle: list[Connection] = []

    def acquire(self) -> Connection:
        """Return an idle connection, or a new one."""
        return self._pop_idle() or self.open()

    def open(self) -> Connection:
        """Return a new connection, which connects with its first request."""
        return Connection(self._make_transport)

    def release(self, connection: Connection) -> None:
        """Let a later request use *connection*."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close every idle connection."""
        while connection := self._pop_idle():
            connection.close()

    def reset_after_fork(self) -> None:
        """In a forked child, close its descriptors of the parent's connections.

        The peer does not notice. ``Connection.close()`` would take a lock that another
        thread may have held at the fork.
        """
        for connection in self._idle:
            connection.close_socket()
        self._idle = []

    def _pop_idle(self) -> Connection | None:
        try:
            # One step: another thread may pop the last one.
            return self._idle.pop()
        except IndexError:
            return None


class Route(NamedTuple):
    """How connections lead to the endpoint."""

    #: The URL of a proxy, which may hold credentials.
    proxy: Secret | None = None
    files: TlsFiles = TlsFiles()

    def parse_proxy(self) -> httpx.Proxy | None:
        """Return the proxy, if there is one."""
        return None if self.proxy is None else httpx.Proxy(self.proxy.reveal())


def new_transport(
    tls: TlsContext, *, proxy: httpx.Proxy | None = None, keep_alive: bool = True
) -> httpx.BaseTransport:
    """Return a transport for one connection, which stays open with *keep_alive*.

    A proxy at an https URL is verified as the endpoint is.
    """
    if proxy is not None and proxy.url.scheme == "https":
        proxy = httpx.Proxy(proxy.url, auth=proxy.auth, ssl_context=tls.context)
    return httpx.HTTPTransport(
        verify=tls.context,
        trust_env=False,
        proxy=proxy,
        limits=httpx.Limits(
            max_connections=1,
            max_keepalive_connections=int(keep_alive),
            # Servers close idle connections after 5 s or more, so each flush opens a
            # new one.
            keepalive_expiry=4.0,
        ),
    )
