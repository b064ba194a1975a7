"""The process itself, and an event loop that one call blocks."""

import asyncio
import time

from dtmetrics import configure, counter
from dtmetrics.integrations.asyncio import watch_event_loop

configure(runtime=True)
done = counter("jobs.done", unit="{job}")


def blocking_job() -> None:
    """Do what a coroutine must leave to a thread."""
    time.sleep(2.0)


async def main() -> None:
    """Do a job that waits, and one that blocks."""
    with watch_event_loop(threshold=0.2):
        await asyncio.sleep(0.5)
        done.inc()
        blocking_job()
        done.inc()
        await asyncio.sleep(0.1)


asyncio.run(main())
