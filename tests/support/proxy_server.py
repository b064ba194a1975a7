"""A proxy on loopback: CONNECT and forwarded requests, with credentials if it has any.

It leads every host that it knows to a port of this machine, so that a test can use the
names of hosts that do not exist.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress

from tests.support.endpoint import PATIENCE
from tests.support.tunnel_server import TunnelServer


class ProxyServer(TunnelServer):
    """Leads ``host:port`` to a local port by *routes*; a context manager.

    *credentials* are ``user:password``. *answer* is sent to a CONNECT in place of a
    tunnel. Both may be set later. With *tls* the proxy itself is reached by https.
    """

    def __init__(
        self,
        routes: Mapping[str, int],
        *,
        credentials: str = "",
        answer: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__()
        self._routes = routes
        self.credentials = credentials
        self.answer = answer
        self._tls = tls
        #: The first line of each request.
        self.requests: list[str] = []
        #: Every byte of every head.
        self.heads = b""
        #: Called with each request's first line before it is answered.
        self.on_request: Callable[[str], object] = lambda line: None
        self.host = f"127.0.0.1:{self.port}"
        scheme = "https" if tls else "http"
        user = f"{credentials}@" if credentials else ""
        self.url = f"{scheme}://{user}{self.host}"

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._exchange(connection)
        connection.close()

    def _exchange(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            if not part:
                return
            head += part
        line = head.partition(b"\r\n")[0].decode()
        self.requests.append(line)
        self.heads += head.partition(b"\r\n\r\n")[0]
        self.on_request(line)
        answer = self._refusal(head) or self.answer
        if answer:
            connection.sendall(answer.encode())
            return
        method, target, _ = line.split(" ")
        host = target if method == "CONNECT" else target.split("/")[2]
        port = self._routes.get(host)
        if port is None:
            connection.sendall(_page("403 Forbidden"))
            return
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as upstream:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(head)
            self.pipe(connection, upstream)

    def _refusal(self, head: bytes) -> str:
        expected = base64.b64encode(self.credentials.encode())
        if not self.credentials or b"Basic " + expected + b"\r\n" in head:
            return ""
        return _page("407 Proxy Authentication Required").decode()


def _page(status: str) -> bytes:
    text = "<html>the proxy's own words: CANARY</html>"
    return (
        f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n"
        f"Proxy-Authenticate: Basic realm=x\r\n\r\n{text}"
    ).encode()
