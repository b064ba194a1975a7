"""Delivers when a worker or a scheduler closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dtmetrics._runtime.process_hooks import END_SECONDS
from dtmetrics._runtime.runtime import default

__all__ = ["deliver"]


async def deliver() -> None:
    """Send what was recorded, within `END_SECONDS`; the event loop runs on.

    The loop may be that of a whole cluster.
    """
    # Raised at the end of the interpreter, which delivers as well.
    with suppress(RuntimeError):
        await asyncio.to_thread(default.flush, END_SECONDS)
