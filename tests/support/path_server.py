"""A real HTTP server that responds by path."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["PathServer"]


class PathServer:
    """Responds to ``/status/<code>``, ``/never``, ``/cut``, ``/stream``, ``/redirect``.

    A context manager; ``url`` is its root.
    """

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def __getattr__(self, name: str) -> Any:
                if name.startswith("do_"):  # any method
                    return self.answer
                raise AttributeError(name)

            def answer(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                pass  # a client may disconnect at any moment

        self._server = Server(("127.0.0.1", 0), Handler)
        # Clients keep connections open, and the threads that serve them end later.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> PathServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        path = handler.path.partition("?")[0]
        _, first, *rest = path.split("/")
        if first == "never":
            handler.rfile.read(1)  # until the client disconnects
        if first in ("never", "cut"):
            handler.close_connection = True
            return
        handler.send_response(302 if first == "redirect" else int((rest or [200])[0]))
        if first == "redirect":
            handler.send_header("Location", "/status/200")
        body = b"" if handler.command == "HEAD" or rest == ["204"] else b"0123456789"
        if first == "stream":
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"a\r\n0123456789\r\n" * 3 + b"0\r\n\r\n")
            return
        if rest != ["204"]:
            handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(body)
