"""Outgoing requests: one line instruments every httpx client."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from dtmetrics import configure
from dtmetrics.integrations.httpx import instrument_httpx

configure()
instrument_httpx(body_sizes=True)


class Stock(BaseHTTPRequestHandler):
    """Another service."""

    def do_GET(self) -> None:
        """Answer with the number in stock."""
        self.send_response(200 if self.path.startswith("/items/") else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"12")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


server = ThreadingHTTPServer(("127.0.0.1", 0), Stock)
Thread(target=server.serve_forever, daemon=True).start()
with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
    for path in ("/items/1", "/items/2?fresh=1", "/nothing"):
        client.get(path)
server.shutdown()
