"""Who may ask. Any page in the developer's browser can reach a loopback port.

A page that lets its own name resolve to 127.0.0.1 shows it in ``Host``; one that
posts across origins shows it in ``Origin``. Neither is let in.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dtmetrics.receiver.judge import error_envelope
from dtmetrics.receiver.page import STYLE_SOURCE

__all__ = ["LOOPBACK_NAMES", "Guard"]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::[0-9]+)?")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {STYLE_SOURCE}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses strangers, and sends the security headers with every answer.

    *hosts* are the names this endpoint answers to; None stands for any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let the application do it."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        fault = self._fault(Headers(scope=scope), scope["scheme"])
        if fault is None:
            await self._app(scope, receive, send_guarded)
        else:
            refusal = JSONResponse(error_envelope(403, fault), 403)
            await refusal(scope, receive, send_guarded)

    def _fault(self, headers: Headers, scheme: str) -> str | None:
        host = headers.get("host", "").lower()
        if self._hosts is not None:
            match = _HOST.fullmatch(host)
            if match is None or match[1] not in self._hosts:
                return "this endpoint does not answer to the name in Host"
        if any(origin != f"{scheme}://{host}" for origin in headers.getlist("origin")):
            return "requests from other origins are refused"
        return None
