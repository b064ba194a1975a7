"""The library broken on purpose, to show that the campaign notices."""

from __future__ import annotations

import httpx


def install(how: str) -> None:
    """Silently "drop" or "double" every third request of httpx, as *how* says."""
    send = httpx.HTTPTransport.handle_request
    requests = 0

    def handle_request(
        self: httpx.HTTPTransport, request: httpx.Request
    ) -> httpx.Response:
        nonlocal requests
        requests += 1
        if requests % 3 == 0 and how == "drop":
            return _accepted(request)
        if requests % 3 == 0 and how == "double":
            response = send(self, request)
            response.read()
            response.close()
        return send(self, request)

    httpx.HTTPTransport.handle_request = handle_request  # type: ignore[method-assign]


def _accepted(request: httpx.Request) -> httpx.Response:
    """Return the answer of an endpoint that accepts every line."""
    lines = request.read().count(b"\n") + 1
    answer = f'{{"linesOk": {lines}, "linesInvalid": 0}}'
    return httpx.Response(202, stream=httpx.ByteStream(answer.encode()))
