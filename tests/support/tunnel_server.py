"""A server on loopback with a thread for each connection, which it may lead elsewhere."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from tests.support.endpoint import PATIENCE

if TYPE_CHECKING:
    from typing_extensions import Self


class TunnelServer(ABC):
    """Listens on a free port from the beginning to the end of a ``with`` block."""

    def __init__(self) -> None:
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        #: The clients that wait for an answer, and what is notified of each answer.
        self.asking: set[socket.socket] = set()
        self.answered = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._listener.close()
        for thread in list(self._threads):
            thread.join(PATIENCE)

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Serve a *connection*, in a thread of its own."""

    def pipe(self, client: socket.socket, upstream: socket.socket) -> None:
        """Pass on what each side sends, until one ends or the server closes."""
        while not self._closing.is_set():
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else []
            ready = ready or select.select([client, upstream], [], [], 0.1)[0]
            for each in ready:
                data = each.recv(65536)
                if not data:
                    return
                (upstream if each is client else client).sendall(data)
                with self.answered:
                    (self.asking.add if each is client else self.asking.discard)(client)
                    self.answered.notify_all()

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed, or nothing within 0.1 s
                continue
            self._start(self.serve, connection)
