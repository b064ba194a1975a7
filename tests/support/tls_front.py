"""A TLS server on loopback that passes what it receives to a plain port."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from tests.support.endpoint import PATIENCE
from tests.support.tunnel_server import TunnelServer


class TlsFront(TunnelServer):
    """Ends TLS in front of *port*; a context manager.

    ``context`` may be replaced, for the connections that follow.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__()
        self._to = port
        self.context = context
        self._open: set[socket.socket] = set()

    def drop(self) -> None:
        """End the open connections, each once it is idle."""
        for client in list(self._open):
            with self.answered, suppress(OSError):
                assert self.answered.wait_for(
                    lambda client=client: client not in self.asking, PATIENCE
                )
                client.shutdown(socket.SHUT_RDWR)

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            client = self.context.wrap_socket(connection, server_side=True)
            self._open.add(client)
            with client, socket.create_connection(("127.0.0.1", self._to)) as upstream:
                self.pipe(client, upstream)
            self._open.discard(client)
            self.asking.discard(client)
