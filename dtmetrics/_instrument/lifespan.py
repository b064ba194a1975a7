"""Delivers when an ASGI server stops.

uvicorn raises SIGTERM again once it has stopped, which ends the process without exit
handlers. Before that the application gets ``lifespan.shutdown``
(https://asgi.readthedocs.io/en/latest/specs/lifespan.html).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dtmetrics._runtime.process_hooks import END_SECONDS

__all__ = ["Message", "Receive", "Send", "follow_lifespan"]

_STARTUP, _SHUTDOWN = "lifespan.startup", "lifespan.shutdown"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def follow_lifespan(
    application: Callable[[Receive, Send], Awaitable[None]],
    receive: Receive,
    send: Send,
    *,
    flush: Callable[[float], object],
) -> None:
    """Run *application* for the lifespan of its server; call *flush* at its end.

    An application that does not support the protocol, as Django, raises or returns
    before it has received anything. The lifespan is then followed in its place.
    """
    received = False

    async def receive_and_note() -> Message:
        nonlocal received
        received = True
        return await receive()

    async def flush_and_send(message: Message) -> None:
        if message["type"].startswith(_SHUTDOWN):
            # It blocks the event loop, which has nothing else left to do.
            flush(END_SECONDS)
        await send(message)

    try:
        await application(receive_and_note, flush_and_send)
    except Exception:
        if received:
            raise
    if not received:
        await _answer(receive, flush_and_send)


async def _answer(receive: Receive, send: Send) -> None:
    kind = _STARTUP
    while kind == _STARTUP:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
